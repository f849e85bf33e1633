/** Where objects live in the store. */
import type { KeyRange } from "../../../ha/store/types.ts";
import { canonicalAddress, type Resource, storageOf } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";

export const registryPrefix = "/registry/";

/** `/registry/pods/` or `/registry/apps/deployments/`. */
export function kindPrefix(resource: Resource): string {
  const { group, plural } = storageOf(resource);
  return `${registryPrefix}${group === "" ? "" : `${group}/`}${plural}/`;
}

/** `namespace` "" selects every namespace. */
export function listPrefix(resource: Resource, namespace: string): string {
  const prefix = kindPrefix(resource);
  return resource.namespaced && namespace !== "" ? `${prefix}${namespace}/` : prefix;
}

export function objectKey(resource: Resource, namespace: string, name: string): string {
  return `${listPrefix(resource, namespace)}${name}`;
}

/** Moves whenever the holder of the Lease changes; see ha/election/types.ts. */
export function fenceKey(namespace: string, lease: string): string {
  return `/trireme/fences/${namespace}/${lease}`;
}

/** Of the keys of all addresses and node ports that services hold. */
export const serviceAllocationsPrefix = `${registryPrefix}ranges/`;

export function serviceAddressKey(address: string): string {
  return `${serviceAllocationsPrefix}serviceips/${canonicalAddress(address)}`;
}

const nodePortsPrefix = `${serviceAllocationsPrefix}servicenodeports/`;

export function serviceNodePortKey(port: number): string {
  return `${nodePortsPrefix}${port}`;
}

/** The keys of all node ports that services hold. */
export const serviceNodePortKeys = {
  prefix: nodePortsPrefix,
  portOf: (key: Uint8Array) =>
    Number(Buffer.from(key).toString("utf8").slice(nodePortsPrefix.length)),
} as const;

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
export function partsOf(resource: Resource, key: string): { namespace: string; name: string } {
  const rest = key.slice(kindPrefix(resource).length);
  if (!resource.namespaced) return { namespace: "", name: rest };
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
