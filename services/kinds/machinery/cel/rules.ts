import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { SchemaNode } from "../structural/node.ts";

export function evaluateRules(_node: SchemaNode, _next: unknown, _stored: unknown): FieldCause[] {
  return [];
}
