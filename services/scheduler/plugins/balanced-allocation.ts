import type { Plugin } from "../framework.ts";

/** Prefers nodes on which cpu and memory would be used up evenly. */
export const balancedAllocation: Plugin = {
  name: "NodeResourcesBalancedAllocation",
  events: [],
  score: {
    weight: 1,
    normalize: "none",
    points({ pod }, { allocatable, scoredRequested }) {
      const [cpu, memory] = (["cpu", "memory"] as const).map((resource) => {
        const capacity = allocatable[resource] ?? 0;
        if (capacity === 0) return 1;
        const used = scoredRequested[resource] + pod.scoredRequests[resource];
        return Math.min(1, used / capacity);
      });
      // The standard deviation of two shares is half their difference.
      return 100 * (1 - Math.abs((cpu ?? 1) - (memory ?? 1)) / 2);
    },
  },
};
