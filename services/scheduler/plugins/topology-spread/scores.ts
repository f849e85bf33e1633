/** The half of the plugin that gives points (upstream `podtopologyspread/scoring.go`). */
import { type Cycle, type Plugin, StateKey } from "../../framework/mod.ts";
import type { NodeInfo } from "../../node-info.ts";
import {
  type Constraint,
  constraintsOf,
  countedSets,
  defaultConstraints,
  hasAllKeys,
  hostname,
  includesAll,
  takesPart,
} from "./constraints.ts";

interface Weighed {
  readonly constraint: Constraint;
  /** More domains, more weight: each of them holds fewer pods. */
  readonly weight: number;
  /** Matching pods by domain of the nodes that are left; by node where those are the domains. */
  readonly domains: Map<string, number>;
  readonly nodes: Map<NodeInfo, number>;
}

interface State {
  readonly weighed: readonly Weighed[];
  /** Nodes without one of the labels get no points. */
  readonly needsAllKeys: boolean;
  readonly constraints: readonly Constraint[];
}

const state = new StateKey<State>("PodTopologySpread scores");

/** Stands for a node that is not in the topology, until all points are known. */
const outside = -1;

export function prepareScores(cycle: Cycle, nodes: readonly NodeInfo[]): "skip" | undefined {
  const { pod, snapshot } = cycle;
  const isStated = (pod.pod.spec?.topologySpreadConstraints ?? []).length > 0;
  const constraints = isStated
    ? constraintsOf(pod, "ScheduleAnyway")
    : defaultConstraints(pod, snapshot.workloads);
  if (constraints.length === 0) return "skip";
  const inside = isStated ? nodes.filter((node) => hasAllKeys(constraints, node)) : nodes;
  const weighed = constraints.map((constraint) => weigh(constraint, inside));
  for (const { set, indices } of countedSets(cycle, constraints)) {
    for (const index of indices) {
      const each = weighed[index];
      if (each) count(cycle, each, set.nodes, isStated ? constraints : []);
    }
  }
  cycle.write(state, { weighed, needsAllKeys: isStated, constraints });
  return undefined;
}

function weigh(constraint: Constraint, inside: readonly NodeInfo[]): Weighed {
  const domains = new Map<string, number>();
  const { topologyKey } = constraint;
  if (topologyKey !== hostname) {
    for (const { labels } of inside) {
      const value = labels[topologyKey];
      if (value !== undefined) domains.set(value, 0);
    }
  }
  const size = topologyKey === hostname ? inside.length : domains.size;
  return { constraint, weight: Math.log(size + 2), domains, nodes: new Map() };
}

function count(
  { pod }: Cycle,
  { constraint, domains, nodes }: Weighed,
  present: ReadonlyMap<NodeInfo, number>,
  needed: readonly Constraint[],
): void {
  const { topologyKey } = constraint;
  const all = includesAll(constraint, pod);
  for (const [node, number] of present) {
    if (topologyKey === hostname) {
      nodes.set(node, (nodes.get(node) ?? 0) + number);
      continue;
    }
    const value = node.labels[topologyKey];
    const known = value === undefined ? undefined : domains.get(value);
    if (value === undefined || known === undefined || !hasAllKeys(needed, node)) continue;
    if (all || takesPart(constraint, pod, node)) domains.set(value, known + number);
  }
}

export const points: Omit<NonNullable<Plugin["score"]>, "weight"> = {
  points(cycle, node) {
    const { weighed, needsAllKeys, constraints } = cycle.read(state);
    if (needsAllKeys && !hasAllKeys(constraints, node)) return outside;
    let sum = 0;
    for (const { constraint, weight, domains, nodes } of weighed) {
      const value = node.labels[constraint.topologyKey];
      if (value === undefined) continue;
      const isHost = constraint.topologyKey === hostname;
      const pods = (isHost ? nodes.get(node) : domains.get(value)) ?? 0;
      sum += pods * weight + (constraint.maxSkew - 1);
    }
    return Math.round(sum);
  },
  normalize(points) {
    let least = Number.POSITIVE_INFINITY;
    let most = 0;
    for (const each of points) {
      if (each === outside) continue;
      if (each < least) least = each;
      if (each > most) most = each;
    }
    for (let index = 0; index < points.length; index++) {
      const each = points[index] ?? 0;
      if (each === outside) points[index] = 0;
      else points[index] = most === 0 ? 100 : (100 * (most + least - each)) / most;
    }
  },
};
