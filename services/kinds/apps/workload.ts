/** What ReplicaSet and Deployment share: selector, template, replicas. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import { setPodSpecDefaults } from "../core/pod/defaults.ts";
import { validatePodSpec } from "../core/pod/validation.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { equalJson } from "../machinery/json.ts";
import { selectorOf, validateLabelSelector } from "../machinery/label-selector.ts";
import { validateAnnotations, validateLabels } from "../machinery/metadata.ts";
import type { Column, Document } from "../machinery/resource.ts";
import { formatSelector, matchesLabels } from "../machinery/selectors.ts";

export interface WorkloadSpec {
  replicas?: number | undefined;
  minReadySeconds?: number | undefined;
  selector?: LabelSelector | undefined;
  template?: PodTemplateSpec | undefined;
}

export function setWorkloadDefaults(spec: WorkloadSpec): void {
  spec.replicas ??= 1;
  if (spec.template === undefined) return;
  spec.template.spec ??= {};
  setPodSpecDefaults(spec.template.spec);
}

/** `noun` as upstream's messages call the kind, e.g. "deployment". */
export function validateWorkload(spec: WorkloadSpec, noun: string, kind: string): FieldCause[] {
  const causes = [
    ...notNegative(spec.replicas, "spec.replicas"),
    ...notNegative(spec.minReadySeconds, "spec.minReadySeconds"),
  ];
  const { selector, template } = spec;
  if (selector === undefined) causes.push(required("spec.selector"));
  else {
    causes.push(...validateLabelSelector(selector, "spec.selector"));
    if (selectorIsEmpty(selector)) {
      causes.push(invalid("spec.selector", selector, `empty selector is invalid for ${noun}`));
    }
  }
  if (template === undefined) causes.push(required("spec.template"));
  else if (causes.length === 0) causes.push(...validateMatch(selector, template));
  if (template !== undefined) causes.push(...validateTemplate(template, kind));
  return causes;
}

export function notNegative(value: number | undefined, path: string): FieldCause[] {
  if (value === undefined || value >= 0) return [];
  return [invalid(path, value, "must be greater than or equal to 0")];
}

function selectorIsEmpty(selector: LabelSelector): boolean {
  const labels = Object.keys(selector.matchLabels ?? {});
  return labels.length + (selector.matchExpressions ?? []).length === 0;
}

function validateMatch(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec,
): FieldCause[] {
  const labels = template.metadata?.labels ?? {};
  if (matchesLabels(selectorOf(selector), labels)) return [];
  const detail = "`selector` does not match template `labels`";
  return [invalid("spec.template.metadata.labels", labels, detail)];
}

function validateTemplate(template: PodTemplateSpec, kind: string): FieldCause[] {
  const { metadata = {}, spec = {} } = template;
  const causes = [
    ...validateLabels(metadata.labels, "spec.template.labels"),
    ...validateAnnotations(metadata.annotations, "spec.template.annotations"),
    ...validatePodSpec(spec, "spec.template.spec"),
  ];
  if ((spec.ephemeralContainers ?? []).length > 0) {
    const detail = "ephemeral containers not allowed in pod template";
    causes.push(forbidden("spec.template.spec.ephemeralContainers", detail));
  }
  const { restartPolicy = "" } = spec;
  if (restartPolicy === "OnFailure" || restartPolicy === "Never") {
    causes.push(notSupported("spec.template.spec.restartPolicy", restartPolicy, ["Always"]));
  }
  if (spec.activeDeadlineSeconds !== undefined) {
    const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
    causes.push(forbidden("spec.template.spec.activeDeadlineSeconds", detail));
  }
  return causes;
}

export function validateSelectorUpdate(next: WorkloadSpec, stored: WorkloadSpec): FieldCause[] {
  if (equalJson(next.selector, stored.selector)) return [];
  return [invalid("spec.selector", next.selector, "field is immutable")];
}

/** Containers, images and selector, as both kinds show them with `-o wide`. */
export function wideColumns(specOf: (document: Document) => WorkloadSpec | undefined): Column[] {
  const containers = (document: Document) => specOf(document)?.template?.spec?.containers ?? [];
  return [
    {
      name: "Containers",
      wide: true,
      value: (document) =>
        containers(document)
          .map(({ name }) => name ?? "")
          .join(","),
    },
    {
      name: "Images",
      wide: true,
      value: (document) =>
        containers(document)
          .map(({ image }) => image ?? "")
          .join(","),
    },
    { name: "Selector", wide: true, value: (document) => selectorText(specOf(document)) },
  ];
}

/** The query form of a workload's selector. */
export function selectorText(spec: WorkloadSpec | undefined): string {
  return formatSelector(selectorOf(spec?.selector));
}
