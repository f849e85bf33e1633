/** Plain JSON values: telling them apart, copying and comparing them. */

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sets an own field whatever its name: assigning to `__proto__` would do something else. */
export function setField(target: JsonObject, name: string, value: unknown): void {
  if (name !== "__proto__") {
    target[name] = value;
    return;
  }
  const property = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(target, name, property);
}

/** An own field: names such as `constructor` find nothing on the prototype. */
export function getField(target: JsonObject, name: string): unknown {
  return Object.hasOwn(target, name) ? target[name] : undefined;
}

/** Without fields that are undefined, as from a text. */
export function copyJson<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const name of Object.keys(value)) {
    const field = value[name];
    if (field === undefined) continue;
    setField(result, name, typeof field === "object" ? copy(field) : field);
  }
  return result;
}

/** Equal as JSON: an absent field equals one that is undefined, order of fields does not matter. */
export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((value, index) => equalJson(value, right[index]));
  }
  if (!isObject(left) || !isObject(right)) return false;
  for (const name of Object.keys(left)) {
    const [one, other] = [left[name], getField(right, name)];
    if (one !== other && !equalJson(one, other)) return false;
  }
  for (const name of Object.keys(right)) {
    if (right[name] !== undefined && !Object.hasOwn(left, name)) return false;
  }
  return true;
}

/** Text that is equal for equal values: fields in order of their names. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, each: unknown) =>
    isObject(each) ? Object.fromEntries(Object.entries(each).sort(byName)) : each,
  );
}

function byName([left]: [string, unknown], [right]: [string, unknown]): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
