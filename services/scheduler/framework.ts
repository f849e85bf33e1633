/**
 * One scheduling cycle: filter, score, choose. Synchronous, so that it sees one state of the cache.
 */
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";

/** What can happen to the cluster that may make room for a pod. */
export const ClusterEvent = {
  nodeAdded: "nodeAdded",
  nodeUpdated: "nodeUpdated",
  assignedPodAdded: "assignedPodAdded",
  assignedPodDeleted: "assignedPodDeleted",
} as const;
export type ClusterEvent = (typeof ClusterEvent)[keyof typeof ClusterEvent];

export interface Cycle {
  readonly pod: PodInfo;
  /** All nodes, those that were filtered out included. */
  readonly nodes: readonly NodeInfo[];
}

/** A rule of the scheduler. Pure: it reads the cycle and nothing else. */
export interface Plugin {
  readonly name: string;
  /** Events after which a pod that this plugin refused is worth another try. */
  readonly events: readonly ClusterEvent[];
  /** Why the pod cannot run on the node, in upstream's words; empty: it can. */
  filter?(cycle: Cycle, node: NodeInfo): readonly string[];
  readonly score?: {
    readonly weight: number;
    /** Raw points; `normalize` brings them to 0..100. */
    points(cycle: Cycle, node: NodeInfo): number;
    /** `none`: they are 0..100 already. `highest`: scaled so that the most gets 100; `fewest`: reversed. */
    readonly normalize: "none" | "highest" | "fewest";
  };
}

/** A pod found no node: how many nodes were refused for which reason, and by which plugins. */
export interface Refusal {
  readonly message: string;
  readonly plugins: ReadonlySet<string>;
}

export type Placement = { readonly node: string } | { readonly refusal: Refusal };

export function schedule(
  plugins: readonly Plugin[],
  cycle: Cycle,
  random: () => number,
): Placement {
  if (cycle.nodes.length === 0) {
    const everyone = new Set(plugins.map(({ name }) => name));
    return { refusal: { message: "no nodes available to schedule pods", plugins: everyone } };
  }
  const feasible: NodeInfo[] = [];
  const reasons = new Map<string, number>();
  const refusers = new Set<string>();
  for (const node of cycle.nodes) {
    const refused = firstRefusal(plugins, cycle, node);
    if (!refused) {
      feasible.push(node);
      continue;
    }
    refusers.add(refused.plugin);
    for (const reason of refused.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  if (feasible.length === 0) {
    return { refusal: { message: explain(cycle.nodes.length, reasons), plugins: refusers } };
  }
  return { node: choose(score(plugins, cycle, feasible), random).name };
}

function firstRefusal(
  plugins: readonly Plugin[],
  cycle: Cycle,
  node: NodeInfo,
): { readonly plugin: string; readonly reasons: readonly string[] } | undefined {
  for (const plugin of plugins) {
    const reasons = plugin.filter?.(cycle, node) ?? [];
    if (reasons.length > 0) return { plugin: plugin.name, reasons };
  }
  return undefined;
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` */
export function explain(nodes: number, reasons: ReadonlyMap<string, number>): string {
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${parts.join(", ")}.`;
}

function score(
  plugins: readonly Plugin[],
  cycle: Cycle,
  nodes: readonly NodeInfo[],
): ReadonlyMap<NodeInfo, number> {
  const totals = new Map<NodeInfo, number>(nodes.map((node) => [node, 0]));
  if (nodes.length === 1) return totals;
  for (const { score } of plugins) {
    if (!score) continue;
    const raw = nodes.map((node) => score.points(cycle, node));
    const most = Math.max(...raw);
    for (const [index, node] of nodes.entries()) {
      const points = normalized(raw[index] ?? 0, most, score.normalize);
      totals.set(node, (totals.get(node) ?? 0) + score.weight * points);
    }
  }
  return totals;
}

function normalized(points: number, most: number, how: "none" | "highest" | "fewest"): number {
  if (how === "none") return points;
  if (most === 0) return how === "fewest" ? 100 : 0;
  return how === "highest" ? (100 * points) / most : 100 - (100 * points) / most;
}

/** The best node; among equals any, so that they fill evenly. */
function choose(totals: ReadonlyMap<NodeInfo, number>, random: () => number): NodeInfo {
  let best: NodeInfo | undefined;
  let most = Number.NEGATIVE_INFINITY;
  let equals = 0;
  for (const [node, total] of totals) {
    if (total > most) {
      best = node;
      most = total;
      equals = 1;
    } else if (total === most && random() < 1 / ++equals) best = node;
  }
  if (!best) throw new RangeError("no node to choose from");
  return best;
}
