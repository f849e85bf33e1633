import { PodTemplate, PodTemplatesService } from "../../../proto/gen/core.ts";
import { defineKind, nameColumn } from "../machinery/define.ts";
import { allButMetadata } from "../machinery/generation.ts";
import type { Document } from "../machinery/resource.ts";
import { formatLabels } from "../machinery/selectors.ts";
import { containerColumns, setPodTemplateDefaults, validatePodTemplate } from "./pod/template.ts";
import { podWarnings } from "./pod/warnings.ts";

const templateOf = (document: Document): NonNullable<PodTemplate["template"]> =>
  (document as PodTemplate).template ?? {};

export const podTemplate = defineKind({
  message: "trireme.core.v1.PodTemplate",
  codec: PodTemplate,
  service: PodTemplatesService,

  setDefaults(document) {
    const template = document as PodTemplate;
    template.template ??= {};
    setPodTemplateDefaults(template.template);
  },
  warnings: (document) => podWarnings(templateOf(document), "template."),
  desiredState: allButMetadata,
  validate: (document) => validatePodTemplate(templateOf(document), "template"),
  columns: [
    nameColumn,
    ...containerColumns(templateOf).map(({ wide: _, ...column }) => column),
    {
      name: "Pod Labels",
      value: (document) => formatLabels(templateOf(document).metadata?.labels),
    },
  ],
});
