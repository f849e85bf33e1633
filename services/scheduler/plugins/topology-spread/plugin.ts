import { matchesLabels } from "../../../kinds/facts.ts";
import {
  type Cycle,
  on,
  type Plugin,
  refuse,
  refuseForGood,
  StateKey,
} from "../../framework/mod.ts";
import type { NodeInfo } from "../../node-info.ts";
import type { PodInfo } from "../../pod-info.ts";
import {
  type Constraint,
  constraintsOf,
  countedSets,
  hasAllKeys,
  includesAll,
  takesPart,
} from "./constraints.ts";
import { points, prepareScores } from "./scores.ts";

const uneven = refuse("node(s) didn't match pod topology spread constraints");
const noDomain = refuseForGood(
  "node(s) didn't match pod topology spread constraints (missing required label)",
);

/** One constraint that must hold, with the matching pods by domain. */
interface Spread {
  readonly constraint: Constraint;
  readonly domains: Map<string, number>;
  readonly countsItself: boolean;
  /** The smallest of the counts; undefined when they have changed since. */
  smallest: number | undefined;
}

const state = new StateKey<readonly Spread[]>("PodTopologySpread");

/** Keeps the numbers of matching pods in all domains of a topology within a skew. */
export const podTopologySpread: Plugin = {
  name: "PodTopologySpread",
  events: [
    on("Pod", ["added", "updated", "deleted"], (pod, { previous, next }) =>
      [previous, next].some((other) => {
        const { labels = {}, namespace = "" } = other?.metadata ?? {};
        if (other === undefined || namespace !== pod.namespace) return false;
        return constraintsOf(pod, "DoNotSchedule").some(({ selector }) =>
          matchesLabels(selector, labels),
        );
      }),
    ),
    on("Node", ["added", "updated", "deleted"], (pod, { previous, next }) => {
      const has = (node: typeof next) =>
        constraintsOf(pod, "DoNotSchedule").every(
          ({ topologyKey }) => node?.metadata?.labels?.[topologyKey] !== undefined,
        );
      return has(previous) || has(next);
    }),
  ],

  preFilter(cycle) {
    const constraints = constraintsOf(cycle.pod, "DoNotSchedule");
    if (constraints.length === 0) return { skip: true };
    cycle.write(state, countDomains(cycle, constraints));
    return undefined;
  },
  podAdded: (cycle, pod, node) => move(cycle, pod, node, 1),
  podRemoved: (cycle, pod, node) => move(cycle, pod, node, -1),

  filter(cycle, { labels }) {
    for (const spread of cycle.read(state)) {
      const { constraint, domains, countsItself } = spread;
      const value = labels[constraint.topologyKey];
      if (value === undefined) return noDomain;
      const count = (domains.get(value) ?? 0) + (countsItself ? 1 : 0);
      if (count - smallestOf(spread) > constraint.maxSkew) return uneven;
    }
    return undefined;
  },

  preScore: prepareScores,
  score: { weight: 2, ...points },
};

function countDomains(cycle: Cycle, constraints: readonly Constraint[]): readonly Spread[] {
  const { pod, snapshot } = cycle;
  const keys = constraints.map(({ topologyKey }) => topologyKey);
  const spreads = constraints.map((constraint, index) => {
    const known = includesAll(constraint, pod) ? snapshot.domains(keys)[index] : undefined;
    const domains = known ? new Map(known) : new Map<string, number>();
    const countsItself = matchesLabels(constraint.selector, pod.labels);
    return {
      constraint,
      domains,
      countsItself,
      smallest: undefined,
      isFilled: known !== undefined,
    };
  });
  for (const node of spreads.every(({ isFilled }) => isFilled) ? [] : snapshot.nodes) {
    if (!hasAllKeys(constraints, node)) continue;
    for (const { constraint, domains, isFilled } of spreads) {
      if (isFilled || !takesPart(constraint, pod, node)) continue;
      domains.set(node.labels[constraint.topologyKey] ?? "", 0);
    }
  }
  for (const { set, indices } of countedSets(cycle, constraints)) {
    for (const [node, count] of set.nodes) {
      if (!hasAllKeys(constraints, node)) continue;
      for (const index of indices) {
        const spread = spreads[index];
        if (spread === undefined) continue;
        const { constraint, domains, isFilled } = spread;
        if (!isFilled && !takesPart(constraint, pod, node)) continue;
        const value = node.labels[constraint.topologyKey] ?? "";
        domains.set(value, (domains.get(value) ?? 0) + count);
      }
    }
  }
  return spreads;
}

function move(cycle: Cycle, other: PodInfo, node: NodeInfo, sign: 1 | -1): void {
  const spreads = cycle.read(state);
  if (other.namespace !== cycle.pod.namespace || other.pod.metadata?.deletionTimestamp) return;
  if (!spreads.every(({ constraint }) => node.labels[constraint.topologyKey] !== undefined)) return;
  for (const spread of spreads) {
    const { constraint, domains } = spread;
    if (constraint.selector.requirements.length === 0) continue;
    if (!matchesLabels(constraint.selector, other.labels)) continue;
    if (!takesPart(constraint, cycle.pod, node)) continue;
    const value = node.labels[constraint.topologyKey] ?? "";
    domains.set(value, (domains.get(value) ?? 0) + sign);
    spread.smallest = undefined;
  }
}

/** With fewer domains than there must be, an empty one is missing. */
function smallestOf(spread: Spread): number {
  if (spread.smallest === undefined) {
    let smallest = Number.POSITIVE_INFINITY;
    for (const count of spread.domains.values()) if (count < smallest) smallest = count;
    spread.smallest = spread.domains.size < spread.constraint.minDomains ? 0 : smallest;
  }
  return spread.smallest;
}
