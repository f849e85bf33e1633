import type { Plugin } from "../framework/mod.ts";

/** Prefers nodes on which cpu and memory would be used up evenly. */
export const balancedAllocation: Plugin = {
  name: "NodeResourcesBalancedAllocation",
  alike: ({ scoredRequests }) => JSON.stringify(scoredRequests),
  score: {
    weight: 1,
    points({ pod: { scoredRequests } }, { capacity, scoredRequested }) {
      const cpu = share(scoredRequested.cpu + scoredRequests.cpu, capacity.cpu);
      const memory = share(scoredRequested.memory + scoredRequests.memory, capacity.memory);
      // The standard deviation of two shares is half their difference.
      return 100 * (1 - Math.abs(cpu - memory) / 2);
    },
  },
};

function share(requested: number, capacity: number): number {
  return capacity === 0 ? 1 : Math.min(1, requested / capacity);
}
