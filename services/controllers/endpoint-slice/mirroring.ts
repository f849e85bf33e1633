import { isIPv6 } from "node:net";
import type {
  EndpointAddress,
  EndpointSubset,
  Endpoints,
  Service,
} from "../../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../../proto/gen/discovery.ts";
import { type Again, isAlreadyExists, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import { canonical } from "../canonical.ts";
import { controllerOf, controllerReference } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";

/** Addresses of one subset that are mirrored (upstream `mirroring-max-endpoints-per-subset`). */
const addressesMax = 1_000;
const serviceLabel = "kubernetes.io/service-name";
const managerLabel = "endpointslice.kubernetes.io/managed-by";
const manager = "endpointslicemirroring-controller.k8s.io";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
/** An Endpoints object that an old way of leader election writes to. */
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
const droppedAnnotations = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "endpoints.kubernetes.io/last-change-trigger-time",
]);

/** Shows Endpoints that people write, for services without a selector, as EndpointSlices. */
export function endpointSliceMirroringController(workers: number): Controller {
  return {
    name: "endpoint-slice-mirroring",
    informers: ["Endpoints", "Service", "EndpointSlice"],
    workers,
    start(context) {
      const { on, queue } = context;
      const see = (object: Endpoints) => queue.add(keyOf(object));
      on("Endpoints", { added: see, updated: (_, next) => see(next), deleted: see });
      on("Service", { added: see, updated: (_, next) => see(next), deleted: see });
      const owner = ({ metadata }: EndpointSlice) => {
        const { [serviceLabel]: name, [managerLabel]: by } = metadata?.labels ?? {};
        if (name && by === manager) queue.add(`${metadata?.namespace}/${name}`);
      };
      on("EndpointSlice", { updated: (_, slice) => owner(slice), deleted: owner });
      return (key) => reconcile(context, key);
    },
  };
}

/** Whether the endpoints are mirrored; those of a service with a selector have slices already. */
export function isMirrored(
  endpoints: Endpoints | undefined,
  service: Service | undefined,
): endpoints is Endpoints {
  if (endpoints === undefined || service === undefined) return false;
  const { annotations, deletionTimestamp, labels } = endpoints.metadata ?? {};
  if (deletionTimestamp !== undefined || labels?.[skipLabel] === "true") return false;
  if (annotations?.[leaderAnnotation] !== undefined) return false;
  return Object.keys(service.spec?.selector ?? {}).length === 0;
}

/** One slice for each subset and each family of addresses. Pure. */
export function mirrored(endpoints: Endpoints): EndpointSlice[] {
  return (endpoints.subsets ?? []).flatMap((subset) =>
    ["IPv4", "IPv6"].flatMap((addressType) => {
      const found = endpointsOf(subset).filter((each) => familyOf(each) === addressType);
      return found.length === 0 ? [] : [sliceOf(endpoints, subset, addressType, found)];
    }),
  );
}

function endpointsOf({ addresses = [], notReadyAddresses = [] }: EndpointSubset): Endpoint[] {
  const all = [
    ...addresses.map((address) => endpointOf(address, true)),
    ...notReadyAddresses.map((address) => endpointOf(address, false)),
  ];
  return all.slice(0, addressesMax);
}

function familyOf({ addresses }: Endpoint): string {
  return isIPv6(addresses?.[0] ?? "") ? "IPv6" : "IPv4";
}

/** Addresses that no slice shows. */
function skippedIn({ subsets = [] }: Endpoints): number {
  return subsets.reduce((sum, { addresses = [], notReadyAddresses = [] }) => {
    return sum + Math.max(0, addresses.length + notReadyAddresses.length - addressesMax);
  }, 0);
}

function endpointOf(address: EndpointAddress, ready: boolean): Endpoint {
  const { ip = "", hostname, nodeName, targetRef } = address;
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname && { hostname }),
    ...(nodeName && { nodeName }),
    ...(targetRef && { targetRef }),
  };
}

function sliceOf(
  owner: Endpoints,
  { ports = [] }: EndpointSubset,
  addressType: string,
  endpoints: Endpoint[],
): EndpointSlice {
  const { name = "", namespace, labels, annotations } = owner.metadata ?? {};
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !droppedAnnotations.has(key));
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: { ...labels, [serviceLabel]: name, [managerLabel]: manager },
      ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }),
      ownerReferences: [controllerReference(owner, "v1", "Endpoints")],
    },
    addressType,
    endpoints,
    ports: ports.map((port) => ({ name: "", protocol: "TCP", ...port })),
  };
}

/** What a slice says, without its name. */
function contents({ addressType, endpoints, ports, metadata }: EndpointSlice) {
  const { annotations, labels } = metadata ?? {};
  return { addressType, endpoints, ports, labels, annotations };
}

async function reconcile(context: ControllerContext, key: string): Promise<Again | undefined> {
  const { client, informer, recorder, write } = context;
  const { name, namespace } = splitKey(key);
  const endpoints = informer("Endpoints").lister.get(name, namespace);
  const service = informer("Service").lister.get(name, namespace);
  const shown = isMirrored(endpoints, service) ? endpoints : undefined;
  const wanted = shown ? mirrored(shown) : [];
  const skipped = shown ? skippedIn(shown) : 0;
  if (skipped > 0) {
    const about = { ...shown, apiVersion: "v1", kind: "Endpoints" };
    const text =
      `A max of ${addressesMax} addresses can be mirrored to EndpointSlices per Endpoints subset. ` +
      `${skipped} addresses were skipped`;
    recorder.event(about, "Warning", "TooManyAddressesToMirror", text);
  }
  const free = informer("EndpointSlice")
    .lister.list(namespace)
    .filter(({ metadata }) => {
      const { [serviceLabel]: of, [managerLabel]: by } = metadata?.labels ?? {};
      return of === name && by === manager && !metadata?.deletionTimestamp;
    });
  const missing: EndpointSlice[] = [];
  for (const slice of wanted) {
    const like = free.findIndex(
      (each) =>
        controllerOf(each)?.uid === endpoints?.metadata?.uid &&
        canonical(contents(each)) === canonical(contents(slice)),
    );
    if (like >= 0) free.splice(like, 1);
    else missing.push(slice);
  }
  for (const slice of missing) {
    const like = free.findIndex(({ addressType }) => addressType === slice.addressType);
    const [old] = like < 0 ? [] : free.splice(like, 1);
    try {
      if (old === undefined) await client.endpointSlices.create(slice, write);
      else {
        const { generateName: _, ...said } = slice.metadata ?? {};
        const metadata = { ...old.metadata, ...said };
        await client.endpointSlices.update({ ...slice, metadata }, write);
      }
    } catch (error) {
      // The cache lags behind; what is there is compared when it arrives.
      if (!isAlreadyExists(error)) throw error;
      return { after: 100 };
    }
  }
  for (const { metadata } of free) {
    try {
      const options = { ...write, preconditions: { uid: metadata?.uid ?? "" } };
      await client.endpointSlices.delete(metadata?.name ?? "", namespace, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return undefined;
}
