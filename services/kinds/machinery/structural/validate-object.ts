/** A whole custom resource held to its schema: values, embedded resources, and rules. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { evaluateRules } from "../cel/rules.ts";
import { limits } from "../limits.ts";
import type { Document } from "../resource.ts";
import type { SchemaNode } from "./node.ts";
import { withoutUnchanged } from "./ratchet.ts";
import { validateValue } from "./validate.ts";

/** After these, rules may find values of other types than they were compiled for. */
const blocking: ReadonlySet<string> = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

const unchecked: FieldCause = {
  reason: "FieldValueInvalid",
  field: "<nil>",
  message:
    "Invalid value: null: some validation rules were not checked because the object was " +
    "invalid; correct the existing errors to complete validation",
};

/** Told the stored object, what is wrong with parts that it has likewise is tolerated. */
export function validateObject(
  node: SchemaNode,
  document: Document,
  stored: Document | undefined,
): FieldCause[] {
  const found = validateValue(node, document, "");
  const causes = stored === undefined ? found : withoutUnchanged(node, found, document, stored);
  if (!node.rules) return causes;
  if (causes.some(({ reason }) => blocking.has(reason))) return [...causes, unchecked];
  return [...causes, ...evaluateRules(node, document, stored)].slice(0, limits.errors);
}
