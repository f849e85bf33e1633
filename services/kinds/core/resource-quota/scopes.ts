/** Which objects a quota counts (upstream `podMatchesScopeFunc`). */
import type {
  PersistentVolumeClaim,
  Pod,
  ResourceQuota,
  ScopedResourceSelectorRequirement,
} from "../../../../proto/gen/core.ts";
import { qosClassOf } from "../pod/qos.ts";
import type { CountedObject, CountedResource } from "./usage.ts";

/** A quota with scopes counts only pods, or claims, and of those only what is in all its scopes. */
export function isCounted(
  quota: ResourceQuota,
  { group, plural }: CountedResource,
  object: CountedObject,
): boolean {
  const { scopes = [], scopeSelector } = quota.spec ?? {};
  const wanted: readonly ScopedResourceSelectorRequirement[] = [
    ...scopes.map((scopeName) => ({ scopeName, operator: "Exists" })),
    ...(scopeSelector?.matchExpressions ?? []),
  ];
  if (wanted.length === 0) return true;
  if (group !== "") return false;
  if (plural === "pods") return wanted.every((each) => matchesPod(object as Pod, each));
  if (plural !== "persistentvolumeclaims") return false;
  return wanted.every((each) => matchesClaim(object as PersistentVolumeClaim, each));
}

function matchesClaim(
  { spec, status }: PersistentVolumeClaim,
  requirement: ScopedResourceSelectorRequirement,
): boolean {
  if (requirement.scopeName !== "VolumeAttributesClass") return false;
  const names = [spec?.volumeAttributesClassName, status?.currentVolumeAttributesClassName];
  const set = names.filter((name) => name !== undefined && name !== "");
  if (set.length === 0) return selects(requirement, "");
  return set.some((name) => selects(requirement, name ?? ""));
}

function matchesPod(pod: Pod, requirement: ScopedResourceSelectorRequirement): boolean {
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
