/** What the kinds of this group share: selector, template, replicas. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import {
  containerColumns,
  setPodTemplateDefaults,
  validateLasting,
  validateMatch,
  validatePodTemplate,
} from "../core/pod/template.ts";
import { invalid, required } from "../machinery/causes.ts";
import { notNegative, unchanged } from "../machinery/field-rules.ts";
import { selectorOf, shownSelector, validateLabelSelector } from "../machinery/label-selector.ts";
import type { Column, Document, ScaleSubresource } from "../machinery/resource.ts";
import { formatSelector } from "../machinery/selectors.ts";

export interface WorkloadSpec {
  replicas?: number | undefined;
  minReadySeconds?: number | undefined;
  selector?: LabelSelector | undefined;
  template?: PodTemplateSpec | undefined;
}

export function setWorkloadDefaults(spec: WorkloadSpec): void {
  spec.replicas ??= 1;
  spec.template ??= {};
  setPodTemplateDefaults(spec.template);
}

/** Of deployments and replica sets; `kind` as upstream's messages call it. */
export function validateWorkload(spec: WorkloadSpec, kind: string): FieldCause[] {
  return [
    ...notNegative(spec.replicas, "spec.replicas"),
    ...notNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateSelector(spec.selector, "deployment"),
    ...(isUnderstood(spec.selector)
      ? validateTemplate(spec.selector, spec.template, kind)
      : [invalid("spec.selector", shownSelector(spec.selector ?? {}), "invalid label selector")]),
  ];
}

/** `noun` as upstream's messages call the kind, e.g. "deployment". */
export function validateSelector(selector: LabelSelector | undefined, noun: string): FieldCause[] {
  if (selector === undefined) return [required("spec.selector")];
  const causes = validateLabelSelector(selector, "spec.selector");
  return [...causes, ...validateNotEmpty(selector, noun)];
}

export function validateNotEmpty(selector: LabelSelector, noun: string): FieldCause[] {
  if (!selectorIsEmpty(selector)) return [];
  return [invalid("spec.selector", selector, `empty selector is invalid for ${noun}`)];
}

/** What cannot be understood selects nothing that could be compared. */
export function isUnderstood(selector: LabelSelector | undefined): boolean {
  return selector === undefined || validateLabelSelector(selector, "spec.selector").length === 0;
}

/** The template of pods that are kept running, and whether the selector selects them. */
export function validateTemplate(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec = {},
  kind: string,
): FieldCause[] {
  const path = "spec.template";
  return [
    ...(isUnderstood(selector) ? validateMatch(selectorOf(selector), template, path) : []),
    ...validatePodTemplate(template, path),
    ...validateLasting(template, path, kind),
  ];
}

/** An update strategy as upstream's messages show it: its fields bear the names of its code. */
export function shownStrategy(strategy: {
  readonly type?: string | undefined;
  readonly rollingUpdate?: { maxUnavailable?: unknown; maxSurge?: unknown } | undefined;
}) {
  const { type = "", rollingUpdate: rolling } = strategy;
  const { maxUnavailable = 0, maxSurge = 0 } = rolling ?? {};
  const shown = rolling && { MaxUnavailable: maxUnavailable, MaxSurge: maxSurge };
  return { Type: type, RollingUpdate: shown ?? null };
}

function selectorIsEmpty(selector: LabelSelector): boolean {
  const labels = Object.keys(selector.matchLabels ?? {});
  return labels.length + (selector.matchExpressions ?? []).length === 0;
}

export function validateSelectorUpdate(next: WorkloadSpec, stored: WorkloadSpec): FieldCause[] {
  return unchanged("spec.selector", next.selector, stored.selector);
}

/** Containers, images and selector, as `-o wide` shows them. */
export function wideColumns(specOf: (document: Document) => WorkloadSpec | undefined): Column[] {
  return [
    ...containerColumns((document) => specOf(document)?.template),
    {
      name: "Selector",
      description: "Label selector of its pods.",
      wide: true,
      value: (document) => selectorColumn(specOf(document)),
    },
  ];
}

/** The query form of a workload's selector. */
function selectorText(spec: WorkloadSpec | undefined): string {
  return formatSelector(selectorOf(spec?.selector));
}

/** In a column, a selector without requirements is `<none>`. */
function selectorColumn(spec: WorkloadSpec | undefined): string {
  return selectorText(spec) || "<none>";
}

/** The scale subresource of a kind with `spec.replicas` and `status.replicas`. */
export function replicaScale(
  specOf: (document: Document) => WorkloadSpec,
  statusOf: (document: Document) => { replicas?: number | undefined },
): ScaleSubresource {
  return {
    replicas: (document) => specOf(document).replicas ?? 0,
    setReplicas: (document, replicas) => {
      document["spec"] = { ...specOf(document), replicas };
    },
    currentReplicas: (document) => statusOf(document).replicas ?? 0,
    selector: (document) => selectorText(specOf(document)),
  };
}
