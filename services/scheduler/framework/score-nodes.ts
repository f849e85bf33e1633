/** The stages preScore and score, with normalisation: which of the suitable nodes is best. */
import type { NodeInfo } from "../node-info.ts";
import { type AlikePods, checkPoints } from "./alike.ts";
import type { Cycle } from "./cycle.ts";
import type { FoundNodes } from "./find-nodes.ts";
import type { Plugin } from "./types.ts";

/** Weighted points by index of the node. */
export function scoreNodes(
  plugins: readonly Plugin[],
  cycle: Cycle,
  { nodes, known }: FoundNodes,
  alike: AlikePods,
): Float64Array {
  const totals = new Float64Array(nodes.length);
  if (nodes.length === 1) return totals;
  const others = known ? plugins.filter((plugin) => !alike.hasPointsOf(plugin)) : plugins;
  for (let index = 0; known && index < nodes.length; index++) {
    const place = known.places[index] as number;
    totals[index] = known.verdicts.points(cycle, nodes[index] as NodeInfo, place);
  }
  for (const { weight, points } of scorings(others, cycle, nodes)) {
    for (let index = 0; index < nodes.length; index++) {
      totals[index] = (totals[index] ?? 0) + weight * (points[index] ?? 0);
    }
  }
  return totals;
}

export interface Scoring {
  readonly plugin: string;
  readonly weight: number;
  /** 0 to 100 by index of the node. The next scoring overwrites them. */
  readonly points: Float64Array;
}

/** Plugin by plugin; those that have nothing to say are left out. */
export function* scorings(
  plugins: readonly Plugin[],
  cycle: Cycle,
  nodes: readonly NodeInfo[],
): Iterable<Scoring> {
  const points = new Float64Array(nodes.length);
  for (const plugin of plugins) {
    const skipped = plugin.preScore?.(cycle, nodes) === "skip";
    const { score } = plugin;
    if (!score || skipped) continue;
    for (let index = 0; index < nodes.length; index++) {
      points[index] = score.points(cycle, nodes[index] as NodeInfo);
    }
    score.normalize?.(points);
    for (const each of points) checkPoints(plugin.name, each);
    yield { plugin: plugin.name, weight: score.weight, points };
  }
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
  for (let index = 0; index < nodes.length; index++) {
    const total = totals[index] ?? 0;
    if (total > most) {
      best = nodes[index];
      most = total;
      equals = 1;
    } else if (total === most && random() < 1 / ++equals) best = nodes[index];
  }
  if (!best) throw new RangeError("no node to choose from");
  return best;
}
