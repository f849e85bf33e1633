import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { SchemaNode } from "../structural/node.ts";

export function checkRules(_node: SchemaNode, _path: string): FieldCause[] {
  return [];
}
