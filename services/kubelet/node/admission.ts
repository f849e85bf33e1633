/** Whether the node takes a pod that is bound to it; pure. Reasons and texts are upstream's. */
import type { Node, Pod } from "../../../proto/gen/core.ts";
import {
  hostPortsConflict,
  hostPortsOf,
  podRequests,
  qosClassOf,
  selectsNode,
  tolerates,
} from "../../kinds/facts.ts";
import type { ResourceAmounts } from "../../kinds/mod.ts";
import { isCritical } from "../eviction/ranking.ts";
import type { ResizeRefusal } from "../pod/resize.ts";
import { forbiddenSysctl } from "./sysctls.ts";

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** What the node is like when a pod comes. */
export interface NodeFacts {
  readonly allocatable: ResourceAmounts;
  readonly node: Node;
  /** Types of the pressures that the node is under. */
  readonly pressures: readonly string[];
  /** Kernel parameters beyond the safe ones that pods may set. */
  readonly allowedUnsafeSysctls?: readonly string[] | undefined;
}

/** `others` are the pods that the node has taken and that have not finished. */
export function admit(
  pod: Pod,
  others: readonly Pod[],
  { allocatable, node, pressures, allowedUnsafeSysctls = [] }: NodeFacts,
  critical = isCritical(pod, false),
): Rejection | undefined {
  return (
    (critical ? undefined : underPressure(pod, pressures)) ??
    unallowedSysctl(pod, allowedUnsafeSysctls) ??
    lackingResource(pod, others, allocatable) ??
    takenPort(pod, others) ??
    unselected(pod, node)
  );
}

/** Under memory pressure alone, pods that request memory or tolerate its taint are taken. */
function underPressure(pod: Pod, pressures: readonly string[]): Rejection | undefined {
  if (pressures.length === 0) return undefined;
  const taint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" };
  const onlyMemory = pressures.length === 1 && pressures[0] === "MemoryPressure";
  const fits = qosClassOf(pod) !== "BestEffort" || tolerates(pod.spec?.tolerations, taint);
  if (onlyMemory && fits) return undefined;
  const message = `The node had condition: [${pressures.join(" ")}]. `;
  return { reason: "Evicted", message };
}

function unallowedSysctl(pod: Pod, allowed: readonly string[]): Rejection | undefined {
  const message = forbiddenSysctl(pod, allowed);
  return message === undefined ? undefined : { reason: "SysctlForbidden", message };
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

/** Why a pod that runs here cannot have more, in upstream's words; `others`: all but itself. */
export function refuseResize(
  pod: Pod,
  others: readonly Pod[],
  allocatable: ResourceAmounts,
): ResizeRefusal | undefined {
  const asked = podRequests(pod);
  for (const name of ["memory", "cpu"]) {
    const [requested, capacity] = [asked[name] ?? 0, allocatable[name] ?? 0];
    if (requested <= capacity) continue;
    const numbers = `requested: ${requested}, capacity: ${capacity}`;
    const message = `Node didn't have enough capacity: ${name}, ${numbers}`;
    return { reason: "Infeasible", message };
  }
  const lack = lackingResource(pod, others, allocatable);
  return lack && { reason: "Deferred", message: lack.message };
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

function unselected(pod: Pod, node: Node): Rejection | undefined {
  if (selectsNode(pod, node)) return undefined;
  const text = "node(s) didn't match Pod's node affinity/selector";
  return { reason: "NodeAffinity", message: `Predicate NodeAffinity failed: ${text}` };
}
