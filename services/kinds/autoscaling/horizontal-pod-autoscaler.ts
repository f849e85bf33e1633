import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  HorizontalPodAutoscaler,
  type HorizontalPodAutoscalerBehavior,
  type HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalersService,
  type HPAScalingPolicy,
  type HPAScalingRules,
} from "../../../proto/gen/autoscaling_v2.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { countersNotNegative } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { canonicalQuantity, parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { canonicaliseMetrics, shownMetrics } from "./metrics.ts";
import { validateMetrics, validateReference } from "./validation.ts";

type Status = NonNullable<HorizontalPodAutoscaler["status"]>;

const specOf = (document: Document): HorizontalPodAutoscalerSpec =>
  (document as HorizontalPodAutoscaler).spec ?? {};
const statusOf = (document: Document): Status => (document as HorizontalPodAutoscaler).status ?? {};

/** Percent of the CPU that pods request, where no metric is named. */
const cpuUtilizationDefault = 80;
const periodSecondsMax = 1_800;
const windowSecondsMax = 3_600;

export const horizontalPodAutoscaler = defineKind({
  message: "trireme.autoscaling.v2.HorizontalPodAutoscaler",
  codec: HorizontalPodAutoscaler,
  service: HorizontalPodAutoscalersService,
  countsGenerations: false,
  shortNames: ["hpa"],
  categories: ["all"],

  setDefaults(document) {
    const autoscaler = document as HorizontalPodAutoscaler;
    autoscaler.spec ??= {};
    const { spec } = autoscaler;
    spec.minReplicas ??= 1;
    if ((spec.metrics ?? []).length === 0) {
      const target = { type: "Utilization", averageUtilization: cpuUtilizationDefault };
      spec.metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
    }
    setBehaviorDefaults(spec.behavior);
    autoscaler.status ??= {};
    autoscaler.status.desiredReplicas ??= 0;
    canonicaliseMetrics(autoscaler);
  },
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    if (equalJson(statusOf(next), statusOf(stored))) return [];
    return countersNotNegative(statusOf(next), ["currentReplicas", "desiredReplicas"], "status");
  },
  columns: [
    nameColumn,
    {
      name: "Reference",
      value: (document) => {
        const { kind = "", name = "" } = specOf(document).scaleTargetRef ?? {};
        return `${kind}/${name}`;
      },
    },
    {
      name: "Targets",
      value: (document) =>
        shownMetrics(specOf(document).metrics, statusOf(document).currentMetrics),
    },
    { name: "MinPods", value: (document) => String(specOf(document).minReplicas ?? "<unset>") },
    { name: "MaxPods", value: (document) => specOf(document).maxReplicas ?? 0 },
    {
      name: "Replicas",
      value: (document) => statusOf(document).currentReplicas ?? 0,
    },
    ageColumn,
  ],
});

/** A behavior that is there at all is filled in for both directions. */
function setBehaviorDefaults(behavior: HorizontalPodAutoscalerBehavior | undefined): void {
  if (behavior === undefined) return;
  const percent = { type: "Percent", value: 100, periodSeconds: 15 };
  const pods = { type: "Pods", value: 4, periodSeconds: 15 };
  behavior.scaleUp = {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [pods, percent],
    ...given(behavior.scaleUp),
  };
  // The window downwards is the controller's own, where none is given.
  behavior.scaleDown = {
    selectPolicy: "Max",
    policies: [percent],
    ...given(behavior.scaleDown),
  };
  for (const rules of [behavior.scaleUp, behavior.scaleDown]) {
    if (rules.tolerance !== undefined) rules.tolerance = canonicalQuantity(rules.tolerance);
  }
}

function given(rules: HPAScalingRules | undefined): HPAScalingRules {
  return Object.fromEntries(Object.entries(rules ?? {}).filter(([, value]) => value !== undefined));
}

function validateSpec(spec: HorizontalPodAutoscalerSpec): FieldCause[] {
  const { minReplicas, maxReplicas = 0, scaleTargetRef = {}, behavior = {} } = spec;
  const causes: FieldCause[] = [];
  if (minReplicas !== undefined && minReplicas < 1) {
    const detail = "must be greater than or equal to 1";
    causes.push(invalid("spec.minReplicas", minReplicas, detail));
  }
  if (maxReplicas < 1) {
    causes.push(invalid("spec.maxReplicas", maxReplicas, "must be greater than 0"));
  }
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    const detail = "must be greater than or equal to `minReplicas`";
    causes.push(invalid("spec.maxReplicas", maxReplicas, detail));
  }
  // The only kind of the core group that scales.
  const ungrouped = scaleTargetRef.kind === "ReplicationController";
  return [
    ...causes,
    ...validateReference(scaleTargetRef, "spec.scaleTargetRef", ungrouped),
    ...validateMetrics(spec.metrics ?? [], "spec.metrics"),
    ...validateZero(spec),
    ...validateRules(behavior.scaleUp, "spec.behavior.scaleUp"),
    ...validateRules(behavior.scaleDown, "spec.behavior.scaleDown"),
  ];
}

/** Without pods, only what is measured elsewhere can tell that some are needed. */
function validateZero({ minReplicas, metrics = [] }: HorizontalPodAutoscalerSpec): FieldCause[] {
  const elsewhere = metrics.some(({ type }) => type === "Object" || type === "External");
  if (minReplicas !== 0 || elsewhere) return [];
  const detail =
    "must specify at least one Object or External metric to support scaling to zero replicas";
  return [forbidden("spec.metrics", detail)];
}

function validateRules(rules: HPAScalingRules | undefined, path: string): FieldCause[] {
  if (rules === undefined) return [];
  const { stabilizationWindowSeconds: seconds = 0, policies = [], tolerance } = rules;
  const causes: FieldCause[] = [];
  const window = `${path}.stabilizationWindowSeconds`;
  if (seconds < 0) {
    causes.push(invalid(window, seconds, "must be greater than or equal to zero"));
  }
  if (seconds > windowSecondsMax) {
    causes.push(invalid(window, seconds, `must be less than or equal to ${windowSecondsMax}`));
  }
  causes.push(...oneOf(rules.selectPolicy, ["Disabled", "Max", "Min"], `${path}.selectPolicy`));
  if (policies.length === 0) {
    causes.push(required(`${path}.policies`, "must specify at least one Policy"));
  }
  policies.forEach((policy, index) => {
    causes.push(...validatePolicy(policy, `${path}.policies[${index}]`));
  });
  if (tolerance === undefined) return causes;
  const quantity = parseQuantity(tolerance);
  if (quantity === undefined) {
    causes.push(invalid(`${path}.tolerance`, tolerance, quantityMessage));
  } else if (quantity.nanos < 0n) {
    const detail = "must be greater than or equal to 0";
    causes.push(invalid(`${path}.tolerance`, tolerance, detail));
  }
  return causes;
}

function validatePolicy(policy: HPAScalingPolicy, path: string): FieldCause[] {
  const { type = "", value = 0, periodSeconds: seconds = 0 } = policy;
  const types = ["Percent", "Pods"];
  const causes = types.includes(type) ? [] : [notSupported(`${path}.type`, type, types)];
  if (value <= 0) causes.push(invalid(`${path}.value`, value, "must be greater than zero"));
  const period = `${path}.periodSeconds`;
  if (seconds <= 0) causes.push(invalid(period, seconds, "must be greater than zero"));
  if (seconds > periodSecondsMax) {
    causes.push(invalid(period, seconds, `must be less than or equal to ${periodSecondsMax}`));
  }
  return causes;
}
