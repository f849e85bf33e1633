import type { Plugin } from "../framework.ts";

/** Requests must fit into what is allocatable; prefers the node with most left (LeastAllocated). */
export const nodeResourcesFit: Plugin = {
  name: "NodeResourcesFit",
  events: ["nodeAdded", "nodeUpdated", "assignedPodDeleted"],
  filter({ pod }, { allocatable, pods, requested }) {
    const reasons: string[] = [];
    if (pods.size + 1 > (allocatable["pods"] ?? 0)) reasons.push("Too many pods");
    for (const [resource, wanted] of Object.entries(pod.requests)) {
      if (wanted === 0 || resource === "pods") continue;
      const free = (allocatable[resource] ?? 0) - (requested[resource] ?? 0);
      if (wanted > free) reasons.push(`Insufficient ${resource}`);
    }
    return reasons;
  },
  score: {
    weight: 1,
    normalize: "none",
    points({ pod }, { allocatable, scoredRequested }) {
      let points = 0;
      for (const resource of ["cpu", "memory"] as const) {
        const capacity = allocatable[resource] ?? 0;
        const used = scoredRequested[resource] + pod.scoredRequests[resource];
        if (capacity > 0 && used <= capacity) points += (100 * (capacity - used)) / capacity;
      }
      return points / 2;
    },
  },
};
