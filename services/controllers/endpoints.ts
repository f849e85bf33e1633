import { isIPv6 } from "node:net";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type {
  EndpointAddress,
  EndpointPort,
  EndpointSubset,
  Endpoints,
  Pod,
  Service,
  ServicePort,
} from "../../proto/gen/core.ts";
import {
  type Again,
  isAlreadyExists,
  isConflict,
  isNotFound,
  keyOf,
  splitKey,
} from "../client/mod.ts";
import { isFinished } from "../kinds/facts.ts";
import { isReady } from "./pods.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Addresses in one Endpoints object; more are cut, and an annotation says so (upstream). */
const addressesMax = 1000;
const overCapacity = "endpoints.kubernetes.io/over-capacity";
/** Tells Endpoints that are kept here from those that people write. */
const managedLabel = "endpoints.kubernetes.io/managed-by";
export const headlessLabel = "service.kubernetes.io/headless";

/** Lists the pods behind each Service that has a selector. */
export function endpointsController(workers: number): Controller {
  return {
    name: "endpoints",
    component: "endpoint-controller",
    informers: ["Service", "Pod", "Endpoints"],
    workers,
    start(context) {
      const { informer, on, queue } = context;
      const affected = (pod: Pod) => {
        for (const service of informer("Service").lister.list(pod.metadata?.namespace)) {
          if (selects(service, pod)) queue.add(keyOf(service));
        }
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
      // A change that another client makes to what this controller keeps is put right. What stands
      // for no service is its author's.
      const kept = (endpoints: Endpoints) => {
        const { name = "", namespace, labels } = endpoints.metadata ?? {};
        const served = informer("Service").lister.get(name, namespace) !== undefined;
        if (served || labels?.[managedLabel] !== undefined) queue.add(keyOf(endpoints));
      };
      on("Endpoints", { added: kept, updated: (_, endpoints) => kept(endpoints), deleted: kept });
      return (key) => reconcile(context, key);
    },
  };
}

async function reconcile(context: ControllerContext, key: string): Promise<Again | undefined> {
  const { client, informer, write } = context;
  const { name, namespace } = splitKey(key);
  const service = informer("Service").lister.get(name, namespace);
  const current = informer("Endpoints").lister.get(name, namespace);
  if (!service) {
    if (!current) return undefined;
    try {
      await client.endpoints.delete(name, namespace, write);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return undefined;
  }
  if (Object.keys(service.spec?.selector ?? {}).length === 0) return undefined;
  if (service.spec?.type === "ExternalName" || service.metadata?.deletionTimestamp)
    return undefined;
  const pods = informer("Pod")
    .lister.list(namespace)
    .filter((pod) => selects(service, pod));
  const { subsets, cut } = subsetsOf(service, pods);
  const labels: Record<string, string> = { ...service.metadata?.labels };
  labels[managedLabel] = "endpoint-controller";
  if (service.spec?.clusterIP === "None") labels[headlessLabel] = "";
  const annotations = { ...current?.metadata?.annotations };
  delete annotations[overCapacity];
  if (cut) annotations[overCapacity] = "truncated";
  if (
    current &&
    text(canonical(current.subsets ?? [])) === text(subsets) &&
    text(sorted(current.metadata?.labels)) === text(sorted(labels)) &&
    text(sorted(current.metadata?.annotations)) === text(sorted(annotations))
  ) {
    return undefined;
  }
  const metadata = { ...current?.metadata, name, namespace, labels, annotations };
  const endpoints = { apiVersion: "v1", kind: "Endpoints", metadata, subsets };
  return put(context, endpoints, current !== undefined);
}

async function put(
  { client, recorder, write }: ControllerContext,
  endpoints: Endpoints,
  exists: boolean,
): Promise<Again | undefined> {
  try {
    if (exists) await client.endpoints.update(endpoints, write);
    else await client.endpoints.create(endpoints, write);
    return undefined;
  } catch (error) {
    // The cache lags behind; what is there is compared when it arrives.
    if (isAlreadyExists(error)) return { after: 100 };
    if (isConflict(error)) throw error;
    const { message } = StatusError.from(error);
    const of = keyOf(endpoints);
    if (exists) {
      const text = `Failed to update endpoint ${of}: ${message}`;
      recorder.event(endpoints, "Warning", "FailedToUpdateEndpoint", text);
    } else {
      const text = `Failed to create endpoint for service ${of}: ${message}`;
      recorder.event(endpoints, "Warning", "FailedToCreateEndpoint", text);
    }
    throw error;
  }
}

export function selects(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  const labels = pod.metadata?.labels ?? {};
  return selector.length > 0 && selector.every(([key, value]) => labels[key] === value);
}

/** The families of addresses that the service has, the more important one first. */
export function familiesOf({ spec }: Service): readonly string[] {
  return spec?.ipFamilies?.length ? spec.ipFamilies : ["IPv4"];
}

/** Undefined: the pod has none. */
export function addressOfFamily({ status }: Pod, family: string): string | undefined {
  const all = [status?.podIP, ...(status?.podIPs ?? []).map(({ ip }) => ip)];
  return all.find((ip) => ip && isIPv6(ip) === (family === "IPv6"));
}

/** Every ready, or not ready, address with its ports; equal sets of ports are put together. */
export function subsetsOf(
  service: Service,
  pods: readonly Pod[],
): { readonly subsets: EndpointSubset[]; readonly cut: boolean } {
  const [family = "IPv4"] = familiesOf(service);
  const groups = new Map<string, EndpointSubset>();
  let count = 0;
  let cut = false;
  // Ready ones first: they are the last to be cut.
  const ready = (pod: Pod) => service.spec?.publishNotReadyAddresses === true || isReady(pod);
  const ordered = [...pods].sort((a, b) => Number(ready(b)) - Number(ready(a)));
  for (const pod of ordered) {
    const ip = addressOfFamily(pod, family);
    if (!ip || isFinished(pod)) continue;
    if (pod.metadata?.deletionTimestamp && !service.spec?.publishNotReadyAddresses) continue;
    const ports = portsOf(service, pod);
    if (!ports) continue;
    if (count === addressesMax) {
      cut = true;
      break;
    }
    count++;
    const signature = text(ports);
    let group = groups.get(signature);
    if (!group) {
      group = { ...(ports.length > 0 && { ports }) };
      groups.set(signature, group);
    }
    const address = addressOf(service, pod, ip);
    if (ready(pod)) group.addresses = [...(group.addresses ?? []), address];
    else group.notReadyAddresses = [...(group.notReadyAddresses ?? []), address];
  }
  return { subsets: canonical([...groups.values()]), cut };
}

/** Undefined: none of the service's ports is a port of this pod. */
export function portsOf(service: Service, pod: Pod): EndpointPort[] | undefined {
  const wanted = service.spec?.ports ?? [];
  // A headless service may do without ports.
  if (wanted.length === 0) return service.spec?.clusterIP === "None" ? [] : undefined;
  const found: EndpointPort[] = [];
  for (const port of wanted) {
    const number = targetOf(port, pod);
    if (number === undefined) continue;
    found.push({
      ...(port.name && { name: port.name }),
      port: number,
      protocol: port.protocol || "TCP",
      ...(port.appProtocol && { appProtocol: port.appProtocol }),
    });
  }
  return found.length > 0 ? found.sort(comparePorts) : undefined;
}

function targetOf(port: ServicePort, pod: Pod): number | undefined {
  const target: unknown = port.targetPort;
  if (typeof target === "number" && target > 0) return target;
  if (typeof target !== "string" || target === "") return port.port;
  for (const container of pod.spec?.containers ?? []) {
    for (const { name, containerPort, protocol } of container.ports ?? []) {
      if (name === target && (protocol || "TCP") === (port.protocol || "TCP")) return containerPort;
    }
  }
  return undefined;
}

function addressOf(service: Service, pod: Pod, ip: string): EndpointAddress {
  const { name, namespace, uid } = pod.metadata ?? {};
  const { hostname, nodeName, subdomain } = pod.spec ?? {};
  const named = hostname && subdomain === service.metadata?.name;
  return {
    ip,
    ...(named && { hostname }),
    ...(nodeName && { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function canonical(subsets: readonly EndpointSubset[]): EndpointSubset[] {
  return subsets
    .map(({ addresses = [], notReadyAddresses = [], ports = [] }) => ({
      ...(addresses.length > 0 && { addresses: [...addresses].sort(compareAddresses) }),
      ...(notReadyAddresses.length > 0 && {
        notReadyAddresses: [...notReadyAddresses].sort(compareAddresses),
      }),
      ...(ports.length > 0 && { ports: [...ports].sort(comparePorts) }),
    }))
    .sort((a, b) => (text(a.ports) < text(b.ports) ? -1 : 1));
}

function compareAddresses(a: EndpointAddress, b: EndpointAddress): number {
  const [left, right] = [a, b].map(({ ip, targetRef }) => `${ip} ${targetRef?.uid ?? ""}`);
  return (left ?? "") < (right ?? "") ? -1 : 1;
}

function comparePorts(a: EndpointPort, b: EndpointPort): number {
  const [left, right] = [a, b].map(
    ({ name = "", port, protocol }) => `${name} ${port} ${protocol}`,
  );
  return (left ?? "") < (right ?? "") ? -1 : 1;
}

function sorted(record: Readonly<Record<string, string>> | undefined): [string, string][] {
  return Object.entries(record ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** JSON with fields in one order, whatever order the object was built in. */
function text(value: unknown): string {
  return (
    JSON.stringify(value, (_, each: unknown) =>
      typeof each === "object" && each !== null && !Array.isArray(each)
        ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
        : each,
    ) ?? ""
  );
}
