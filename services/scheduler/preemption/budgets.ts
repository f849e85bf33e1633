import type { PodDisruptionBudget } from "../../../proto/gen/policy.ts";
import { matchesLabels, selectorOf } from "../../kinds/facts.ts";
import type { PodInfo } from "../pod-info.ts";

/**
 * Which of the pods could only go against a disruption budget, if they went in this order. A budget
 * without a selector, or with an empty one, protects nothing here; a pod that a budget already
 * counts as disrupted takes nothing from it.
 */
export function violatingPods(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): ReadonlySet<PodInfo> {
  const counted = budgets.map(({ metadata, spec, status }) => ({
    namespace: metadata?.namespace,
    selector: selectorOf(spec?.selector),
    disrupted: status?.disruptedPods ?? {},
    allowed: status?.disruptionsAllowed ?? 0,
  }));
  const violating = new Set<PodInfo>();
  for (const info of pods) {
    if (Object.keys(info.labels).length === 0) continue;
    for (const budget of counted) {
      const { namespace, selector, disrupted } = budget;
      if (namespace !== info.namespace || selector.requirements.length === 0) continue;
      if (!matchesLabels(selector, info.labels)) continue;
      if (Object.hasOwn(disrupted, info.pod.metadata?.name ?? "")) continue;
      budget.allowed--;
      if (budget.allowed < 0) violating.add(info);
    }
  }
  return violating;
}
