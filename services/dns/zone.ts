/** The cluster's zone: which records a name has, from the records of all services. */
import { isIPv4, isIPv6 } from "node:net";
import type { Records, ServiceRecords } from "./records.ts";
import { encodeAddress } from "./wire.ts";

export type Found =
  /** `service`: the full name to which the targets of the locations are relative. */
  | { readonly kind: "records"; readonly records: Records; readonly service: string }
  | { readonly kind: "alias"; readonly target: string }
  | { readonly kind: "pointers"; readonly names: readonly string[] }
  | { readonly kind: "apex" | "name server" | "version" }
  /** The name exists, since others lie below it, but has no records. */
  | { readonly kind: "empty" }
  | { readonly kind: "missing"; readonly zone: string }
  /** Of another zone. */
  | { readonly kind: "foreign" };

const empty: Found = { kind: "empty" };
const loopbackZone = "127.in-addr.arpa";

export class Zone {
  readonly domain: string;
  readonly #services = new Map<string, ServiceRecords>();
  /** By namespace, how many services it has. */
  readonly #namespaces = new Map<string, number>();
  /** By address, the full names of what has it; the service's own before its endpoints'. */
  readonly #reverse = new Map<string, Map<string, string>>();
  readonly #suffix: string;
  readonly #missing: Found;

  /** `domain`: e.g. cluster.local */
  constructor(domain: string) {
    this.domain = domain;
    this.#suffix = `.${domain}`;
    this.#missing = { kind: "missing", zone: domain };
  }

  /** The number of services. */
  get size(): number {
    return this.#services.size;
  }

  /** Undefined: there is no such service. */
  set(namespace: string, name: string, records: ServiceRecords | undefined): void {
    const key = `${name}.${namespace}`;
    const before = this.#services.get(key);
    for (const address of before?.reverse.keys() ?? []) this.#forget(reverseKey(address), key);
    if (before !== undefined) this.#count(namespace, -1);
    if (records === undefined) {
      this.#services.delete(key);
      return;
    }
    this.#services.set(key, records);
    this.#count(namespace, 1);
    const full = `${key}.svc.${this.domain}`;
    for (const [address, left] of records.reverse) {
      const at = reverseKey(address);
      const names = this.#reverse.get(at) ?? new Map<string, string>();
      names.set(key, left === "" ? full : `${left}.${full}`);
      this.#reverse.set(at, names);
    }
  }

  /** `name`: in small letters, without the root's dot. */
  lookup(name: string): Found {
    if (name.endsWith(".arpa")) return this.#lookupReverse(name);
    if (name === this.domain) return { kind: "apex" };
    if (!name.endsWith(this.#suffix)) return { kind: "foreign" };
    const left = name.slice(0, -this.#suffix.length);
    const lastDot = left.lastIndexOf(".");
    const branch = left.slice(lastDot + 1);
    const rest = lastDot < 0 ? "" : left.slice(0, lastDot);
    switch (branch) {
      case "svc":
        return rest === "" ? empty : this.#lookupService(rest);
      case "pod":
        return rest === "" ? empty : this.#lookupPod(rest);
      case "dns":
        if (rest === "") return empty;
        return rest === "ns" ? { kind: "name server" } : this.#missing;
      case "dns-version":
        return rest === "" ? { kind: "version" } : this.#missing;
      default:
        return this.#missing;
    }
  }

  /** `rest`: [LEFT.]SERVICE.NAMESPACE, or the namespace alone. */
  #lookupService(rest: string): Found {
    const namespaceDot = rest.lastIndexOf(".");
    const namespace = rest.slice(namespaceDot + 1);
    if (namespaceDot < 0) return this.#namespaces.has(namespace) ? empty : this.#missing;
    const serviceDot = rest.lastIndexOf(".", namespaceDot - 1);
    const key = rest.slice(serviceDot + 1);
    const service = this.#services.get(key);
    if (service === undefined) return this.#missing;
    const left = serviceDot < 0 ? "" : rest.slice(0, serviceDot);
    if (service.alias !== undefined) {
      return left === "" ? { kind: "alias", target: service.alias } : this.#missing;
    }
    const records = service.names.get(left);
    if (records === undefined) return this.#missing;
    return { kind: "records", records, service: key };
  }

  /** A pod's address with dashes, in any namespace (CoreDNS's `pods insecure`). */
  #lookupPod(rest: string): Found {
    const dot = rest.indexOf(".");
    if (dot < 0) return empty;
    if (rest.includes(".", dot + 1)) return this.#missing;
    const dashed = rest.slice(0, dot);
    const address = podAddress(dashed);
    if (address === undefined) return this.#missing;
    const records = { addresses: [address], locations: [] };
    return { kind: "records", records, service: "" };
  }

  /** Unknown addresses are asked for elsewhere, but for loopback (RFC 6303). */
  #lookupReverse(name: string): Found {
    const key = keyOfReverseName(name);
    const names = key === undefined ? undefined : this.#reverse.get(key);
    if (names !== undefined) return { kind: "pointers", names: [...names.values()] };
    const local = name === loopbackZone || name.endsWith(`.${loopbackZone}`);
    return local ? { kind: "missing", zone: loopbackZone } : { kind: "foreign" };
  }

  #forget(address: string, key: string): void {
    const names = this.#reverse.get(address);
    if (names?.delete(key) && names.size === 0) this.#reverse.delete(address);
  }

  #count(namespace: string, by: number): void {
    const count = (this.#namespaces.get(namespace) ?? 0) + by;
    if (count === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, count);
  }
}

function podAddress(dashed: string): string | undefined {
  const dotted = dashed.replaceAll("-", ".");
  if (isIPv4(dotted)) return dotted;
  const colons = dashed.replaceAll("-", ":");
  return isIPv6(colons) ? colons : undefined;
}

/** The same for every way to write an address. */
function reverseKey(address: string): string {
  return isIPv4(address) ? address : encodeAddress(address).toString("hex");
}

function keyOfReverseName(name: string): string | undefined {
  const labels = name.split(".");
  if (name.endsWith(".in-addr.arpa") && labels.length === 6) {
    return labels.slice(0, 4).reverse().join(".");
  }
  if (name.endsWith(".ip6.arpa") && labels.length === 34) {
    return labels.slice(0, 32).reverse().join("");
  }
  return undefined;
}
