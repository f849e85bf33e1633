/**
 * The fields that a new object has. Most objects of a kind have the same fields under the same keys
 * and differ in their values alone: the set is worked out once for each such shape.
 */
import type { FieldType } from "../field-type.ts";
import { isObject } from "../json.ts";
import type { Document, Resource } from "../resource.ts";
import { compare, entryType, itemType, listOf, viewOf } from "./compare.ts";
import { difference, type FieldSet, union } from "./field-set.ts";
import { unmanagedFields } from "./managers.ts";
import { itemElement } from "./path-element.ts";
import { shared } from "./shared.ts";
import { emptyDocument, typeOf } from "./types.ts";

/** Shapes of one type that are remembered, and how long the text of one may be. */
const shapesMax = 500;
const shapeLengthMax = 16_384;

/** By type, the least recently used first. */
const known = new WeakMap<FieldType, Map<string, FieldSet>>();

/** Throws MisfitError for a list whose elements cannot be told apart. */
export function createdFields(resource: Pick<Resource, "schema">, document: Document): FieldSet {
  const type = typeOf(resource);
  const shape = shapeOf(type, document);
  if (shape.length > shapeLengthMax) return fieldsOf(resource, document);
  let sets = known.get(type);
  if (sets === undefined) {
    sets = new Map();
    known.set(type, sets);
  }
  const fields = sets.get(shape) ?? shared(fieldsOf(resource, document));
  sets.delete(shape);
  sets.set(shape, fields);
  if (sets.size > shapesMax) {
    for (const oldest of sets.keys()) {
      sets.delete(oldest);
      break;
    }
  }
  return fields;
}

function fieldsOf(resource: Pick<Resource, "schema">, document: Document): FieldSet {
  const { added, modified } = compare(typeOf(resource), emptyDocument(resource), document);
  return difference(union(modified, added), unmanagedFields);
}

/**
 * Whatever of a value the set of its fields depends on: two values with the same text have the same
 * set. Names have their length before them, so that none can be taken for structure.
 */
function shapeOf(type: FieldType, value: unknown): string {
  if (value === null) return "n";
  const view = viewOf(type, value);
  if (view.as === "whole") return "w";
  if (view.as === "items") {
    if (!Array.isArray(value)) return "x";
    const below = itemType(view.type);
    let text = "[";
    for (const item of listOf(value)) {
      const element = itemElement(view.type, item);
      text += `${element.length}:${element}${shapeOf(below, item)}`;
    }
    return `${text}]`;
  }
  if (!isObject(value)) return "x";
  let text = "{";
  for (const name of Object.keys(value)) {
    const part = value[name];
    if (part === undefined) continue;
    text += `${name.length}:${name}${shapeOf(entryType(view.type, name), part)}`;
  }
  return `${text}}`;
}
