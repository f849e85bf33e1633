import type { Node, NodeSelectorRequirement, NodeSelectorTerm } from "../../../proto/gen/core.ts";
import type { Plugin } from "../framework.ts";

/** nodeSelector and node affinity, required and preferred. */
export const nodeAffinity: Plugin = {
  name: "NodeAffinity",
  events: ["nodeAdded", "nodeUpdated"],
  filter({ pod }, { node }) {
    const { nodeSelector, affinity } = pod.pod.spec ?? {};
    const labels = node?.metadata?.labels ?? {};
    const selected = Object.entries(nodeSelector ?? {}).every(
      ([key, value]) => labels[key] === value,
    );
    const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
    const terms = required?.nodeSelectorTerms ?? [];
    const wanted = !required || terms.some((term) => node && matchesTerm(term, node));
    return selected && wanted ? [] : ["node(s) didn't match Pod's node affinity/selector"];
  },
  score: {
    weight: 2,
    normalize: "highest",
    points({ pod }, { node }) {
      const preferred =
        pod.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
      let points = 0;
      for (const { weight = 0, preference } of preferred) {
        if (node && preference && matchesTerm(preference, node)) points += weight;
      }
      return points;
    },
  },
};

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
