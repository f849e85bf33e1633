/** Whether the node takes a pod that is bound to it; pure. Reasons and texts are upstream's. */
import type { Pod } from "../../../proto/gen/core.ts";
import {
  hostPortsConflict,
  hostPortsOf,
  podRequests,
  type ResourceAmounts,
} from "../../kinds/mod.ts";

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** `others` are the pods that the node has taken and that have not finished. */
export function admit(
  pod: Pod,
  others: readonly Pod[],
  allocatable: ResourceAmounts,
  nodeLabels: Readonly<Record<string, string>>,
): Rejection | undefined {
  return (
    lackingResource(pod, others, allocatable) ??
    takenPort(pod, others) ??
    missingLabel(pod, nodeLabels)
  );
}

function lackingResource(
  pod: Pod,
  others: readonly Pod[],
  allocatable: ResourceAmounts,
): Rejection | undefined {
  const pods = allocatable["pods"] ?? 0;
  if (others.length + 1 > pods) return lacking("pods", 1, others.length, pods);
  const used = others.map(podRequests);
  for (const [resource, asked] of Object.entries(podRequests(pod))) {
    const capacity = allocatable[resource];
    // Extended resources that the node does not know are left to the scheduler, as upstream does.
    if (asked === 0 || (capacity === undefined && resource.includes("/"))) continue;
    const inUse = used.reduce((sum, one) => sum + (one[resource] ?? 0), 0);
    if (inUse + asked > (capacity ?? 0)) return lacking(resource, asked, inUse, capacity ?? 0);
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

function takenPort(pod: Pod, others: readonly Pod[]): Rejection | undefined {
  const taken = others.flatMap(hostPortsOf);
  const wanted = hostPortsOf(pod);
  if (!wanted.some((port) => taken.some((other) => hostPortsConflict(port, other)))) {
    return undefined;
  }
  const text = "node(s) didn't have free ports for the requested pod ports";
  return { reason: "NodePorts", message: `Predicate NodePorts failed: ${text}` };
}

function missingLabel(
  pod: Pod,
  nodeLabels: Readonly<Record<string, string>>,
): Rejection | undefined {
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) {
    if (nodeLabels[key] === value) continue;
    const message = `Predicate NodeAffinity failed: the node has no label ${key}=${value}`;
    return { reason: "NodeAffinity", message };
  }
  return undefined;
}
