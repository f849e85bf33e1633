import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { StatefulSet, type StatefulSetSpec, StatefulSetsService } from "../../../proto/gen/apps.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import { validateClaimSpec } from "../core/claim-spec.ts";
import { setClaimDefaults } from "../core/persistent-volume-claim.ts";
import { among } from "../core/pod/field-checks.ts";
import { containerColumns } from "../core/pod/template.ts";
import { templateWarnings } from "../core/pod/warnings.ts";
import { validateReplicaStatus } from "../core/replica-status.ts";
import { forbidden, invalid, invalidValue, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notDecremented, notNegative } from "../machinery/field-rules.ts";
import { isZeroAmount, validateAmount, validatePercentage } from "../machinery/int-or-string.ts";
import { equalJson } from "../machinery/json.ts";
import { shownSelector } from "../machinery/label-selector.ts";
import { checkLabelName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import {
  isUnderstood,
  replicaScale,
  setWorkloadDefaults,
  validateSelector,
  validateTemplate,
} from "./workload.ts";

type Status = NonNullable<StatefulSet["status"]>;

const specOf = (document: Document): StatefulSetSpec => (document as StatefulSet).spec ?? {};
const statusOf = (document: Document): Status => (document as StatefulSet).status ?? {};

export const statefulSet = defineKind({
  message: "trireme.apps.v1.StatefulSet",
  codec: StatefulSet,
  service: StatefulSetsService,
  shortNames: ["sts"],
  categories: ["all"],
  // The names of the pods follow from it.
  nameRule: "label",

  setDefaults(document) {
    const set = document as StatefulSet;
    set.spec ??= {};
    const { spec } = set;
    setWorkloadDefaults(spec);
    spec.podManagementPolicy ||= "OrderedReady";
    spec.updateStrategy ??= {};
    const strategy = spec.updateStrategy;
    if (!strategy.type) {
      strategy.type = "RollingUpdate";
      strategy.rollingUpdate ??= {};
    }
    if (strategy.type === "RollingUpdate" && strategy.rollingUpdate !== undefined) {
      strategy.rollingUpdate.partition ??= 0;
    }
    spec.persistentVolumeClaimRetentionPolicy ??= {};
    spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
    spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
    spec.revisionHistoryLimit ??= 10;
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion = "v1";
      claim.kind = "PersistentVolumeClaim";
      setClaimDefaults(claim);
    }
    set.status ??= {};
    set.status.replicas ??= 0;
    set.status.availableReplicas ??= 0;
  },
  warnings: (document, stored) => templateWarnings(document, stored, specOf(document).template),
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    const causes = validateSpecUpdate(specOf(next), specOf(stored));
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateStatus(statusOf(next), statusOf(stored))];
  },
  columns: [
    nameColumn,
    {
      name: "Ready",
      value: (document) =>
        `${statusOf(document).readyReplicas ?? 0}/${specOf(document).replicas ?? 0}`,
    },
    ageColumn,
    ...containerColumns((document) => specOf(document).template),
  ],
  scale: replicaScale(specOf, statusOf),
});

function validateSpec(spec: StatefulSetSpec): FieldCause[] {
  const { podManagementPolicy: policy = "", serviceName = "" } = spec;
  const causes: FieldCause[] = [];
  if (policy === "") causes.push(required("spec.podManagementPolicy"));
  else if (policy !== "OrderedReady" && policy !== "Parallel") {
    const detail = "must be 'OrderedReady' or 'Parallel'";
    causes.push(invalid("spec.podManagementPolicy", policy, detail));
  }
  causes.push(...validateStrategy(spec), ...validateRetention(spec));
  spec.volumeClaimTemplates?.forEach((claim, index) => {
    const path = `spec.volumeClaimTemplates[${index}].spec`;
    causes.push(...validateClaimSpec(claim.spec ?? {}, path));
  });
  causes.push(
    ...notNegative(spec.replicas, "spec.replicas"),
    ...notNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...notNegative(spec.ordinals?.start, "spec.ordinals.start"),
    ...notNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  );
  if (serviceName !== "") {
    for (const problem of checkLabelName(serviceName)) {
      causes.push(invalid("spec.serviceName", serviceName, problem));
    }
  }
  return [
    ...causes,
    ...validateSelector(spec.selector, "statefulset"),
    ...(isUnderstood(spec.selector)
      ? validateTemplate(spec.selector, podTemplate(spec), "StatefulSet")
      : [invalidValue("spec.selector", shownSelector(spec.selector ?? {}))]),
  ];
}

function validateStrategy({ updateStrategy = {} }: StatefulSetSpec): FieldCause[] {
  const path = "spec.updateStrategy";
  const { type = "", rollingUpdate } = updateStrategy;
  if (type === "") return [required(path)];
  if (type === "OnDelete") {
    if (rollingUpdate === undefined) return [];
    const detail = "only allowed for updateStrategy 'RollingUpdate'";
    return [invalid(`${path}.rollingUpdate`, rollingUpdate, detail)];
  }
  if (type !== "RollingUpdate") {
    const { partition = 0, maxUnavailable = null } = rollingUpdate ?? {};
    const shown = rollingUpdate && { Partition: partition, MaxUnavailable: maxUnavailable };
    const value = { Type: type, RollingUpdate: shown ?? null };
    return [invalid(path, value, "must be 'RollingUpdate' or 'OnDelete'")];
  }
  const at = `${path}.rollingUpdate`;
  const maxUnavailable: unknown = rollingUpdate?.maxUnavailable;
  return [
    ...notNegative(rollingUpdate?.partition, `${at}.partition`),
    ...validateAmount(maxUnavailable, `${at}.maxUnavailable`),
    ...(isZeroAmount(maxUnavailable)
      ? [invalid(`${at}.maxUnavailable`, maxUnavailable, "cannot be 0")]
      : []),
    ...validatePercentage(maxUnavailable, `${at}.maxUnavailable`),
  ];
}

function validateRetention(spec: StatefulSetSpec): FieldCause[] {
  const { whenDeleted, whenScaled } = spec.persistentVolumeClaimRetentionPolicy ?? {};
  const path = "spec.persistentVolumeClaimRetentionPolicy";
  const choices = ["Retain", "Delete"];
  return [
    ...among(whenDeleted, choices, `${path}.whenDeleted`),
    ...among(whenScaled, choices, `${path}.whenScaled`),
  ];
}

/**
 * The template as the pods will have it: the controller sets hostname and subdomain, and each claim
 * stands for a volume of its name.
 */
function podTemplate(spec: StatefulSetSpec): PodTemplateSpec | undefined {
  const { template, volumeClaimTemplates = [] } = spec;
  if (template?.spec === undefined) return template;
  const { hostname: _, subdomain: __, ...pod } = template.spec;
  if (volumeClaimTemplates.length === 0) return { ...template, spec: pod };
  const claims = volumeClaimTemplates.map(({ metadata }) => metadata?.name ?? "");
  const volumes = [
    ...[...new Set(claims)].map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
    ...(pod.volumes ?? []).filter(({ name = "" }) => !claims.includes(name)),
  ];
  return { ...template, spec: { ...pod, volumes } };
}

const mutable = new Set([
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
]);

function validateSpecUpdate(next: StatefulSetSpec, stored: StatefulSetSpec): FieldCause[] {
  const rest = (spec: StatefulSetSpec) =>
    Object.fromEntries(Object.entries(spec).filter(([name]) => !mutable.has(name)));
  if (equalJson(rest(next), rest(stored))) return [];
  const detail =
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', " +
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and " +
    "'minReadySeconds' are forbidden";
  return [forbidden("spec", detail)];
}

const counters = [
  "replicas",
  "readyReplicas",
  "currentReplicas",
  "updatedReplicas",
  "availableReplicas",
  "observedGeneration",
  "collisionCount",
];

function validateStatus(next: Status, stored: Status): FieldCause[] {
  const parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
  const path = "status.collisionCount";
  return [
    ...validateReplicaStatus(next, counters, parts, "status.readyReplicas"),
    ...notDecremented(next.collisionCount, stored.collisionCount, path),
  ];
}
