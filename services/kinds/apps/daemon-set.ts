import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { DaemonSet, type DaemonSetSpec, DaemonSetsService } from "../../../proto/gen/apps.ts";
import { setPodTemplateDefaults } from "../core/pod/template.ts";
import { podWarnings } from "../core/pod/warnings.ts";
import { invalid, notSupportedInOrder, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { countersNotNegative, notDecremented, notNegative } from "../machinery/field-rules.ts";
import { isZeroAmount, validateAmount, validatePercentage } from "../machinery/int-or-string.ts";
import { equalJson } from "../machinery/json.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import type { Column, Document } from "../machinery/resource.ts";
import { formatLabels } from "../machinery/selectors.ts";
import {
  shownStrategy,
  validateNotEmpty,
  validateSelectorUpdate,
  validateTemplate,
  wideColumns,
} from "./workload.ts";

type Status = NonNullable<DaemonSet["status"]>;

/** Counts changes of the template, on every daemon set of every version of the API. */
const templateGeneration = "deprecated.daemonset.template.generation";

const specOf = (document: Document): DaemonSetSpec => (document as DaemonSet).spec ?? {};
const statusOf = (document: Document): Status => (document as DaemonSet).status ?? {};

export const daemonSet = defineKind({
  message: "trireme.apps.v1.DaemonSet",
  codec: DaemonSet,
  service: DaemonSetsService,
  shortNames: ["ds"],
  categories: ["all"],

  setDefaults(document) {
    const set = document as DaemonSet;
    set.spec ??= {};
    const { spec } = set;
    spec.template ??= {};
    setPodTemplateDefaults(spec.template);
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    spec.revisionHistoryLimit ??= 10;
    set.status ??= {};
    set.status.currentNumberScheduled ??= 0;
    set.status.numberMisscheduled ??= 0;
    set.status.desiredNumberScheduled ??= 0;
    set.status.numberReady ??= 0;
  },
  prepareForCreate: (document) => setTemplateGeneration(document, 1),
  prepareForUpdate(next, stored) {
    const known = Number(stored.metadata?.annotations?.[templateGeneration] ?? 1);
    const changed = !equalJson(specOf(next).template, specOf(stored).template);
    setTemplateGeneration(next, changed ? known + 1 : known);
  },
  warnings: (document) => podWarnings(specOf(document).template ?? {}, "spec.template."),
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    const causes = validateSelectorUpdate(specOf(next), specOf(stored));
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateStatus(statusOf(next), statusOf(stored))];
  },
  columns: [
    nameColumn,
    count("Desired", "desiredNumberScheduled"),
    count("Current", "currentNumberScheduled"),
    count("Ready", "numberReady"),
    count("Up-to-date", "updatedNumberScheduled"),
    count("Available", "numberAvailable"),
    {
      name: "Node Selector",
      value: (document) => formatLabels(specOf(document).template?.spec?.nodeSelector),
    },
    ageColumn,
    ...wideColumns(specOf),
  ],
});

type Counter =
  | "desiredNumberScheduled"
  | "currentNumberScheduled"
  | "numberReady"
  | "updatedNumberScheduled"
  | "numberAvailable";

function count(name: string, counter: Counter): Column {
  return { name, type: "integer", value: (document) => statusOf(document)[counter] ?? 0 };
}

function setTemplateGeneration(document: Document, generation: number): void {
  document.metadata ??= {};
  const { annotations } = document.metadata;
  document.metadata.annotations = { ...annotations, [templateGeneration]: String(generation) };
}

function validateSpec(spec: DaemonSetSpec): FieldCause[] {
  const { selector } = spec;
  return [
    ...(selector === undefined
      ? []
      : [
          ...validateLabelSelector(selector, "spec.selector"),
          ...validateNotEmpty(selector, "daemonset"),
        ]),
    ...validateTemplate(selector, spec.template, "DaemonSet"),
    ...notNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateStrategy(spec),
    ...notNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
}

function validateStrategy({ updateStrategy = {} }: DaemonSetSpec): FieldCause[] {
  const path = "spec.updateStrategy";
  const { type = "", rollingUpdate } = updateStrategy;
  if (type === "OnDelete") return [];
  if (type !== "RollingUpdate") {
    const strategies = ["RollingUpdate", "OnDelete"];
    return [notSupportedInOrder(path, shownStrategy(updateStrategy), strategies)];
  }
  const at = `${path}.rollingUpdate`;
  if (rollingUpdate === undefined) return [required(at)];
  const maxUnavailable: unknown = rollingUpdate.maxUnavailable;
  const maxSurge: unknown = rollingUpdate.maxSurge;
  const causes = [
    ...validateAmount(maxUnavailable, `${at}.maxUnavailable`),
    ...validateAmount(maxSurge, `${at}.maxSurge`),
    ...validatePercentage(maxUnavailable, `${at}.maxUnavailable`),
    ...validatePercentage(maxSurge, `${at}.maxSurge`),
  ];
  const [unavailable, surge] = [!isZeroAmount(maxUnavailable), !isZeroAmount(maxSurge)];
  if (unavailable && surge) {
    const detail = "may not be set when maxUnavailable is non-zero";
    causes.push(invalid(`${at}.maxSurge`, maxSurge, detail));
  } else if (!unavailable && !surge) {
    causes.push(required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  }
  return causes;
}

const counters = [
  "currentNumberScheduled",
  "numberMisscheduled",
  "desiredNumberScheduled",
  "numberReady",
  "observedGeneration",
  "updatedNumberScheduled",
  "numberAvailable",
  "numberUnavailable",
  "collisionCount",
];

function validateStatus(next: Status, stored: Status): FieldCause[] {
  const path = "status.collisionCount";
  return [
    ...countersNotNegative(next, counters, "status"),
    ...notDecremented(next.collisionCount, stored.collisionCount, path),
  ];
}
