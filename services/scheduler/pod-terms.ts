/** What a pod says about the pods near it (`spec.affinity`), parsed once. */
import type { Pod, PodAffinityTerm } from "../../proto/gen/core.ts";
import { matchesLabels, selectorOf } from "../kinds/facts.ts";

export type Labels = Readonly<Record<string, string>>;
type Selector = ReturnType<typeof selectorOf>;

/** Some other pods, and the label of the nodes that makes them near. */
export interface PodTerm {
  readonly topologyKey: string;
  readonly selector: Selector;
  readonly namespaces: ReadonlySet<string>;
  /** Namespaces with these labels count beside those that are named. */
  readonly namespaceSelector: Selector | undefined;
}

interface WeightedTerm extends PodTerm {
  /** Negative: such places are avoided. */
  readonly weight: number;
}

export interface PodRules {
  readonly affinity: readonly PodTerm[];
  readonly antiAffinity: readonly PodTerm[];
  readonly preferred: readonly WeightedTerm[];
}

/** Labels of a namespace; undefined when there is no such namespace. */
export type NamespaceLabels = (namespace: string) => Labels | undefined;

const noRules: PodRules = { affinity: [], antiAffinity: [], preferred: [] };

export function podRules(pod: Pod): PodRules {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  if (podAffinity === undefined && podAntiAffinity === undefined) return noRules;
  const own = pod.metadata?.namespace ?? "";
  const required = (terms: readonly PodAffinityTerm[] = []) =>
    terms.map((term) => parseTerm(term, own));
  const preferred = (affinity: typeof podAffinity, sign: 1 | -1) =>
    (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      ({ weight = 0, podAffinityTerm = {} }) => ({
        ...parseTerm(podAffinityTerm, own),
        weight: sign * weight,
      }),
    );
  return {
    affinity: required(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    antiAffinity: required(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferred: [...preferred(podAffinity, 1), ...preferred(podAntiAffinity, -1)],
  };
}

function parseTerm(term: PodAffinityTerm, own: string): PodTerm {
  const { namespaces = [], namespaceSelector, labelSelector, topologyKey = "" } = term;
  const named = namespaces.length === 0 && namespaceSelector === undefined ? [own] : namespaces;
  return {
    topologyKey,
    selector: selectorOf(labelSelector),
    namespaces: new Set(named),
    namespaceSelector: namespaceSelector && selectorOf(namespaceSelector),
  };
}

/** Whether a pod with these labels in this namespace is one of those that the term means. */
export function termSelects(
  term: PodTerm,
  pod: { readonly namespace: string; readonly labels: Labels },
  namespaceLabels: NamespaceLabels,
): boolean {
  if (!term.namespaces.has(pod.namespace)) {
    if (term.namespaceSelector === undefined) return false;
    if (!matchesLabels(term.namespaceSelector, namespaceLabels(pod.namespace))) return false;
  }
  return matchesLabels(term.selector, pod.labels);
}
