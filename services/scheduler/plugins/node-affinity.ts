import type {
  Node,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  PreferredSchedulingTerm,
} from "../../../proto/gen/core.ts";
import { normalizeHighest, on, type Plugin, refuseForGood } from "../framework/mod.ts";

const otherLabels = refuseForGood("node(s) didn't match Pod's node affinity/selector");

/** nodeSelector and node affinity, required and preferred. */
export const nodeAffinity: Plugin = {
  name: "NodeAffinity",
  events: [
    on("Node", ["added", "updated"], ({ pod }, { next }) => next === undefined || fits(pod, next)),
  ],
  preFilter: ({ pod }) => ({
    skip: Object.keys(pod.pod.spec?.nodeSelector ?? {}).length === 0 && !requiredOf(pod.pod),
  }),
  filter: ({ pod }, { node }) => (node && fits(pod.pod, node) ? undefined : otherLabels),
  preScore: ({ pod }) => (preferredOf(pod.pod).length === 0 ? "skip" : undefined),
  score: {
    weight: 2,
    normalize: normalizeHighest,
    points({ pod }, { node }) {
      let points = 0;
      for (const { weight = 0, preference } of preferredOf(pod.pod)) {
        if (node && preference && matchesTerm(preference, node)) points += weight;
      }
      return points;
    },
  },
};

function requiredOf({ spec }: Pod): NodeSelector | undefined {
  return spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
}

function preferredOf({ spec }: Pod): readonly PreferredSchedulingTerm[] {
  return spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
}

function fits(pod: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) {
    if (labels[key] !== value) return false;
  }
  const required = requiredOf(pod);
  return !required || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

/** All of a term must hold; an empty one matches no node. */
export function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const labels = node.metadata?.labels ?? {};
  return (
    matchExpressions.every((each) => matches(each, labels[each.key ?? ""])) &&
    matchFields.every((each) =>
      matches(each, each.key === "metadata.name" ? node.metadata?.name : undefined),
    )
  );
}

function matches(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const { operator, values = [] } = requirement;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return isInteger(value) && isInteger(values[0]) && BigInt(value) > BigInt(values[0]);
    case "Lt":
      return isInteger(value) && isInteger(values[0]) && BigInt(value) < BigInt(values[0]);
    default:
      return false;
  }
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^[+-]?\d{1,19}$/.test(text) && !text.startsWith("+");
}
