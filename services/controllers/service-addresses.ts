import { isIPv6 } from "node:net";
import type { Service } from "../../proto/gen/core.ts";
import type { IPAddress, ServiceCIDR } from "../../proto/gen/networking.ts";
import { isAlreadyExists, isNotFound } from "../client/mod.ts";
import { parseTime, withCondition } from "../kinds/facts.ts";
import { canonicalAddress } from "../kinds/mod.ts";
import { canonical } from "./canonical.ts";
import type { Controller, ControllerContext } from "./types.ts";

const familyLabel = "ipaddress.kubernetes.io/ip-family";
const managerLabel = "ipaddress.kubernetes.io/managed-by";
const manager = "ipallocator.k8s.io";
/** Of a range; no address has such a name. */
const rangePrefix = "range!";
/** The range that the apiserver gives addresses from. */
const ownRange = "kubernetes";

/** Some apiservers reserve the address first, and write the service after it. */
const ownerlessMillis = 10_000;

/** Shows which service has which address, and which range the addresses come from. */
export function serviceAddressController(workers: number): Controller {
  return {
    name: "service-addresses",
    informers: ["Service", "IPAddress", "ServiceCIDR"],
    workers,
    start(context) {
      const { informer, on, queue } = context;
      const used = (service: Service) => {
        for (const address of addressesOf(service)) queue.add(address);
      };
      on("Service", {
        added: used,
        updated(previous, service) {
          used(previous);
          used(service);
        },
        deleted: used,
      });
      informer("Service").addIndex(addressIndex, addressesOf);
      const seen = ({ metadata }: IPAddress) => queue.add(metadata?.name ?? "");
      on("IPAddress", { added: seen, updated: (_, next) => seen(next), deleted: seen });
      const range = ({ metadata }: ServiceCIDR) => queue.add(`${rangePrefix}${metadata?.name}`);
      on("ServiceCIDR", { added: range, updated: (_, next) => range(next) });
      return (key) =>
        key.startsWith(rangePrefix)
          ? judge(context, key.slice(rangePrefix.length))
          : reconcile(context, key);
    },
  };
}

const addressIndex = "clusterIP";

export function addressesOf({ spec }: Service): string[] {
  const all = spec?.clusterIPs ?? (spec?.clusterIP ? [spec.clusterIP] : []);
  if (spec?.type === "ExternalName") return [];
  return all.filter((each) => each !== "" && each !== "None").map(canonicalAddress);
}

/** The object that says that the service has the address. Pure. */
export function addressOf(address: string, { metadata }: Service): IPAddress {
  const { name, namespace } = metadata ?? {};
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: {
      name: address,
      labels: { [familyLabel]: isIPv6(address) ? "IPv6" : "IPv4", [managerLabel]: manager },
    },
    spec: { parentRef: { group: "", resource: "services", namespace, name } },
  };
}

/**
 * `delete`: it says that a service has an address which that service has not, or another has. What
 * people have written stays. Pure.
 */
export function planAddress(
  address: string,
  known: IPAddress | undefined,
  service: Service | undefined,
): "create" | "delete" | undefined {
  if (known === undefined) return service && "create";
  if (known.metadata?.labels?.[managerLabel] !== manager) return undefined;
  if (service === undefined) return "delete";
  const wanted = addressOf(address, service).spec;
  // Other apiservers leave the core group's empty name out.
  const written = { ...known.spec, parentRef: { group: "", ...known.spec?.parentRef } };
  return canonical(written) === canonical(wanted) ? undefined : "delete";
}

async function reconcile(context: ControllerContext, address: string): Promise<void> {
  const { client, clock, informer, queue, write } = context;
  const known = informer("IPAddress").lister.get(address);
  const [service] = informer("Service").lister.byIndex(addressIndex, address);
  const step = planAddress(address, known, service);
  const made = parseTime(known?.metadata?.creationTimestamp) ?? Number.NEGATIVE_INFINITY;
  const leftMillis = made + ownerlessMillis - clock.wallMillis();
  try {
    if (step === "delete" && service === undefined && leftMillis > 0) {
      queue.addAfter(address, leftMillis);
    } else if (step === "delete") {
      const preconditions = { uid: known?.metadata?.uid ?? "" };
      await client.iPAddresses.delete(address, undefined, { ...write, preconditions });
      queue.add(address);
    } else if (step === "create" && service !== undefined) {
      await client.iPAddresses.create(addressOf(address, service), write);
    }
  } catch (error) {
    // The cache lags behind; what is there is looked at when it arrives.
    if (!isNotFound(error) && !isAlreadyExists(error)) throw error;
  }
}

async function judge(context: ControllerContext, name: string): Promise<void> {
  const { client, clock, informer, write } = context;
  const range = informer("ServiceCIDR").lister.get(name);
  if (range === undefined || range.metadata?.deletionTimestamp) return;
  const own = name === ownRange;
  const condition = {
    type: "Ready",
    status: own ? "True" : "False",
    reason: own ? "" : "NotUsed",
    message: own
      ? "Kubernetes Service CIDR is ready"
      : "addresses come only from the range that the apiserver was started with",
  };
  const conditions = withCondition(range.status?.conditions, condition, clock.wallMillis());
  const status = { ...range.status, conditions };
  if (canonical(status) === canonical(range.status ?? {})) return;
  await client.serviceCIDRs.updateStatus({ ...range, status }, write);
}
