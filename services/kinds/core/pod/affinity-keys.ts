import type { PodAffinityTerm, PodSpec } from "../../../../proto/gen/core.ts";

/**
 * Adds what `matchLabelKeys` and `mismatchLabelKeys` mean for a pod with these labels to the label
 * selectors of its affinity (upstream `applyMatchLabelKeysAndMismatchLabelKeys`). Keys that the pod
 * does not have, and terms without a selector, stay as they are.
 */
export function addLabelKeys(spec: PodSpec, labels: Readonly<Record<string, string>>): void {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  for (const affinity of [podAffinity, podAntiAffinity]) {
    for (const term of affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
      addToTerm(term, labels);
    }
    for (const each of affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
      if (each.podAffinityTerm) addToTerm(each.podAffinityTerm, labels);
    }
  }
}

function addToTerm(term: PodAffinityTerm, labels: Readonly<Record<string, string>>): void {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  if (labelSelector === undefined) return;
  const added = [
    ...matchLabelKeys.map((key) => ({ key, operator: "In" })),
    ...mismatchLabelKeys.map((key) => ({ key, operator: "NotIn" })),
  ].flatMap(({ key, operator }) => {
    const value = labels[key];
    return value === undefined ? [] : { key, operator, values: [value] };
  });
  if (added.length === 0) return;
  labelSelector.matchExpressions = [...(labelSelector.matchExpressions ?? []), ...added];
}
