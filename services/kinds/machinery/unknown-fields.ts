/**
 * Fields that a stored object has and its message does not know (written by a newer apiserver, or
 * through the dynamic service) survive an update by a typed client.
 */

import type { FieldSchema } from "../../../proto/gen/schema.ts";
import { canonicalJson, copyJson, getField, isObject, type JsonObject, setField } from "./json.ts";
import type { Document } from "./resource.ts";
import { fieldSchema } from "./schema.ts";

/**
 * A copy of `next` with the unknown fields of `stored`. List elements are matched by their keys; in
 * lists without keys, by being equal in everything known. What `next` leaves out altogether, an
 * element or a whole message, takes its unknown fields with it: it was deleted.
 */
export function keepUnknown(message: string, next: Document, stored: Document): Document {
  return keepInMessage(message, next, stored);
}

function keepInMessage(message: string, next: JsonObject, stored: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const name of Object.keys(next)) {
    const field = fieldSchema(message, name);
    const before = getField(stored, name);
    const kept = field === undefined ? next[name] : keepInField(field, next[name], before);
    setField(result, name, kept);
  }
  for (const name of Object.keys(stored)) {
    if (fieldSchema(message, name) !== undefined || Object.hasOwn(next, name)) continue;
    setField(result, name, copyJson(stored[name]));
  }
  return result;
}

function keepInField(field: FieldSchema, next: unknown, stored: unknown): unknown {
  const { message } = field;
  if (field.type !== "message" || message === undefined) return next;
  if (field.repeated) {
    if (!Array.isArray(next) || !Array.isArray(stored)) return next;
    return keepInList(field, message, next, stored);
  }
  if (!isObject(next) || !isObject(stored)) return next;
  if (!field.map) return keepInMessage(message, next, stored);
  const result: JsonObject = {};
  for (const key of Object.keys(next)) {
    const [value, before] = [next[key], getField(stored, key)];
    const both = isObject(value) && isObject(before);
    setField(result, key, both ? keepInMessage(message, value, before) : value);
  }
  return result;
}

function keepInList(
  field: FieldSchema,
  message: string,
  next: readonly unknown[],
  stored: readonly unknown[],
): unknown[] {
  const keys = field.listMapKeys ?? (field.mergeKey === undefined ? undefined : [field.mergeKey]);
  const identity = (element: JsonObject): string =>
    canonicalJson(keys === undefined ? known(message, element) : keys.map((key) => element[key]));
  const byIdentity = new Map<string, JsonObject>();
  for (const element of stored) {
    if (isObject(element)) byIdentity.set(identity(element), element);
  }
  return next.map((element) => {
    if (!isObject(element)) return element;
    const before = byIdentity.get(identity(element));
    return before === undefined ? element : keepInMessage(message, element, before);
  });
}

/** The element without what its message does not know, at any depth. */
function known(message: string, element: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const name of Object.keys(element)) {
    const field = fieldSchema(message, name);
    const value = element[name];
    if (field === undefined || value === undefined) continue;
    const part = field.message;
    const strip = (each: unknown): unknown =>
      part !== undefined && isObject(each) ? known(part, each) : each;
    result[name] = Array.isArray(value) ? value.map(strip) : field.map ? value : strip(value);
  }
  return result;
}
