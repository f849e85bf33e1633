/** What a client wants back, from its Accept header (RFC 9110 section 12.5.1). */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

/** The forms of upstream's `meta.k8s.io`. */
type Transform = "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";

export interface Accepted {
  readonly format: "json" | "yaml";
  /** Undefined: the objects themselves. */
  readonly as: Transform | undefined;
  /** Of the transform, e.g. `meta.k8s.io/v1`. */
  readonly apiVersion: string;
  /** `g`, `v` and `as` as they were given, for what is not of meta.k8s.io (discovery). */
  readonly form: { readonly group: string; readonly version: string; readonly kind: string };
}

const plain: Accepted = {
  format: "json",
  as: undefined,
  apiVersion: "",
  form: { group: "", version: "", kind: "" },
};

const clausesMax = 64;
const rememberedMax = 256;
const remembered = new Map<string, readonly Accepted[]>();

/** What the client takes and this server has, best first. Throws NotAcceptable when nothing fits. */
export function acceptable(header: string | undefined): readonly Accepted[] {
  if (header === undefined || header.trim() === "") return [plain];
  let found = remembered.get(header);
  if (found === undefined) {
    found = clausesOf(header);
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(header, found);
  }
  if (found.length > 0) return found;
  throw notAcceptable();
}

export function notAcceptable(): StatusError {
  return new StatusError(
    Code.invalidArgument,
    "only the following media types are accepted: application/json, application/yaml",
    { reason: "NotAcceptable" },
  );
}

/** The first that is an object or one of the forms of meta.k8s.io. Throws NotAcceptable. */
export function negotiate(header: string | undefined): Accepted {
  for (const accepted of acceptable(header)) {
    const { kind } = accepted.form;
    if (kind === "" || accepted.as !== undefined) return accepted;
  }
  throw notAcceptable();
}

interface Clause {
  readonly quality: number;
  readonly accepted: Accepted;
}

function clausesOf(header: string): Accepted[] {
  const clauses: Clause[] = [];
  for (const text of header.split(",").slice(0, clausesMax)) {
    const [range = "", ...parameters] = text.split(";").map((part) => part.trim());
    const format = formats[range.toLowerCase()];
    if (format === undefined) continue;
    const given = new Map<string, string>();
    for (const parameter of parameters) {
      const mark = parameter.indexOf("=");
      if (mark > 0) given.set(parameter.slice(0, mark).toLowerCase(), parameter.slice(mark + 1));
    }
    const quality = qualityOf(given.get("q"));
    if (quality > 0) clauses.push({ quality, accepted: acceptedOf(format, given) });
  }
  // Stable: among equals the client's own order holds.
  return clauses.sort((one, other) => other.quality - one.quality).map(({ accepted }) => accepted);
}

const formats: Readonly<Record<string, "json" | "yaml">> = {
  "*/*": "json",
  "application/*": "json",
  "application/json": "json",
  "application/yaml": "yaml",
};

function qualityOf(text: string | undefined): number {
  const quality = text === undefined ? 1 : Number(text);
  return Number.isFinite(quality) ? quality : 0;
}

const transforms: readonly string[] = [
  "Table",
  "PartialObjectMetadata",
  "PartialObjectMetadataList",
];

function acceptedOf(format: "json" | "yaml", given: ReadonlyMap<string, string>): Accepted {
  const kind = given.get("as") ?? "";
  if (kind === "") return { ...plain, format };
  const group = given.get("g") ?? "";
  const version = given.get("v") ?? "";
  const known =
    group === "meta.k8s.io" && transforms.includes(kind) && /^v1(beta1)?$/.test(version);
  return {
    format,
    as: known ? (kind as Transform) : undefined,
    apiVersion: `${group}/${version}`,
    form: { group, version, kind },
  };
}
