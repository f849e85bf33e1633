/** Whether the defaults of a structural schema are values that the schema itself accepts. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { invalid } from "../causes.ts";
import { copyJson, equalJson, isObject } from "../json.ts";
import type { SchemaNode } from "./node.ts";
import { pruneUnknown } from "./prune.ts";
import { validateValue } from "./validate.ts";

export function checkDefaults(node: SchemaNode, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  visit(node, path, causes);
  return causes;
}

function visit(node: SchemaNode, path: string, causes: FieldCause[]): void {
  if (!node.defaults) return;
  if (node.hasDefault) causes.push(...checkDefault(node, `${path}.default`));
  if (node.items !== undefined) visit(node.items, `${path}.items`, causes);
  for (const [name, property] of node.properties) {
    visit(property, `${path}.properties[${name}]`, causes);
  }
  if (typeof node.additional === "object") {
    visit(node.additional, `${path}.additionalProperties`, causes);
  }
}

function checkDefault(node: SchemaNode, path: string): FieldCause[] {
  const value = node.props.default;
  if (isObject(value)) {
    const pruned = copyJson(value);
    pruneUnknown(node, pruned, 0, node.embedded);
    if (!equalJson(pruned, value)) return [invalid(path, value, "must not have unknown fields")];
  }
  return validateValue(node, value, "").map((cause) => ({
    ...cause,
    field: cause.field === "" || cause.field === "<nil>" ? path : `${path}.${cause.field}`,
  }));
}
