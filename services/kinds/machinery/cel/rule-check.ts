/** The rules of a schema, when the schema is defined. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { forbidden } from "../causes.ts";
import type { SchemaNode } from "../structural/node.ts";

export function checkRules(node: SchemaNode, path: string): FieldCause[] {
  if (!node.rules) return [];
  return [forbidden(`${path}.x-kubernetes-validations`, "rules are not evaluated yet")];
}
