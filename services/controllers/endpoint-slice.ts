import type { Node, Pod, Service } from "../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../proto/gen/discovery.ts";
import { type Again, isAlreadyExists, isNotFound, keyOf, splitKey } from "../client/mod.ts";
import { isFinished } from "../kinds/facts.ts";
import { canonical } from "./canonical.ts";
import { headlessLabel, portsOf, selects } from "./endpoints.ts";
import { controllerOf, controllerReference } from "./owners.ts";
import { isReady } from "./pods.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Endpoints of one slice (upstream `--max-endpoints-per-slice`). */
const endpointsMax = 100;
const serviceLabel = "kubernetes.io/service-name";
const managerLabel = "endpointslice.kubernetes.io/managed-by";
const manager = "endpointslice-controller.k8s.io";
const zoneLabel = "topology.kubernetes.io/zone";

/** Lists the pods behind each Service that has a selector, in slices of at most a hundred. */
export function endpointSliceController(workers: number): Controller {
  return {
    name: "endpoint-slice",
    informers: ["Service", "Pod", "Node", "EndpointSlice"],
    workers,
    start(context) {
      const { informer, on, queue } = context;
      const affected = (pod: Pod) => {
        for (const service of informer("Service").lister.list(pod.metadata?.namespace)) {
          if (selects(service, pod)) queue.add(keyOf(service));
        }
      };
      const owner = ({ metadata }: EndpointSlice) => {
        const name = metadata?.labels?.[serviceLabel];
        if (name) queue.add(`${metadata.namespace}/${name}`);
      };
      on("Service", {
        added: (service) => queue.add(keyOf(service)),
        updated: (_, service) => queue.add(keyOf(service)),
        deleted: (service) => queue.add(keyOf(service)),
      });
      on("Pod", {
        added: affected,
        updated(previous, pod) {
          affected(previous);
          affected(pod);
        },
        deleted: affected,
      });
      // A change that another client makes to what this controller keeps is put right.
      on("EndpointSlice", { updated: (_, slice) => owner(slice), deleted: owner });
      return (key) => reconcile(context, key);
    },
  };
}

async function reconcile(context: ControllerContext, key: string): Promise<Again | undefined> {
  const { client, informer, write } = context;
  const { name, namespace } = splitKey(key);
  const service = informer("Service").lister.get(name, namespace);
  const current = informer("EndpointSlice")
    .lister.list(namespace)
    .filter(({ metadata }) => {
      const { [serviceLabel]: of, [managerLabel]: by } = metadata?.labels ?? {};
      return of === name && by === manager;
    });
  // The garbage collector takes the slices of a service that is gone.
  if (!service || service.metadata?.deletionTimestamp) return undefined;
  if (Object.keys(service.spec?.selector ?? {}).length === 0) return undefined;
  if (service.spec?.type === "ExternalName") return undefined;
  const wanted = slicesOf(context, service);
  const free = current.filter((slice) => controllerOf(slice)?.uid === service.metadata?.uid);
  const missing: EndpointSlice[] = [];
  for (const slice of wanted) {
    const like = free.findIndex((each) => canonical(contents(each)) === canonical(contents(slice)));
    if (like >= 0) free.splice(like, 1);
    else missing.push(slice);
  }
  for (const slice of missing) {
    const like = free.findIndex((each) => canonical(each.ports) === canonical(slice.ports));
    const old = free[like] ?? free[0];
    if (old === undefined) {
      try {
        await client.endpointSlices.create(slice, write);
      } catch (error) {
        // The cache lags behind; what is there is compared when it arrives.
        if (!isAlreadyExists(error)) throw error;
        return { after: 100 };
      }
      continue;
    }
    free.splice(free.indexOf(old), 1);
    const { labels, annotations } = slice.metadata ?? {};
    const metadata = { ...old.metadata, labels, ...(annotations && { annotations }) };
    await client.endpointSlices.update({ ...old, ...contents(slice), metadata }, write);
  }
  for (const { metadata } of free) {
    try {
      const preconditions = { uid: metadata?.uid ?? "" };
      const options = { ...write, preconditions };
      await client.endpointSlices.delete(metadata?.name ?? "", namespace, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return undefined;
}

/** What a slice says, without its name. */
function contents({ addressType, endpoints, ports, metadata }: EndpointSlice) {
  return { addressType, endpoints, ports, labels: metadata?.labels };
}

/** Pods with the same ports share slices; a service without pods has one slice, that is empty. */
function slicesOf({ informer }: ControllerContext, service: Service): EndpointSlice[] {
  const pods = informer("Pod")
    .lister.list(service.metadata?.namespace)
    .filter((pod) => selects(service, pod) && pod.status?.podIP && !isFinished(pod));
  const groups = new Map<string, { ports: EndpointSlice["ports"]; endpoints: Endpoint[] }>();
  for (const pod of pods) {
    const ports = portsOf(service, pod);
    if (ports === undefined) continue;
    const named = ports.map((port) => ({ name: "", ...port }));
    const signature = canonical(named);
    const group = groups.get(signature) ?? { ports: named, endpoints: [] };
    const node = informer("Node").lister.get(pod.spec?.nodeName ?? "");
    group.endpoints.push(endpointOf(service, pod, node));
    groups.set(signature, group);
  }
  if (groups.size === 0) return [sliceOf(service, [], [])];
  return [...groups.values()].flatMap(({ ports, endpoints }) => {
    const ordered = endpoints.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    const slices: EndpointSlice[] = [];
    for (let at = 0; at < ordered.length; at += endpointsMax) {
      const part = ordered.slice(at, at + endpointsMax);
      slices.push(sliceOf(service, ports, part));
    }
    return slices;
  });
}

function nameOf({ targetRef, addresses }: Endpoint): string {
  return targetRef?.name ?? addresses?.[0] ?? "";
}

function sliceOf(
  service: Service,
  ports: EndpointSlice["ports"],
  endpoints: Endpoint[],
): EndpointSlice {
  const { name, namespace, labels } = service.metadata ?? {};
  const headless = service.spec?.clusterIP === "None";
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: {
        ...labels,
        [serviceLabel]: name ?? "",
        [managerLabel]: manager,
        ...(headless && { [headlessLabel]: "" }),
      },
      ownerReferences: [controllerReference(service, "v1", "Service")],
    },
    addressType: service.spec?.ipFamilies?.[0] ?? "IPv4",
    endpoints,
    ...(ports && { ports }),
  };
}

function endpointOf(service: Service, pod: Pod, node: Node | undefined): Endpoint {
  const { name, namespace, uid, deletionTimestamp } = pod.metadata ?? {};
  const { hostname, nodeName, subdomain } = pod.spec ?? {};
  const serving = isReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = node?.metadata?.labels?.[zoneLabel];
  return {
    addresses: [pod.status?.podIP ?? ""],
    conditions: { ready, serving, terminating },
    ...(hostname && subdomain === service.metadata?.name && { hostname }),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(nodeName && { nodeName }),
    ...(zone && { zone }),
  };
}
