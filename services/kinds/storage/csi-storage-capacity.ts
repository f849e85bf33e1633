import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { CSIStorageCapacitiesService, CSIStorageCapacity } from "../../../proto/gen/storage.ts";
import { invalid } from "../machinery/causes.ts";
import { createdColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { checkSubdomain } from "../machinery/names.ts";
import { canonicalQuantity, parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";

const asCapacity = (document: Document): CSIStorageCapacity => document as CSIStorageCapacity;
const amounts = ["capacity", "maximumVolumeSize"] as const;

export const csiStorageCapacity = defineKind({
  message: "trireme.storage.v1.CSIStorageCapacity",
  codec: CSIStorageCapacity,
  service: CSIStorageCapacitiesService,
  allowUnconditionalUpdate: false,

  setDefaults(document) {
    const one = asCapacity(document);
    for (const name of amounts) {
      const text = one[name];
      if (text !== undefined) one[name] = canonicalQuantity(text);
    }
  },
  validate(document) {
    const one = asCapacity(document);
    const { nodeTopology = {}, storageClassName = "" } = one;
    return [
      ...validateLabelSelector(nodeTopology, "nodeTopology"),
      ...wrong("storageClassName", storageClassName, checkSubdomain(storageClassName)),
      ...amounts.flatMap((name) => validateAmount(one[name], name)),
    ];
  },
  validateUpdate(next, stored) {
    const [one, before] = [asCapacity(next), asCapacity(stored)];
    return [
      ...unchanged("nodeTopology", one.nodeTopology, before.nodeTopology),
      ...unchanged("storageClassName", one.storageClassName, before.storageClassName),
    ];
  },
  columns: [nameColumn, createdColumn],
});

function validateAmount(text: string | undefined, field: string): FieldCause[] {
  if (text === undefined) return [];
  const quantity = parseQuantity(text);
  if (quantity === undefined) return [invalid(field, text, quantityMessage)];
  if (quantity.nanos >= 0n) return [];
  return [invalid(field, text, "must be greater than or equal to 0")];
}
