import type { Plugin } from "../framework/mod.ts";

/** Prefers nodes that their own heartbeats report as idle; requests may say otherwise. */
export const measuredUtilisation: Plugin = {
  name: "MeasuredUtilisation",
  alike: () => "",
  score: {
    weight: 1,
    points(_cycle, { usage, capacity }) {
      // A node that has not reported yet is neither preferred nor avoided.
      if (usage === undefined) return 50;
      return (idle(usage.cpu, capacity.cpu) + idle(usage.memory, capacity.memory)) / 2;
    },
  },
};

function idle(used: number, capacity: number): number {
  return capacity > 0 ? 100 * Math.max(0, 1 - used / capacity) : 0;
}
