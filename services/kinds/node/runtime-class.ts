import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Toleration } from "../../../proto/gen/core.ts";
import { RuntimeClass, RuntimeClassesService } from "../../../proto/gen/node.ts";
import { validateResources } from "../core/pod/resource-validation.ts";
import { validateTolerations } from "../core/pod/validation.ts";
import { duplicate } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { validateLabels } from "../machinery/metadata.ts";
import { checkLabelName } from "../machinery/names.ts";
import { canonicalise } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";

const asClass = (document: Document): RuntimeClass => document as RuntimeClass;

export const runtimeClass = defineKind({
  message: "trireme.node.v1.RuntimeClass",
  codec: RuntimeClass,
  service: RuntimeClassesService,
  createOnUpdate: true,
  allowUnconditionalUpdate: false,

  setDefaults: (document) => canonicalise(asClass(document).overhead?.podFixed),
  validate(document) {
    const { handler = "", overhead, scheduling } = asClass(document);
    const limits = overhead?.podFixed ?? {};
    const { nodeSelector, tolerations = [] } = scheduling ?? {};
    return [
      ...wrong("handler", handler, checkLabelName(handler)),
      ...validateResources({ limits }, "overhead", new Set()),
      ...validateLabels(nodeSelector, "scheduling.nodeSelector"),
      // The path is upstream's, which names the list twice.
      ...validateTolerations(tolerations, "scheduling.tolerations.tolerations"),
      ...validateUnique(tolerations, "scheduling.tolerations"),
    ];
  },
  validateUpdate: (next, stored) =>
    unchanged("handler", asClass(next).handler, asClass(stored).handler),
  columns: [
    nameColumn,
    { name: "Handler", value: (document) => asClass(document).handler ?? "" },
    ageColumn,
  ],
});

/** But for the seconds, no two are the same. */
function validateUnique(tolerations: readonly Toleration[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return tolerations.flatMap((toleration, index) => {
    const { key = "", operator = "", value = "", effect = "", tolerationSeconds } = toleration;
    const identity = JSON.stringify([key, operator, value, effect]);
    if (!seen.has(identity)) {
      seen.add(identity);
      return [];
    }
    const shown = { Key: key, Operator: operator, Value: value, Effect: effect };
    const seconds = tolerationSeconds ?? null;
    return [duplicate(`${path}[${index}]`, { ...shown, TolerationSeconds: seconds })];
  });
}
