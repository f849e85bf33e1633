import type { Plugin } from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";

/** Prefers nodes that their own heartbeats report as idle; requests may say otherwise. */
export const measuredUtilisation: Plugin = {
  name: "MeasuredUtilisation",
  score: {
    weight: 1,
    points(_cycle, node) {
      // A node that has not reported yet is neither preferred nor avoided.
      return node.usage ? (idle("cpu", node) + idle("memory", node)) / 2 : 50;
    },
  },
};

function idle(resource: "cpu" | "memory", { allocatable, usage }: NodeInfo): number {
  const capacity = allocatable[resource] ?? 0;
  return capacity > 0 ? 100 * Math.max(0, 1 - (usage?.[resource] ?? 0) / capacity) : 0;
}
