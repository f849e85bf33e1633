/** The ports that a pod takes on its node's own addresses. */
import type { Container, Pod, PodSpec } from "../../../../proto/gen/core.ts";
import { isSidecar } from "./containers.ts";

export interface HostPort {
  /** `0.0.0.0`: every address of the node. */
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

const everyAddress = "0.0.0.0";

/**
 * The host ports that a pod holds as long as it runs: those of its containers and sidecars. Other
 * init containers run one after another and end, so their ports do not count (upstream
 * `util.GetHostPorts`). On the host network every container port is a host port.
 */
export function hostPortsOf(pod: Pod): HostPort[] {
  const spec = pod.spec ?? {};
  const sidecars = (spec.initContainers ?? []).filter(isSidecar);
  return [...(spec.containers ?? []), ...sidecars].flatMap((one) => containerHostPorts(one, spec));
}

function containerHostPorts(container: Container, spec: PodSpec): HostPort[] {
  const found: HostPort[] = [];
  for (const { hostPort, containerPort, hostIP, protocol } of container.ports ?? []) {
    const port = hostPort || (spec.hostNetwork ? containerPort : undefined);
    if (!port) continue;
    found.push({ address: hostIP || everyAddress, protocol: protocol || "TCP", port });
  }
  return found;
}

/** Whether two ports cannot both be held on one node. */
export function hostPortsConflict(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.address === b.address || a.address === everyAddress || b.address === everyAddress;
}
