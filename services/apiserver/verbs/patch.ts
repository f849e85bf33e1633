import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { PatchRequest } from "../../../proto/gen/meta.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import {
  applyPatch,
  type Document,
  invalid as invalidCause,
  PatchType,
  type Resource,
} from "../../kinds/mod.ts";
import { badRequest, invalid } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { applied } from "./apply.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change } from "./change.ts";
import { checkType, dryRunOf, metadataOf, schemaModeOf } from "./documents.ts";
import { managerOf } from "./managed-fields.ts";
import { checkPatchOptions, isApply } from "./options.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { checkSubresource, replace, type Subresource, writesStatus } from "./update.ts";
import { warn, warnOfFields } from "./warnings.ts";

/**
 * Applies a patch to the object as it is; when it has changed by the time of writing, applies it
 * again to what it has become.
 */
export async function patch(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: PatchRequest,
): Promise<StoredObject> {
  const namespace = namespaceOf(resource, request.namespace);
  const name = nameOf(request.name);
  const subresource = subresourceOf(resource, request.subresource);
  const { patch: bytes = Buffer.alloc(0), ...rest } = request;
  const target = { verb: "patch", resource, subresource, namespace, name };
  return run(backend, call, target, [bytes, canonicalJson(rest)], async () => {
    checkSubresource(resource, subresource);
    if (bytes.length === 0) throw badRequest("patch is required");
    checkPatchOptions(request);
    if (isApply(request.patchType)) return applied(backend, call, target, request);
    const key = objectKey(resource, namespace, name);
    const dryRun = dryRunOf(request.options);
    const manager = managerOf(call, request.options);
    const about = { resource, key, name, dryRun, subresource, manager };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const checked = patchedOf(call, resource, stored, request, bytes);
      const next = resource.schema.keepUnknown(checked, stored.document);
      checkType(resource, next);
      checkNamed(resource, next, stored);
      if (subresource === "") warnOfFields(call, resource, next, request.options);
      return replace(backend, stored, admission(next));
    });
    return object;
  });
}

/** Throws Invalid as upstream does, for what the patch makes of the object is no object of its kind. */
export function patchedOf(
  call: Call,
  resource: Resource,
  stored: StoredObject,
  { patchType = "", options }: PatchRequest,
  bytes: Uint8Array,
): Document {
  const problems: string[] = [];
  const patched = patchedDocument(resource, patchType, stored.copy(), bytes, problems);
  const tolerated = new Set(resource.schema.check(stored.document, "warn").unknown);
  const mode = schemaModeOf(options);
  const { errors, unknown, document } = resource.schema.check(patched, mode);
  problems.push(...unknown.filter((text) => !tolerated.has(text)));
  if (mode === "warn") warn(call, problems);
  const misfits = errors.map(({ field, message }) => `${field}: ${message}`).join(", ");
  const strict = mode === "strict" && problems.length > 0;
  const why = strict ? `strict decoding error: ${problems.join(", ")}` : "";
  if (misfits === "" && why === "") return document;
  const shown =
    patchType === PatchType.strategicMerge
      ? goText(JSON.parse(Buffer.from(bytes).toString("utf8")))
      : JSON.stringify(patched);
  throw invalid({ group: "", kind: "" }, "", [invalidCause("patch", shown, misfits || why)]);
}

/** As `applyPatch`; of a patch that does not fit, upstream says no more than this. */
export function patchedDocument(...args: Parameters<typeof applyPatch>): Document {
  try {
    return applyPatch(...args);
  } catch (thrown) {
    const { code, detail } = StatusError.from(thrown);
    if (detail?.reason !== "Invalid") throw thrown;
    const words = "the server rejected our request due to an error in our request";
    throw new StatusError(code, words, { reason: "Invalid" }, { cause: thrown });
  }
}

/** A value as Go prints it: maps by their keys, without quotes. */
function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (value === null) return "<nil>";
  if (typeof value === "string") return value;
  if (typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort();
  const parts = names.map((name) => `${name}:${goText((value as Record<string, unknown>)[name])}`);
  return `map[${parts.join(" ")}]`;
}

/** What names an object stays as it is. Throws BadRequest, Invalid. */
function checkNamed(resource: Resource, next: Document, stored: StoredObject): void {
  const { name = "", namespace = "", uid } = next.metadata ?? {};
  const present = stored.document.metadata ?? {};
  if (resource.namespaced && namespace !== "" && namespace !== present.namespace) {
    throw badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if (name === "") {
    throw badRequest(
      `the name of the object (${stored.name} based on URL) was undeterminable: ` +
        "name must be provided",
    );
  }
  if (name !== stored.name) {
    throw badRequest(
      `the name of the object (${name}) does not match the name on the URL (${stored.name})`,
    );
  }
  if (uid && uid !== present.uid) {
    const cause = invalidCause("metadata.uid", uid, "field is immutable");
    throw invalid(resource, stored.name, [cause]);
  }
  if (resource.namespaced) metadataOf(next).namespace = present.namespace;
}

function subresourceOf(resource: Resource, text: string | undefined): Subresource {
  if (text === undefined || text === "") return "";
  if (writesStatus(resource, text)) return text;
  throw badRequest(`subresource "${text}" cannot be patched, only "status" can`);
}
