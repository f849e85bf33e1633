import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Deployment, type DeploymentSpec, DeploymentsService } from "../../../proto/gen/apps.ts";
import { templateWarnings } from "../core/pod/warnings.ts";
import { validateReplicaStatus } from "../core/replica-status.ts";
import { forbidden, invalid, notSupported } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notDecremented, notNegative } from "../machinery/field-rules.ts";
import { isZeroAmount, validateAmount, validatePercentage } from "../machinery/int-or-string.ts";
import { equalJson } from "../machinery/json.ts";
import type { Document } from "../machinery/resource.ts";
import {
  replicaScale,
  setWorkloadDefaults,
  shownStrategy,
  validateSelectorUpdate,
  validateWorkload,
  wideColumns,
} from "./workload.ts";

type Status = NonNullable<Deployment["status"]>;

const specOf = (document: Document): DeploymentSpec => (document as Deployment).spec ?? {};
const statusOf = (document: Document): Status => (document as Deployment).status ?? {};

export const deployment = defineKind({
  message: "trireme.apps.v1.Deployment",
  codec: Deployment,
  service: DeploymentsService,
  shortNames: ["deploy"],
  categories: ["all"],

  setDefaults(document) {
    const deployment = document as Deployment;
    deployment.spec ??= {};
    const { spec } = deployment;
    setWorkloadDefaults(spec);
    spec.strategy ??= {};
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
      spec.strategy.rollingUpdate.maxSurge ??= "25%";
    }
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    deployment.status ??= {};
  },
  warnings: (document, stored) => templateWarnings(document, stored, specOf(document).template),
  validate(document) {
    const spec = specOf(document);
    return [
      ...validateWorkload(spec, "Deployment"),
      ...validateStrategy(spec),
      ...notNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
      ...validateDeadline(spec),
    ];
  },
  validateUpdate(next, stored) {
    const causes = validateSelectorUpdate(specOf(next), specOf(stored));
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateStatus(statusOf(next), statusOf(stored))];
  },
  columns: [
    nameColumn,
    {
      name: "Ready",
      description: "Ready replicas of those wanted.",
      value: (document) =>
        `${statusOf(document).readyReplicas ?? 0}/${specOf(document).replicas ?? 0}`,
    },
    {
      name: "Up-to-date",
      description: "Replicas of the current template.",
      value: (document) => statusOf(document).updatedReplicas ?? 0,
    },
    {
      name: "Available",
      description: "Replicas that have been ready for minReadySeconds.",
      value: (document) => statusOf(document).availableReplicas ?? 0,
    },
    ageColumn,
    ...wideColumns(specOf),
  ],
  scale: replicaScale(specOf, statusOf),
});

const counters = [
  "observedGeneration",
  "replicas",
  "updatedReplicas",
  "readyReplicas",
  "availableReplicas",
  "unavailableReplicas",
  "terminatingReplicas",
  "collisionCount",
];

function validateStatus(next: Status, stored: Status): FieldCause[] {
  const parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
  return [
    ...validateReplicaStatus(next, counters, parts),
    ...notDecremented(next.collisionCount, stored.collisionCount, "status.collisionCount"),
  ];
}

function validateStrategy({ strategy = {} }: DeploymentSpec): FieldCause[] {
  const path = "spec.strategy";
  const { type = "", rollingUpdate } = strategy;
  if (type === "Recreate") {
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    return rollingUpdate === undefined ? [] : [forbidden(`${path}.rollingUpdate`, detail)];
  }
  if (type !== "RollingUpdate") {
    return [notSupported(path, shownStrategy(strategy), ["Recreate", "RollingUpdate"])];
  }
  if (rollingUpdate === undefined) return [];
  const at = `${path}.rollingUpdate`;
  const maxUnavailable: unknown = rollingUpdate.maxUnavailable;
  const maxSurge: unknown = rollingUpdate.maxSurge;
  const causes = [
    ...validateAmount(maxUnavailable, `${at}.maxUnavailable`),
    ...validateAmount(maxSurge, `${at}.maxSurge`),
  ];
  if (isZeroAmount(maxUnavailable) && isZeroAmount(maxSurge)) {
    const detail = "may not be 0 when `maxSurge` is 0";
    causes.push(invalid(`${at}.maxUnavailable`, maxUnavailable, detail));
  }
  return [...causes, ...validatePercentage(maxUnavailable, `${at}.maxUnavailable`)];
}

function validateDeadline(spec: DeploymentSpec): FieldCause[] {
  const { progressDeadlineSeconds: deadline, minReadySeconds = 0 } = spec;
  if (deadline === undefined) return [];
  const causes = notNegative(deadline, "spec.progressDeadlineSeconds");
  if (deadline > minReadySeconds) return causes;
  const detail = "must be greater than minReadySeconds";
  return [...causes, invalid("spec.progressDeadlineSeconds", deadline, detail)];
}
