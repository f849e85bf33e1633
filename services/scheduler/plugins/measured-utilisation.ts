import type { Plugin } from "../framework.ts";

/** Prefers nodes that their own heartbeats report as idle; requests may say otherwise. */
export const measuredUtilisation: Plugin = {
  name: "MeasuredUtilisation",
  events: [],
  score: {
    weight: 1,
    normalize: "none",
    points(_cycle, { allocatable, usage }) {
      // A node that has not reported yet is neither preferred nor avoided.
      if (!usage) return 50;
      let points = 0;
      for (const resource of ["cpu", "memory"] as const) {
        const capacity = allocatable[resource] ?? 0;
        if (capacity > 0) points += 100 * Math.max(0, 1 - usage[resource] / capacity);
      }
      return points / 2;
    },
  },
};
