/** The slices that a Service is to have (upstream `pkg/controller/endpointslice`). Pure. */
import type { Node, Pod, Service } from "../../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../../proto/gen/discovery.ts";
import { isFinished } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import { addressOfFamily, familiesOf, headlessLabel, portsOf, selects } from "../endpoints.ts";
import { controllerReference } from "../owners.ts";
import { isReady } from "../pods.ts";

/** Endpoints of one slice (upstream `--max-endpoints-per-slice`). */
const endpointsMax = 100;
export const serviceLabel = "kubernetes.io/service-name";
export const managerLabel = "endpointslice.kubernetes.io/managed-by";
export const manager = "endpointslice-controller.k8s.io";
const zoneLabel = "topology.kubernetes.io/zone";

/**
 * Of each family that the service has. Pods with the same ports share slices; a service without
 * pods has one slice, that is empty.
 */
export function slicesOf(
  service: Service,
  candidates: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): EndpointSlice[] {
  const pods = candidates.filter((pod) => selects(service, pod) && !isFinished(pod));
  return familiesOf(service).flatMap((family) => slicesOfFamily(family, service, pods, nodeOf));
}

function slicesOfFamily(
  family: string,
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): EndpointSlice[] {
  const groups = new Map<string, { ports: EndpointSlice["ports"]; endpoints: Endpoint[] }>();
  for (const pod of pods) {
    const address = addressOfFamily(pod, family);
    if (address === undefined) continue;
    const ports = portsOf(service, pod);
    if (ports === undefined) continue;
    const named = ports.map((port) => ({ name: "", ...port }));
    const signature = canonical(named);
    const group = groups.get(signature) ?? { ports: named, endpoints: [] };
    const node = nodeOf(pod.spec?.nodeName ?? "");
    group.endpoints.push(endpointOf(service, pod, node, address));
    groups.set(signature, group);
  }
  if (groups.size === 0) return [sliceOf(service, family, [], [])];
  return [...groups.values()].flatMap(({ ports, endpoints }) => {
    const ordered = endpoints.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    const slices: EndpointSlice[] = [];
    for (let at = 0; at < ordered.length; at += endpointsMax) {
      const part = ordered.slice(at, at + endpointsMax);
      slices.push(sliceOf(service, family, ports, part));
    }
    return slices;
  });
}

function nameOf({ targetRef, addresses }: Endpoint): string {
  return targetRef?.name ?? addresses?.[0] ?? "";
}

function sliceOf(
  service: Service,
  addressType: string,
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
    addressType,
    endpoints,
    ...(ports && { ports }),
  };
}

function endpointOf(service: Service, pod: Pod, node: Node | undefined, address: string): Endpoint {
  const { name, namespace, uid, deletionTimestamp } = pod.metadata ?? {};
  const { hostname, nodeName, subdomain } = pod.spec ?? {};
  const serving = isReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = node?.metadata?.labels?.[zoneLabel];
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname && subdomain === service.metadata?.name && { hostname }),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(nodeName && { nodeName }),
    ...(zone && { zone }),
    ...hintsOf(service, zone, nodeName),
  };
}

/** Whose requests are to go to this endpoint, where the service wants them to stay near. */
function hintsOf(
  { spec }: Service,
  zone: string | undefined,
  node: string | undefined,
): Pick<Endpoint, "hints"> {
  const { trafficDistribution } = spec ?? {};
  const ofNode = trafficDistribution === "PreferSameNode";
  const near = ofNode || ["PreferClose", "PreferSameZone"].includes(trafficDistribution ?? "");
  if (!near || !zone) return {};
  const forNodes = ofNode && node ? [{ name: node }] : undefined;
  return { hints: { forZones: [{ name: zone }], ...(forNodes && { forNodes }) } };
}
