/**
 * The records of one service, after "Kubernetes DNS-Based Service Discovery" 1.1.0: a pure function
 * of the Service and its EndpointSlices. Names without a word in the specification are CoreDNS's
 * (an endpoint without a hostname is called by its address with dashes).
 */
import { isIPv4, isIPv6 } from "node:net";
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";

interface ServiceLocation {
  readonly port: number;
  /** Left of the service's own name: an endpoint, or empty for the service itself. */
  readonly target: string;
}

/** What is known of one name. */
export interface Records {
  readonly addresses: readonly string[];
  readonly locations: readonly ServiceLocation[];
}

/** The records of a service by what stands left of `SERVICE.NAMESPACE.svc.ZONE`. */
export interface ServiceRecords {
  readonly names: ReadonlyMap<string, Records>;
  /** ExternalName: the name that this service is another name of. */
  readonly alias: string | undefined;
  /** Addresses that can be looked up, with what stands left of the service's name. */
  readonly reverse: ReadonlyMap<string, string>;
}

interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

interface NamedEndpoint {
  readonly name: string;
  readonly address: string;
  readonly ports: readonly NamedPort[];
}

export function recordsOf(service: Service, slices: readonly EndpointSlice[]): ServiceRecords {
  const { spec } = service;
  if (spec?.type === "ExternalName") {
    const alias = (spec.externalName ?? "").toLowerCase().replace(/\.$/, "");
    return { names: new Map(), alias: alias === "" ? undefined : alias, reverse: new Map() };
  }
  const endpoints = slices.flatMap(endpointsOf);
  const names = new NameTable();
  const reverse = new Map<string, string>();
  for (const { name, address, ports } of endpoints) {
    names.add(name, [address], portsOnly(ports, name));
    if (!reverse.has(address)) reverse.set(address, name);
  }
  if (spec?.clusterIP === "None") addHeadless(names, endpoints);
  else addClusterIP(names, service, reverse);
  return { names: names.finished(), alias: undefined, reverse };
}

function addHeadless(names: NameTable, endpoints: readonly NamedEndpoint[]): void {
  for (const { name, address, ports } of endpoints) {
    names.add("", [address], portsOnly(ports, name));
    for (const port of ports) names.addPort(port, name);
  }
}

function addClusterIP(names: NameTable, { spec }: Service, reverse: Map<string, string>): void {
  const all = spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? ""];
  const addresses = all.filter((one) => one !== "");
  const ports = (spec?.ports ?? []).map(({ name = "", protocol = "TCP", port = 0 }) => {
    return { name, protocol, port };
  });
  if (addresses.length === 0) return;
  names.add("", addresses, portsOnly(ports, ""));
  for (const port of ports) names.addPort(port, "");
  for (const address of addresses) reverse.set(address, "");
}

function portsOnly(ports: readonly NamedPort[], target: string): readonly ServiceLocation[] {
  return ports.map(({ port }) => ({ port, target }));
}

/** Ready endpoints; those whose readiness is unknown count as ready. */
function endpointsOf({ addressType, endpoints = [], ports = [] }: EndpointSlice): NamedEndpoint[] {
  if (addressType !== "IPv4" && addressType !== "IPv6") return [];
  const named = ports.flatMap(({ name = "", protocol = "TCP", port }) =>
    port === undefined ? [] : [{ name, protocol, port }],
  );
  return endpoints.flatMap(({ addresses = [], conditions, hostname }) => {
    if (conditions?.ready === false) return [];
    return addresses
      .filter((address) => isIPv4(address) || isIPv6(address))
      .map((address) => ({
        name: hostname?.toLowerCase() || address.replaceAll(/[.:]/g, "-").toLowerCase(),
        address,
        ports: named,
      }));
  });
}

class NameTable {
  readonly #names = new Map<string, { addresses: Set<string>; locations: ServiceLocation[] }>();
  readonly #seen = new Set<string>();

  add(name: string, addresses: readonly string[], locations: readonly ServiceLocation[]): void {
    const entry = this.#entry(name);
    for (const address of addresses) entry.addresses.add(address);
    for (const location of locations) this.#locate(name, entry.locations, location);
  }

  /** `_port._protocol`, and the name between it and the service, which has no records. */
  addPort({ name, protocol, port }: NamedPort, target: string): void {
    if (name === "") return;
    const under = `_${protocol.toLowerCase()}`;
    this.#entry(under);
    const full = `_${name.toLowerCase()}.${under}`;
    this.#locate(full, this.#entry(full).locations, { port, target });
  }

  finished(): ReadonlyMap<string, Records> {
    return new Map(
      [...this.#names].map(([name, { addresses, locations }]) => [
        name,
        { addresses: [...addresses], locations },
      ]),
    );
  }

  #locate(name: string, list: ServiceLocation[], location: ServiceLocation): void {
    const key = `${name} ${location.port} ${location.target}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    list.push(location);
  }

  #entry(name: string) {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const made = { addresses: new Set<string>(), locations: [] };
    this.#names.set(name, made);
    return made;
  }
}
