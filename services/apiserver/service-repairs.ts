/**
 * What is wrong with the addresses and ports that services hold (upstream's repair loops of
 * `registry/core/service/ipallocator` and `portallocator`). Pure.
 */
import type { Service } from "../../proto/gen/core.ts";
import type { AddressRange } from "./address-range.ts";
import type { PortRange } from "./admission/port-range.ts";
import { clusterAddressesOf } from "./admission/service-addresses.ts";
import { serviceAddressKey, serviceNodePortKey } from "./storage/keys.ts";

/** A key that keeps an address or a port to one service, as the store has it. */
export interface Allocation {
  /** `namespace/name` of the service. */
  readonly owner: string;
  /** At which it was written last. */
  readonly revision: number;
}

export interface Ranges {
  readonly addresses: readonly AddressRange[];
  readonly ports: PortRange;
}

interface Event {
  readonly reason: string;
  readonly message: string;
}

/** The service is told once the step is done. A step without a change has no key. */
export interface Fault {
  readonly service: Service;
  readonly event: Event;
  readonly claim?: {
    readonly key: string;
    readonly owner: string;
    /** Of what stands there; 0: nothing does. */
    readonly revision: number;
  };
}

export interface Repairs {
  readonly faults: readonly Fault[];
  /** Keys of what no service holds any more, with their revisions. */
  readonly leaks: readonly { readonly key: string; readonly revision: number }[];
}

interface Holding {
  readonly key: string;
  readonly inRange: boolean;
  readonly missing: Event;
  readonly doubled: Event;
  readonly outside: Event;
}

/**
 * `services` must know everything that `allocations` knows. The older of two services keeps what both
 * hold.
 */
export function planRepairs(
  services: readonly Service[],
  allocations: ReadonlyMap<string, Allocation>,
  ranges: Ranges,
): Repairs {
  const faults: Fault[] = [];
  const holders = new Map<string, string>();
  const byAge = [...services].sort((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1));
  const held = byAge.map((service) => ({ service, holdings: holdingsOf(service, ranges) }));
  for (const { service, holdings } of held) {
    const owner = nameOf(service);
    for (const { key, inRange, missing, doubled, outside } of holdings) {
      if (holders.has(key)) {
        faults.push({ service, event: doubled });
        continue;
      }
      holders.set(key, owner);
      if (!inRange) faults.push({ service, event: outside });
      const known = allocations.get(key);
      if (known?.owner === owner) continue;
      const claim = { key, owner, revision: known?.revision ?? 0 };
      faults.push({ service, event: missing, claim });
    }
  }
  const leaks = [...allocations]
    .filter(([key]) => !holders.has(key))
    .map(([key, { revision }]) => ({ key, revision }));
  return { faults, leaks };
}

function nameOf({ metadata }: Service): string {
  return `${metadata?.namespace}/${metadata?.name}`;
}

function ageOf(service: Service): string {
  return `${service.metadata?.creationTimestamp ?? ""} ${nameOf(service)}`;
}

function holdingsOf({ spec = {} }: Service, { addresses, ports }: Ranges): Holding[] {
  const holdings: Holding[] = [];
  const configured = addresses.map(({ text }) => text).join(",");
  const { type } = spec;
  for (const clusterIP of clusterAddressesOf(spec)) {
    const family = clusterIP.includes(":") ? "IPv6" : "IPv4";
    const what = `Cluster IP [${family}]:${clusterIP}`;
    holdings.push({
      key: serviceAddressKey(clusterIP),
      inRange: addresses.some((range) => range.contains(clusterIP)),
      missing: event("ClusterIPNotAllocated", `${what} is not allocated; repairing`),
      doubled: event(
        "ClusterIPAlreadyAllocated",
        `${what} was assigned to multiple services; please recreate service`,
      ),
      outside: event(
        "ClusterIPOutOfRange",
        `${what} is not within any configured Service CIDR (${configured}); please recreate service`,
      ),
    });
  }
  if (type !== "NodePort" && type !== "LoadBalancer") return holdings;
  const numbers = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  for (const port of new Set(numbers)) {
    if (!port) continue;
    holdings.push({
      key: serviceNodePortKey(port),
      inRange: port >= ports.first && port <= ports.last,
      missing: event("PortNotAllocated", `Port ${port} is not allocated; repairing`),
      doubled: event(
        "PortAlreadyAllocated",
        `Port ${port} was assigned to multiple services; please recreate service`,
      ),
      outside: event(
        "PortOutOfRange",
        `Port ${port} is not within the port range ${ports.text}; please recreate service`,
      ),
    });
  }
  return holdings;
}

function event(reason: string, message: string): Event {
  return { reason, message };
}
