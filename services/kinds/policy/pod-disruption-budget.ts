import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  PodDisruptionBudget,
  type PodDisruptionBudgetSpec,
  PodDisruptionBudgetsService,
} from "../../../proto/gen/policy.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { invalid } from "../machinery/causes.ts";
import { validateConditions } from "../machinery/condition-validation.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { countersNotNegative } from "../machinery/field-rules.ts";
import { validateAmount, validatePercentage } from "../machinery/int-or-string.ts";
import { equalJson } from "../machinery/json.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import type { Document } from "../machinery/resource.ts";

type Status = NonNullable<PodDisruptionBudget["status"]>;

const specOf = (document: Document): PodDisruptionBudgetSpec =>
  (document as PodDisruptionBudget).spec ?? {};
const statusOf = (document: Document): Status => (document as PodDisruptionBudget).status ?? {};

const counters = [
  "disruptionsAllowed",
  "currentHealthy",
  "desiredHealthy",
  "expectedPods",
] as const;

export const podDisruptionBudget = defineKind({
  message: "trireme.policy.v1.PodDisruptionBudget",
  codec: PodDisruptionBudget,
  service: PodDisruptionBudgetsService,
  shortNames: ["pdb"],
  allowUnconditionalUpdate: false,
  nameRule: "path",

  setDefaults(document) {
    const budget = document as PodDisruptionBudget;
    budget.spec ??= {};
    budget.status ??= {};
    for (const name of counters) budget.status[name] ??= 0;
  },
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    const status = statusOf(next);
    if (equalJson(status, statusOf(stored))) return [];
    return [
      ...validateConditions(status.conditions ?? [], "status.conditions"),
      ...countersNotNegative(status, counters, "status"),
    ];
  },
  columns: [
    nameColumn,
    { name: "Min Available", value: (document) => shown(specOf(document).minAvailable) },
    { name: "Max Unavailable", value: (document) => shown(specOf(document).maxUnavailable) },
    {
      name: "Allowed Disruptions",
      type: "integer",
      value: (document) => statusOf(document).disruptionsAllowed ?? 0,
    },
    ageColumn,
  ],
});

function shown(amount: unknown): string {
  if (amount === undefined) return "N/A";
  return typeof amount === "string" ? amount : JSON.stringify(amount);
}

function validateSpec(spec: PodDisruptionBudgetSpec): FieldCause[] {
  const { selector, unhealthyPodEvictionPolicy: policy } = spec;
  const minAvailable: unknown = spec.minAvailable;
  const maxUnavailable: unknown = spec.maxUnavailable;
  const causes: FieldCause[] = [];
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    // With the names that the fields have inside of upstream.
    const shown = {
      MinAvailable: minAvailable,
      Selector: selector ?? null,
      MaxUnavailable: maxUnavailable,
      UnhealthyPodEvictionPolicy: policy ?? null,
    };
    causes.push(invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"));
  }
  for (const [name, amount] of Object.entries({ minAvailable, maxUnavailable })) {
    causes.push(
      ...validateAmount(amount, `spec.${name}`),
      ...validatePercentage(amount, `spec.${name}`),
    );
  }
  if (selector !== undefined) causes.push(...validateLabelSelector(selector, "spec.selector"));
  const policies = ["AlwaysAllow", "IfHealthyBudget"];
  return [...causes, ...oneOf(policy, policies, "spec.unhealthyPodEvictionPolicy")];
}
