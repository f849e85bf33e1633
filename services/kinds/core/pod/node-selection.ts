/** Which nodes a pod wants by their labels and names. */
import type {
  Node,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
} from "../../../../proto/gen/core.ts";

/** `spec.nodeSelector` and the required node affinity hold for the node. */
export function selectsNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) {
    if (labels[key] !== value) return false;
  }
  const required = requiredOf(pod);
  return !required || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

function requiredOf({ spec }: Pod): NodeSelector | undefined {
  return spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
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
