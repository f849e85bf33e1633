/** How server-side apply sees the values of a structural schema. */
import type { FieldType } from "../field-type.ts";
import { messageType } from "../managed-fields/types.ts";
import type { SchemaNode } from "./node.ts";

const leaf: FieldType = { kind: "leaf" };
const untyped: FieldType = { kind: "untyped" };

/** Of a whole resource, at the root or embedded: its metadata are known whatever the schema says. */
export function resourceType(node: SchemaNode): FieldType {
  const own = ofObject(node);
  return {
    kind: "struct",
    field(name) {
      if (name === "metadata") return messageType("trireme.meta.v1.ObjectMeta");
      if (name === "apiVersion" || name === "kind") return leaf;
      return own.kind === "struct" ? own.field(name) : undefined;
    },
  };
}

const known = new WeakMap<SchemaNode, FieldType>();

/** Made once for each part of a schema. */
export function fieldTypeOf(node: SchemaNode): FieldType {
  let type = known.get(node);
  if (type === undefined) {
    type = derive(node);
    known.set(node, type);
  }
  return type;
}

function derive(node: SchemaNode): FieldType {
  if (node.intOrString) return leaf;
  switch (node.props.type) {
    case "object":
      return node.embedded ? resourceType(node) : ofObject(node);
    case "array":
      return ofList(node);
    case undefined:
    case "":
      return untyped;
    default:
      return leaf;
  }
}

function ofObject(node: SchemaNode): FieldType {
  if (node.props["x-kubernetes-map-type"] === "atomic") return leaf;
  const { additional, properties } = node;
  if (properties.size === 0 && additional !== undefined) {
    return { kind: "map", element: additional === true ? untyped : fieldTypeOf(additional) };
  }
  if (properties.size === 0) return untyped;
  return {
    kind: "struct",
    field(name) {
      const property = properties.get(name);
      return property === undefined ? undefined : fieldTypeOf(property);
    },
  };
}

function ofList(node: SchemaNode): FieldType {
  const { items, listType } = node;
  if (listType === "set") return { kind: "set" };
  if (listType !== "map" || items === undefined) return leaf;
  const keys = node.props["x-kubernetes-list-map-keys"] ?? [];
  const defaults: Record<string, unknown> = {};
  for (const key of keys) {
    const fallback = items.properties.get(key)?.props.default;
    if (fallback !== undefined) defaults[key] = fallback;
  }
  return { kind: "list-map", keys, defaults, element: fieldTypeOf(items) };
}
