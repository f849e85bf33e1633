import { resourceAmounts } from "../../kinds/facts.ts";
import type { ResourceAmounts } from "../../kinds/mod.ts";
import { on, type Plugin, type Refusal } from "../framework/mod.ts";
import { type PodInfo, podInfo } from "../pod-info.ts";

/** Requests must fit into what is allocatable; prefers the node with most left (LeastAllocated). */
export const nodeResourcesFit: Plugin = {
  name: "NodeResourcesFit",
  alike: ({ wanted, scoredRequests }) => JSON.stringify([wanted, scoredRequests]),
  events: [
    on("Node", ["added", "updated"], (pod, { next }) => {
      return fits(pod, resourceAmounts(next?.status?.allocatable));
    }),
    // Every pod that goes frees its place among the pods of the node, whatever it requested.
    on("Pod", ["deleted"]),
    on("Pod", ["updated"], (_pod, { previous, next }) => {
      if (previous === undefined || next === undefined) return false;
      const { requests } = podInfo(next);
      return podInfo(previous).wanted.some(([name, amount]) => (requests[name] ?? 0) < amount);
    }),
  ],
  filter({ pod }, node): Refusal | undefined {
    const { wants } = pod;
    const { free } = node;
    const hasRoom = free.pods >= 1 && wants.cpu <= free.cpu && wants.memory <= free.memory;
    // Nearly all nodes have room for nearly all pods.
    if (hasRoom && !wants.others) return undefined;
    const { allocatable, pods, requested } = node;
    let reasons: string[] | undefined;
    let permanent = true;
    if (pods.size + 1 > (allocatable["pods"] ?? 0)) {
      reasons = ["Too many pods"];
      permanent = false;
    }
    for (const [resource, wanted] of pod.wanted) {
      const capacity = allocatable[resource] ?? 0;
      if (wanted <= capacity - (requested[resource] ?? 0)) continue;
      reasons ??= [];
      reasons.push(`Insufficient ${resource}`);
      if (wanted <= capacity) permanent = false;
    }
    return reasons && { reasons, permanent };
  },
  score: {
    weight: 1,
    points({ pod: { scoredRequests } }, { capacity, scoredRequested }) {
      const cpu = left(capacity.cpu, scoredRequested.cpu + scoredRequests.cpu);
      const memory = left(capacity.memory, scoredRequested.memory + scoredRequests.memory);
      return (cpu + memory) / 2;
    },
  },
};

/** Whether an empty node of this size would do. */
function fits({ wanted }: PodInfo, allocatable: ResourceAmounts): boolean {
  return wanted.every(([resource, amount]) => amount <= (allocatable[resource] ?? 0));
}

/** Percent of the capacity. */
function left(capacity: number, used: number): number {
  return capacity > 0 && used <= capacity ? (100 * (capacity - used)) / capacity : 0;
}
