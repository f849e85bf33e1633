/**
 * The steps of a field path as `fieldsV1` writes them: `f:` and a field's name, `k:` and the keys of
 * a list element as a JSON object, `v:` and a value of a set as JSON, `i:` and an index.
 */

import type { FieldType } from "../field-type.ts";
import { getField, isObject, type JsonObject } from "../json.ts";

/** A document that does not fit its type; the path is given with the elements around it. */
export class MisfitError extends Error {
  readonly path: readonly string[];

  constructor(message: string, path: readonly string[] = []) {
    super(path.length === 0 ? message : `${pathText(path)}: ${message}`);
    this.path = path;
  }
}

export function fieldElement(name: string): string {
  return `f:${name}`;
}

type ListType = Extract<FieldType, { kind: "set" | "list-map" }>;

/** What tells an element of a list from its siblings. Throws MisfitError. */
export function itemElement(type: ListType, item: unknown): string {
  return type.kind === "set" ? valueElement(item) : keyElement(type, item);
}

function valueElement(item: unknown): string {
  if (item === null || item === undefined) {
    throw new MisfitError("associative list without keys has an element that's an explicit null");
  }
  if (Array.isArray(item)) {
    throw new MisfitError("not supported: associative list with lists as elements");
  }
  if (typeof item === "object") {
    throw new MisfitError("associative list without keys has an element that's a map type");
  }
  return `v:${JSON.stringify(item)}`;
}

/** Absent keys take their default; what has none is left out of the element. */
function keyElement(type: Extract<FieldType, { kind: "list-map" }>, item: unknown): string {
  if (item === null || item === undefined) {
    throw new MisfitError("associative list with keys may not have a null element");
  }
  if (!isObject(item)) {
    throw new MisfitError("associative list with keys may not have non-map elements");
  }
  let text = "";
  for (const key of keysInOrder(type.keys)) {
    const value = getField(item, key) ?? getField(type.defaults as JsonObject, key);
    if (value === undefined || value === null) continue;
    text += `${text === "" ? "" : ","}"${key}":${JSON.stringify(value)}`;
  }
  if (text === "") {
    const keys = type.keys.map((key) => JSON.stringify(key)).join(" ");
    throw new MisfitError(
      `associative list with keys has an element that omits all key fields [${keys}] ` +
        "(and doesn't have default values for any key fields)",
    );
  }
  return `k:{${text}}`;
}

const orders = new WeakMap<readonly string[], readonly string[]>();

function keysInOrder(keys: readonly string[]): readonly string[] {
  if (keys.length < 2) return keys;
  let order = orders.get(keys);
  if (order === undefined) {
    order = [...keys].sort();
    orders.set(keys, order);
  }
  return order;
}

/** The element as `itemElement` would write it; undefined: it is none. */
export function normalElement(text: string): string | undefined {
  const rest = text.slice(2);
  switch (text.slice(0, 2)) {
    case "f:":
      return text;
    case "i:":
      return /^(0|[1-9]\d{0,8})$/.test(rest) ? text : undefined;
    case "v:": {
      const value = parsed(rest);
      return value === undefined ? undefined : `v:${JSON.stringify(value)}`;
    }
    case "k:": {
      const value = parsed(rest);
      if (!isObject(value)) return undefined;
      const fields = Object.keys(value).sort();
      const texts = fields.map((name) => `${JSON.stringify(name)}:${JSON.stringify(value[name])}`);
      return `k:{${texts.join(",")}}`;
    }
    default:
      return undefined;
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

const kindsInOrder = "fkvi";

/** Names before keys before values before indices; numbers by size. */
export function compareElements(one: string, other: string): number {
  if (one === other) return 0;
  const kind = one.charAt(0);
  if (kind !== other.charAt(0)) {
    return kindsInOrder.indexOf(kind) - kindsInOrder.indexOf(other.charAt(0));
  }
  if (kind === "f") return one < other ? -1 : 1;
  return compareValues(parsed(one.slice(2)), parsed(other.slice(2)));
}

function compareValues(one: unknown, other: unknown): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (isObject(one) && isObject(other)) {
    const [left, right] = [Object.keys(one), Object.keys(other)];
    for (const [index, name] of left.entries()) {
      const named = right[index];
      if (named === undefined) return 1;
      if (name !== named) return name < named ? -1 : 1;
      const order = compareValues(one[name], other[name]);
      if (order !== 0) return order;
    }
    return left.length - right.length;
  }
  if (typeof one !== typeof other) return typeof one < typeof other ? -1 : 1;
  const [left, right] = [String(one), String(other)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** E.g. `.spec.template.spec.containers[name="web"].image`. */
export function pathText(path: readonly string[]): string {
  return path.map(elementText).join("");
}

export function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element.charAt(0)) {
    case "f":
      return `.${rest}`;
    case "v":
      return `[=${rest}]`;
    case "k": {
      const keys = parsed(rest);
      if (!isObject(keys)) return `[${rest}]`;
      const texts = Object.keys(keys).map((name) => `${name}=${JSON.stringify(keys[name])}`);
      return `[${texts.join(",")}]`;
    }
    default:
      return `[${rest}]`;
  }
}
