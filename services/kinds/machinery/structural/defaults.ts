/** Defaults of a structural schema. */
import { copyJson, isObject, type JsonObject, setField } from "../json.ts";
import { childOf, type SchemaNode } from "./node.ts";

/**
 * Fills in what is missing, in place, and takes nulls away that the schema does not allow (they
 * stand for what is missing). Answers whether anything changed.
 */
export function applyDefaults(node: SchemaNode, value: unknown): boolean {
  if (Array.isArray(value)) return defaultItems(node, value);
  return isObject(value) && defaultFields(node, value);
}

function defaultFields(node: SchemaNode, value: JsonObject): boolean {
  let changed = false;
  if (node.defaults) {
    for (const [name, property] of node.properties) {
      if (!property.hasDefault) continue;
      const present = Object.hasOwn(value, name) ? value[name] : undefined;
      if (present !== undefined && (present !== null || property.nullable)) continue;
      setField(value, name, copyJson(property.props.default));
      changed = true;
    }
  }
  for (const name of Object.keys(value)) {
    const child = childOf(node, name);
    if (child === undefined || child === true) continue;
    const present = value[name];
    if (present === null && !allowsNull(child)) {
      if (child.hasDefault) setField(value, name, copyJson(child.props.default));
      else if (node.properties.has(name)) delete value[name];
      else continue;
      changed = true;
    }
    if (applyDefaults(child, value[name])) changed = true;
  }
  return changed;
}

function defaultItems({ items }: SchemaNode, value: unknown[]): boolean {
  if (items === undefined) return false;
  let changed = false;
  for (const [index, each] of value.entries()) {
    if (each === null && items.hasDefault && !items.nullable) {
      value[index] = copyJson(items.props.default);
      changed = true;
    }
    if (applyDefaults(items, value[index])) changed = true;
  }
  return changed;
}

/** A value of any type can be null only where the schema says so, or knows nothing of the value. */
function allowsNull(node: SchemaNode): boolean {
  return node.nullable || (node.preserve && node.types.length === 0);
}
