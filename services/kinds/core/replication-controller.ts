import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  ReplicationController,
  type ReplicationControllerSpec,
  ReplicationControllersService,
} from "../../../proto/gen/core.ts";
import { required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notNegative } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { selectorOf } from "../machinery/label-selector.ts";
import type { Document } from "../machinery/resource.ts";
import { formatLabels, formatSelector } from "../machinery/selectors.ts";
import {
  containerColumns,
  setPodTemplateDefaults,
  validateLasting,
  validateMatch,
  validatePodTemplate,
} from "./pod/template.ts";
import { templateWarnings } from "./pod/warnings.ts";
import { validateReplicaStatus } from "./replica-status.ts";

type Status = NonNullable<ReplicationController["status"]>;

const specOf = (document: Document): ReplicationControllerSpec =>
  (document as ReplicationController).spec ?? {};
const statusOf = (document: Document): Status => (document as ReplicationController).status ?? {};

export const replicationController = defineKind({
  message: "trireme.core.v1.ReplicationController",
  codec: ReplicationController,
  service: ReplicationControllersService,
  shortNames: ["rc"],
  categories: ["all"],
  // v1 keeps the pods of a controller that is deleted without a word about them.
  defaultPropagation: "Orphan",

  setDefaults(document) {
    const controller = document as ReplicationController;
    controller.spec ??= {};
    const { spec } = controller;
    spec.replicas ??= 1;
    setPodTemplateDefaults(spec.template);
    const labels = spec.template?.metadata?.labels;
    if (labels !== undefined) {
      if (isEmpty(spec.selector)) spec.selector = { ...labels };
      if (isEmpty(controller.metadata?.labels)) {
        controller.metadata = { ...controller.metadata, labels: { ...labels } };
      }
    }
    controller.status ??= {};
    controller.status.replicas ??= 0;
  },
  warnings: (document, stored) => templateWarnings(document, stored, specOf(document).template),
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    if (equalJson(statusOf(next), statusOf(stored))) return [];
    return validateStatus(statusOf(next));
  },
  selectableFields: {
    "status.replicas": (document) => String(statusOf(document).replicas ?? 0),
  },
  columns: [
    nameColumn,
    { name: "Desired", type: "integer", value: (document) => specOf(document).replicas ?? 0 },
    { name: "Current", type: "integer", value: (document) => statusOf(document).replicas ?? 0 },
    { name: "Ready", type: "integer", value: (document) => statusOf(document).readyReplicas ?? 0 },
    ageColumn,
    ...containerColumns((document) => specOf(document).template),
    { name: "Selector", wide: true, value: (document) => formatLabels(specOf(document).selector) },
  ],
  scale: {
    replicas: (document) => specOf(document).replicas ?? 0,
    setReplicas: (document, replicas) => {
      document["spec"] = { ...specOf(document), replicas };
    },
    currentReplicas: (document) => statusOf(document).replicas ?? 0,
    selector: (document) => formatSelector(selectorOf({ matchLabels: specOf(document).selector })),
  },
});

function isEmpty(labels: Readonly<Record<string, string>> | undefined): boolean {
  return Object.keys(labels ?? {}).length === 0;
}

function validateSpec(spec: ReplicationControllerSpec): FieldCause[] {
  const { selector, template } = spec;
  const path = "spec.template";
  const causes = notNegative(spec.minReadySeconds, "spec.minReadySeconds");
  if (isEmpty(selector)) causes.push(required("spec.selector"));
  causes.push(...notNegative(spec.replicas, "spec.replicas"));
  if (template === undefined) return [...causes, required(path)];
  if (!isEmpty(selector)) {
    causes.push(...validateMatch(selectorOf({ matchLabels: selector }), template, path));
  }
  return [
    ...causes,
    ...validatePodTemplate(template, path),
    ...validateLasting(template, path, "ReplicationController"),
  ];
}

const counters = [
  "replicas",
  "fullyLabeledReplicas",
  "readyReplicas",
  "availableReplicas",
  "observedGeneration",
];

function validateStatus(status: Status): FieldCause[] {
  const parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
  return validateReplicaStatus(status, counters, parts);
}
