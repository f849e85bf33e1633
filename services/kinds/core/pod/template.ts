/** Templates that pods are made from, in every kind that has one. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { PodTemplateSpec } from "../../../../proto/gen/core.ts";
import { forbidden, invalid, notSupported } from "../../machinery/causes.ts";
import { validateAnnotations, validateLabels } from "../../machinery/metadata.ts";
import type { Column, Document } from "../../machinery/resource.ts";
import { matchesLabels, type Selector } from "../../machinery/selectors.ts";
import { setPodSpecDefaults } from "./defaults.ts";
import { validatePodSpec } from "./validation.ts";

export function setPodTemplateDefaults(template: PodTemplateSpec | undefined): void {
  if (template === undefined) return;
  template.spec ??= {};
  setPodSpecDefaults(template.spec);
}

/** Upstream's `ValidatePodTemplateSpec`; `path`: of the template. */
export function validatePodTemplate(template: PodTemplateSpec, path: string): FieldCause[] {
  const { metadata = {}, spec = {} } = template;
  const causes = [
    ...validateLabels(metadata.labels, `${path}.labels`),
    ...validateAnnotations(metadata.annotations, `${path}.annotations`),
    ...validatePodSpec(spec, `${path}.spec`),
  ];
  if ((spec.ephemeralContainers ?? []).length > 0) {
    const detail = "ephemeral containers not allowed in pod template";
    causes.push(forbidden(`${path}.spec.ephemeralContainers`, detail));
  }
  return causes;
}

/** Pods that are replaced when they end: their containers always restart, without a deadline. */
export function validateLasting(
  template: PodTemplateSpec,
  path: string,
  kind: string,
): FieldCause[] {
  const { restartPolicy = "", activeDeadlineSeconds } = template.spec ?? {};
  const causes: FieldCause[] = [];
  if (restartPolicy !== "Always") {
    causes.push(notSupported(`${path}.spec.restartPolicy`, restartPolicy, ["Always"]));
  }
  if (activeDeadlineSeconds !== undefined) {
    const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
    causes.push(forbidden(`${path}.spec.activeDeadlineSeconds`, detail));
  }
  return causes;
}

/** The labels of the template are among those selected. */
export function validateMatch(
  selector: Selector,
  template: PodTemplateSpec,
  path: string,
): FieldCause[] {
  const { labels } = template.metadata ?? {};
  if (matchesLabels(selector, labels ?? {})) return [];
  const detail = "`selector` does not match template `labels`";
  return [invalid(`${path}.metadata.labels`, labels, detail)];
}

/** Names and images of the template's containers, as `-o wide` shows them. */
export function containerColumns(
  templateOf: (document: Document) => PodTemplateSpec | undefined,
): Column[] {
  const listed = (document: Document, field: "name" | "image"): string =>
    (templateOf(document)?.spec?.containers ?? [])
      .map((container) => container[field] ?? "")
      .join(",");
  return [
    { name: "Containers", wide: true, value: (document) => listed(document, "name") },
    { name: "Images", wide: true, value: (document) => listed(document, "image") },
  ];
}
