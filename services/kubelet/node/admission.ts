/** Whether the node takes a pod bound to it; pure. Reasons and texts are upstream's. */
import type { Pod } from "../../../proto/gen/core.ts";
import { podRequests } from "../pod/resources.ts";

export interface Allocatable {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly pods: number;
}

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** `others` are the pods the node has taken and that are not over. */
export function admit(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Allocatable,
  nodeLabels: Readonly<Record<string, string>>,
): Rejection | undefined {
  if (others.length + 1 > allocatable.pods) {
    return lacking("pods", 1, others.length, allocatable.pods);
  }
  const asked = podRequests(pod);
  const used = others.map(podRequests);
  const usedCpu = used.reduce((sum, one) => sum + one.cpuMillis, 0);
  const usedMemory = used.reduce((sum, one) => sum + one.memoryBytes, 0);
  if (asked.cpuMillis > 0 && usedCpu + asked.cpuMillis > allocatable.cpuMillis) {
    return lacking("cpu", asked.cpuMillis, usedCpu, allocatable.cpuMillis);
  }
  if (asked.memoryBytes > 0 && usedMemory + asked.memoryBytes > allocatable.memoryBytes) {
    return lacking("memory", asked.memoryBytes, usedMemory, allocatable.memoryBytes);
  }
  const taken = new Set(others.flatMap(hostPorts));
  if (hostPorts(pod).some((port) => taken.has(port))) {
    return { reason: "NodePorts", message: "Predicate NodePorts failed: a host port is in use" };
  }
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) {
    if (nodeLabels[key] !== value) {
      const message = `Predicate NodeAffinity failed: the node has no label ${key}=${value}`;
      return { reason: "NodeAffinity", message };
    }
  }
  return undefined;
}

function lacking(resource: string, requested: number, used: number, capacity: number): Rejection {
  return {
    reason: `OutOf${resource}`,
    message:
      `Node didn't have enough resource: ${resource}, requested: ${requested}, ` +
      `used: ${used}, capacity: ${capacity}`,
  };
}

/** Ports on the node's own address; a pod on the host network holds all of its ports there. */
function hostPorts(pod: Pod): string[] {
  const host = pod.spec?.hostNetwork ?? false;
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return containers.flatMap((container) =>
    (container.ports ?? []).flatMap((port) => {
      const number = port.hostPort || (host ? port.containerPort : undefined);
      return number === undefined ? [] : [`${port.protocol ?? "TCP"}:${number}`];
    }),
  );
}
