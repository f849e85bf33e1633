/** Names of images, by distribution/reference's grammar: [host[:port]/]path[:tag][@digest]. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const referenceShape = new RegExp(
  `^(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\\d+)?/)?${component}(?:/${component})*` +
    "(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$",
);
const referenceLengthMax = 4_096;

const defaultRegistry = "docker.io";
const defaultNamespace = "library";

/** Throws StatusError invalidArgument. */
export function checkReference(reference: string): void {
  if (reference.length <= referenceLengthMax && referenceShape.test(reference)) return;
  const shown = reference.slice(0, 256);
  throw new StatusError(Code.invalidArgument, `image "${shown}": invalid reference format`);
}

/** With `:latest` where neither tag nor digest is given. */
export function withTag(reference: string): string {
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? reference : `${reference}:latest`;
}

/** As registries and their clients know it: `busybox` is `docker.io/library/busybox:latest`. */
export function fullReference(reference: string): string {
  const tagged = withTag(reference);
  const slash = tagged.indexOf("/");
  const first = tagged.slice(0, Math.max(slash, 0));
  const hasHost = /[.:]/.test(first) || first === "localhost" || /[A-Z]/.test(first);
  if (hasHost) return tagged;
  return slash < 0
    ? `${defaultRegistry}/${defaultNamespace}/${tagged}`
    : `${defaultRegistry}/${tagged}`;
}

/** Host, path and, if there is one, digest of a full reference; a tag beside a digest is dropped. */
export function withoutTagOfDigest(full: string): string {
  const [name = "", digest] = full.split("@");
  if (digest === undefined) return full;
  const colon = name.lastIndexOf(":");
  return `${colon > name.lastIndexOf("/") ? name.slice(0, colon) : name}@${digest}`;
}
