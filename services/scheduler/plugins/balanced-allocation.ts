import type { Plugin } from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";

/** Prefers nodes on which cpu and memory would be used up evenly. */
export const balancedAllocation: Plugin = {
  name: "NodeResourcesBalancedAllocation",
  score: {
    weight: 1,
    points({ pod }, node) {
      // The standard deviation of two shares is half their difference.
      return 100 * (1 - Math.abs(share("cpu", pod, node) - share("memory", pod, node)) / 2);
    },
  },
};

function share(resource: "cpu" | "memory", pod: PodInfo, node: NodeInfo): number {
  const capacity = node.allocatable[resource] ?? 0;
  if (capacity === 0) return 1;
  return Math.min(1, (node.scoredRequested[resource] + pod.scoredRequests[resource]) / capacity);
}
