/** The stages preScore and score, with normalisation: which of the suitable nodes is best. */
import type { NodeInfo } from "../node-info.ts";
import type { Cycle } from "./cycle.ts";
import type { Plugin } from "./types.ts";

/** Weighted points by index of the node. */
export function scoreNodes(
  plugins: readonly Plugin[],
  cycle: Cycle,
  nodes: readonly NodeInfo[],
): Float64Array {
  const totals = new Float64Array(nodes.length);
  if (nodes.length === 1) return totals;
  const points = new Float64Array(nodes.length);
  for (const plugin of plugins) {
    const skipped = plugin.preScore?.(cycle, nodes) === "skip";
    const { score } = plugin;
    if (!score || skipped) continue;
    for (let index = 0; index < nodes.length; index++) {
      points[index] = score.points(cycle, nodes[index] as NodeInfo);
    }
    score.normalize?.(points);
    for (let index = 0; index < nodes.length; index++) {
      const each = points[index] ?? 0;
      if (!(each >= 0 && each <= 100)) {
        throw new RangeError(`plugin ${plugin.name} gives ${each} points, not 0 to 100`);
      }
      totals[index] = (totals[index] ?? 0) + score.weight * each;
    }
  }
  return totals;
}

/** The node with the most points; among equals any, so that they fill evenly. */
export function chooseNode(
  nodes: readonly NodeInfo[],
  totals: Float64Array,
  random: () => number,
): NodeInfo {
  let best: NodeInfo | undefined;
  let most = Number.NEGATIVE_INFINITY;
  let equals = 0;
  for (const [index, node] of nodes.entries()) {
    const total = totals[index] ?? 0;
    if (total > most) {
      best = node;
      most = total;
      equals = 1;
    } else if (total === most && random() < 1 / ++equals) best = node;
  }
  if (!best) throw new RangeError("no node to choose from");
  return best;
}
