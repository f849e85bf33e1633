/** Values of the language beyond those of JSON, and how values are compared. */
import { Optional } from "@marcbachmann/cel-js";
import { spend } from "./budget.ts";

/** An object whose fields a schema knows, by their names; each such type has a class of its own. */
export class TypedObject extends Map<string, unknown> {}

/** Equal as the language sees it, whatever classes and numbers the values are of. */
export function equalValues(one: unknown, other: unknown): boolean {
  spend(1);
  if (one === other) return true;
  if (typeof one === "string" || typeof other === "string") return false;
  if (isNumber(one) && isNumber(other)) return Number(one) === Number(other);
  if (one instanceof Date && other instanceof Date) return one.getTime() === other.getTime();
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((each, index) => equalValues(each, other[index]));
  }
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  if (isMap(one) && isMap(other)) return equalMaps(one, other);
  if (one.constructor !== other.constructor) return false;
  // The libraries' own values (addresses, quantities, URLs) say all that they are as text.
  const ownText = (value: object) => (value as { toString(): string }).toString();
  const [left, right] = [ownText(one), ownText(other)];
  return left === right && left !== "[object Object]";
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

type MapValue = TypedObject | Record<string, unknown>;

function isMap(value: object): value is MapValue {
  return value instanceof TypedObject || value.constructor === Object;
}

function entriesOf(value: MapValue): [string, unknown][] {
  return value instanceof TypedObject ? [...value] : Object.entries(value);
}

function equalMaps(one: MapValue, other: MapValue): boolean {
  const [left, right] = [entriesOf(one), new Map(entriesOf(other))];
  if (left.length !== right.size) return false;
  return left.every(([name, value]) => right.has(name) && equalValues(value, right.get(name)));
}

/** Less than 0, 0, or more: for values of one type that have an order. Throws for others. */
export function compareValues(one: unknown, other: unknown): number {
  spend(1);
  if (isNumber(one) && isNumber(other)) return one < other ? -1 : one > other ? 1 : 0;
  if (typeof one === "string" && typeof other === "string") {
    return one < other ? -1 : one > other ? 1 : 0;
  }
  if (typeof one === "boolean" && typeof other === "boolean") return Number(one) - Number(other);
  const [left, right] = [Number(one), Number(other)];
  if (typeof one === "object" && typeof other === "object" && !Number.isNaN(left - right)) {
    return left - right;
  }
  throw new Error("no such overload: values of these types have no order");
}

/** An optional that holds the value; undefined: none. */
export function optionalOf(value: unknown): unknown {
  return value === undefined ? Optional.none() : Optional.of(value);
}
