import {
  type Cycle,
  normalizeRange,
  on,
  type Plugin,
  refuse,
  refuseForGood,
  StateKey,
} from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import { type PodInfo, podInfo } from "../pod-info.ts";
import type { PodSet } from "../pod-sets.ts";
import { type NamespaceLabels, type PodRules, type PodTerm, termSelects } from "../pod-terms.ts";
import { TopologyCounts } from "../topology-counts.ts";

const noNeighbour = refuseForGood("node(s) didn't match pod affinity rules");
const neighbour = refuse("node(s) didn't match pod anti-affinity rules");
const unwelcome = refuse("node(s) didn't satisfy existing pods anti-affinity rules");

/** Points for a place near a pod that requires such pods near it (`hardPodAffinityWeight`). */
const requiredWeight = 1;

interface State {
  /** Domains from which placed pods keep this one away, and how many of them do. */
  readonly unwelcome: TopologyCounts;
  /** Pods that meet all affinity terms, once for each term's label. */
  readonly wanted: TopologyCounts;
  /** Pods that meet one of the anti-affinity terms. */
  readonly avoided: TopologyCounts;
}

const state = new StateKey<State>("InterPodAffinity");
const scores = new StateKey<TopologyCounts>("InterPodAffinity scores");

/**
 * Pods want to be near some others or away from them, and the others may mind as well: required
 * anti-affinity holds in both directions.
 */
export const interPodAffinity: Plugin = {
  name: "InterPodAffinity",
  events: [
    on("Pod", ["added", "updated", "deleted"], (pod, { previous, next }) =>
      [previous, next].some((other) => other !== undefined && concerns(pod, podInfo(other))),
    ),
    on("Node", ["added", "updated"], (pod, { next, previous }) => {
      const { affinity, antiAffinity } = pod.rules;
      // A pod without rules waits for a node where the others' rules do not reach.
      if (affinity.length + antiAffinity.length === 0) return true;
      return [...affinity, ...antiAffinity].some(
        ({ topologyKey: key }) =>
          next?.metadata?.labels?.[key] !== previous?.metadata?.labels?.[key],
      );
    }),
    on("Namespace", ["added", "updated"], ({ rules }) =>
      [...rules.affinity, ...rules.antiAffinity].some(
        (term) => term.namespaceSelector !== undefined,
      ),
    ),
  ],

  preFilter(cycle) {
    const { pod, snapshot } = cycle;
    const { affinity, antiAffinity } = pod.rules;
    const { podSets } = snapshot;
    const found = {
      unwelcome: new TopologyCounts(),
      wanted: new TopologyCounts(),
      avoided: new TopologyCounts(),
    };
    for (const set of podSets.withAntiAffinity) {
      for (const [node, count] of countUnwelcome(cycle, set) ? set.nodes : []) {
        account(cycle, found, set, node, { count, own: false });
      }
    }
    if (affinity.length + antiAffinity.length > 0) {
      for (const set of setsFor(cycle, [...affinity, ...antiAffinity])) {
        if (!isMeant(cycle, set)) continue;
        for (const [node, count] of set.nodes) {
          account(cycle, found, set, node, { count, theirs: false });
        }
      }
    }
    cycle.write(state, found);
    return { skip: found.unwelcome.isEmpty && affinity.length + antiAffinity.length === 0 };
  },
  podAdded: (cycle, pod, node) => account(cycle, cycle.read(state), pod, node, { count: 1 }),
  podRemoved: (cycle, pod, node) => account(cycle, cycle.read(state), pod, node, { count: -1 }),

  filter(cycle, { labels }) {
    const { affinity, antiAffinity } = cycle.pod.rules;
    const found = cycle.read(state);
    if (affinity.length > 0 && !isNearWanted(cycle, found.wanted, labels)) return noNeighbour;
    for (const { topologyKey } of antiAffinity) {
      if (found.avoided.of(topologyKey, labels) > 0) return neighbour;
    }
    return found.unwelcome.isAnyPositive(labels) ? unwelcome : undefined;
  },

  preScore(cycle) {
    const { pod, snapshot } = cycle;
    const { preferred } = pod.rules;
    const sums = new TopologyCounts();
    const { podSets } = snapshot;
    for (const set of preferred.length > 0 ? podSets.all() : podSets.withScores) {
      for (const { topologyKey, weight } of weightedTerms(cycle, set)) {
        for (const [node, count] of set.nodes) sums.add(topologyKey, node.labels, weight * count);
      }
    }
    if (sums.isEmpty) return "skip";
    cycle.write(scores, sums);
    return undefined;
  },
  score: {
    weight: 2,
    normalize: normalizeRange,
    points: (cycle, { labels }) => cycle.read(scores).total(labels),
  },
};

type Other = Pick<PodSet, "namespace" | "labels" | "rules">;

/** `own`: this pod's rules about the other; `theirs`: the other's about this pod. */
function account(
  cycle: Cycle,
  { unwelcome: theirRules, wanted, avoided }: State,
  other: Other,
  { labels }: NodeInfo,
  about: { readonly count: number; readonly own?: false; readonly theirs?: false },
): void {
  const { affinity, antiAffinity } = cycle.pod.rules;
  const { count } = about;
  const names = namespaceLabels(cycle);
  if (about.theirs !== false) {
    for (const term of other.rules.antiAffinity) {
      if (termSelects(term, cycle.pod, names)) theirRules.add(term.topologyKey, labels, count);
    }
  }
  if (about.own === false) return;
  if (affinity.length > 0 && meetsAll(affinity, other, names)) {
    for (const { topologyKey } of affinity) wanted.add(topologyKey, labels, count);
  }
  for (const term of antiAffinity) {
    if (termSelects(term, other, names)) avoided.add(term.topologyKey, labels, count);
  }
}

function meetsAll(terms: readonly PodTerm[], other: Other, names: NamespaceLabels): boolean {
  return terms.every((term) => termSelects(term, other, names));
}

function countUnwelcome(cycle: Cycle, { rules }: PodSet): boolean {
  const names = namespaceLabels(cycle);
  return rules.antiAffinity.some((term) => termSelects(term, cycle.pod, names));
}

function isMeant(cycle: Cycle, set: PodSet): boolean {
  const { affinity, antiAffinity } = cycle.pod.rules;
  const names = namespaceLabels(cycle);
  if (affinity.length > 0 && meetsAll(affinity, set, names)) return true;
  return antiAffinity.some((term) => termSelects(term, set, names));
}

/** The sets that the terms can mean. */
function* setsFor({ snapshot }: Cycle, terms: readonly PodTerm[]): Iterable<PodSet> {
  const { podSets } = snapshot;
  if (terms.some(({ namespaceSelector }) => namespaceSelector !== undefined)) {
    yield* podSets.all();
    return;
  }
  const namespaces = new Set(terms.flatMap((term) => [...term.namespaces]));
  for (const namespace of namespaces) yield* podSets.inNamespace(namespace);
}

/** The first of a group of pods that want each other near may go anywhere the label exists. */
function isNearWanted(cycle: Cycle, wanted: TopologyCounts, labels: NodeInfo["labels"]): boolean {
  const { affinity } = cycle.pod.rules;
  let near = true;
  for (const { topologyKey } of affinity) {
    if (labels[topologyKey] === undefined) return false;
    if (wanted.of(topologyKey, labels) <= 0) near = false;
  }
  return near || (wanted.isEmpty && meetsAll(affinity, cycle.pod, namespaceLabels(cycle)));
}

/** What a pod of the set gives or takes in its domains: by this pod's wishes, and by its own. */
function* weightedTerms(
  cycle: Cycle,
  set: PodSet,
): Iterable<{ readonly topologyKey: string; readonly weight: number }> {
  const names = namespaceLabels(cycle);
  for (const term of cycle.pod.rules.preferred) if (termSelects(term, set, names)) yield term;
  for (const term of set.rules.preferred) if (termSelects(term, cycle.pod, names)) yield term;
  for (const term of set.rules.affinity) {
    if (termSelects(term, cycle.pod, names)) {
      yield { topologyKey: term.topologyKey, weight: requiredWeight };
    }
  }
}

function namespaceLabels({ snapshot }: Cycle): NamespaceLabels {
  return (namespace) => snapshot.workloads.namespaceLabels(namespace);
}

/** Namespaces with selectors may mean any pod: then in doubt, yes. */
function concerns(pod: PodInfo, other: PodInfo): boolean {
  const may = (rules: PodRules, selected: PodInfo) =>
    [...rules.affinity, ...rules.antiAffinity].some((term) => {
      const anywhere = { ...term, namespaceSelector: undefined };
      const namespaces = term.namespaceSelector ? new Set([selected.namespace]) : term.namespaces;
      return termSelects({ ...anywhere, namespaces }, selected, () => undefined);
    });
  return may(pod.rules, other) || may({ ...other.rules, affinity: [] }, pod);
}
