/** Which objects a quota counts (upstream `podMatchesScopeFunc`). */
import type {
  Pod,
  ResourceQuota,
  ScopedResourceSelectorRequirement,
} from "../../../../proto/gen/core.ts";
import { type Document, qosClassOf, type Resource } from "../../../kinds/mod.ts";

/** A quota with scopes counts pods alone. */
export function isCounted(quota: ResourceQuota, resource: Resource, document: Document): boolean {
  const { scopes = [], scopeSelector } = quota.spec ?? {};
  const wanted: readonly ScopedResourceSelectorRequirement[] = [
    ...scopes.map((scopeName) => ({ scopeName, operator: "Exists" })),
    ...(scopeSelector?.matchExpressions ?? []),
  ];
  if (wanted.length === 0) return true;
  if (resource.group !== "" || resource.plural !== "pods") return false;
  return wanted.every((requirement) => matches(document as Pod, requirement));
}

function matches(pod: Pod, requirement: ScopedResourceSelectorRequirement): boolean {
  const { spec = {} } = pod;
  switch (requirement.scopeName) {
    case "Terminating":
      return spec.activeDeadlineSeconds !== undefined;
    case "NotTerminating":
      return spec.activeDeadlineSeconds === undefined;
    case "BestEffort":
      return qosClassOf(pod) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf(pod) !== "BestEffort";
    case "PriorityClass":
      return selects(requirement, spec.priorityClassName ?? "");
    case "CrossNamespacePodAffinity":
      return crossesNamespaces(pod);
    default:
      return false;
  }
}

function selects({ operator, values = [] }: ScopedResourceSelectorRequirement, name: string) {
  switch (operator) {
    case "In":
      return values.includes(name);
    case "NotIn":
      return !values.includes(name);
    case "DoesNotExist":
      return name === "";
    default:
      return name !== "";
  }
}

function crossesNamespaces({ spec = {} }: Pod): boolean {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  return [podAffinity, podAntiAffinity].some((affinity) =>
    [
      ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
        ({ podAffinityTerm = {} }) => podAffinityTerm,
      ),
    ].some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined),
  );
}
