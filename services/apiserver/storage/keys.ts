/** Where objects live in the store. */
import type { KeyRange } from "../../../ha/store/types.ts";
import type { Kind } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";

export const registryPrefix = "/registry/";

/** `/registry/pods/` or `/registry/apps/deployments/`. */
export function kindPrefix(kind: Kind): string {
  const group = kind.group === "" ? "" : `${kind.group}/`;
  return `${registryPrefix}${group}${kind.plural}/`;
}

/** `namespace` "" selects every namespace. */
export function listPrefix(kind: Kind, namespace: string): string {
  const prefix = kindPrefix(kind);
  return kind.namespaced && namespace !== "" ? `${prefix}${namespace}/` : prefix;
}

export function objectKey(kind: Kind, namespace: string, name: string): string {
  return `${listPrefix(kind, namespace)}${name}`;
}

/** Moves whenever the holder of the Lease changes; see ha/election/types.ts. */
export function fenceKey(namespace: string, lease: string): string {
  return `/trireme/fences/${namespace}/${lease}`;
}

export function serviceAddressKey(address: string): string {
  return `${registryPrefix}ranges/serviceips/${address}`;
}

export function keyBytes(key: string): Uint8Array {
  return Buffer.from(key, "utf8");
}

/** Every key that begins with `prefix`. */
export function prefixRange(prefix: string): Required<KeyRange> & { rangeEnd: Uint8Array } {
  return { key: keyBytes(prefix), rangeEnd: prefixEnd(prefix) };
}

/** The first key after all that begin with `prefix`; prefixes end with a slash, so it exists. */
export function prefixEnd(prefix: string): Uint8Array {
  const end = Buffer.from(prefix, "utf8");
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return end;
}

/** `/registry/<plural>/…` or `/registry/<group>/<plural>/…`: the parts after the kind's prefix. */
export function partsOf(kind: Kind, key: string): { namespace: string; name: string } {
  const rest = key.slice(kindPrefix(kind).length);
  if (!kind.namespaced) return { namespace: "", name: rest };
  const slash = rest.indexOf("/");
  return { namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
}

const partBytesMax = 253;

/** Names become parts of keys: nothing may reach outside its own. Throws BadRequest. */
export function checkKeyPart(field: string, text: string): string {
  if (text.length > partBytesMax || /[/%\s]|\p{Cc}/u.test(text) || text === "." || text === "..") {
    throw badRequest(
      `${field} ${JSON.stringify(text.slice(0, partBytesMax))} is not valid: at most ` +
        `${partBytesMax} characters, without "/", "%" and white space`,
    );
  }
  return text;
}
