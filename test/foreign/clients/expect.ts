/** The words of calls.json: variables, encodings and patterns. */
import assert from "node:assert/strict";

export type Variables = Map<string, string>;

type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `value` with `${name}` replaced. */
export function substituted<T>(value: T, variables: Variables): T {
  const text = JSON.stringify(value).replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const found = variables.get(name);
    assert.ok(found !== undefined, `no variable ${name}`);
    return JSON.stringify(found).slice(1, -1);
  });
  return JSON.parse(text) as T;
}

/** `{"$json": …}` as base64, which is how protobuf's JSON form carries bytes. */
export function encoded(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(encoded);
  if (!isObject(value)) return value;
  if (Object.hasOwn(value, "$json")) {
    return Buffer.from(JSON.stringify(value["$json"])).toString("base64");
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, encoded(each)]));
}

/**
 * Throws unless `actual` is as `expected` says: objects have at least these fields, lists exactly
 * these elements. `"*"` is anything that is there, null what is absent, `"/…/"` a regular expression;
 * `{"$json": …}` and `{"$text": …}` look into base64, `{"$contains": …}` for one element of a list.
 */
export function expectLike(actual: unknown, expected: unknown, path: string): void {
  if (expected === null) {
    assert.equal(actual, undefined, path);
    return;
  }
  assert.notEqual(actual, undefined, `${path} is missing`);
  if (expected === "*") return;
  if (typeof expected === "string" && /^\/.+\/$/.test(expected)) {
    assert.match(String(actual), new RegExp(expected.slice(1, -1)), path);
  } else if (Array.isArray(expected)) {
    assert.ok(Array.isArray(actual), `${path} is no list`);
    assert.equal(actual.length, expected.length, `${path}: ${JSON.stringify(actual)}`);
    expected.forEach((each, index) => {
      expectLike(actual[index], each, `${path}[${index}]`);
    });
  } else if (isObject(expected)) {
    expectObject(actual, expected, path);
  } else {
    assert.deepEqual(actual, expected, path);
  }
}

function expectObject(actual: unknown, expected: JsonObject, path: string): void {
  const decoded = () => Buffer.from(String(actual), "base64").toString("utf8");
  if (Object.hasOwn(expected, "$json")) {
    expectLike(JSON.parse(decoded()), expected["$json"], path);
  } else if (Object.hasOwn(expected, "$text")) {
    assert.equal(decoded(), expected["$text"], path);
  } else if (Object.hasOwn(expected, "$contains")) {
    expectElement(actual, expected["$contains"], path);
  } else {
    assert.ok(isObject(actual), `${path} is no object`);
    for (const [key, each] of Object.entries(expected)) {
      expectLike(actual[key], each, `${path}.${key}`);
    }
  }
}

function expectElement(actual: unknown, expected: unknown, path: string): void {
  assert.ok(Array.isArray(actual), `${path} is no list`);
  const fits = actual.some((each, index) => {
    try {
      expectLike(each, expected, `${path}[${index}]`);
      return true;
    } catch {
      return false;
    }
  });
  assert.ok(fits, `${path} has no element like ${JSON.stringify(expected)}`);
}

/** The value at a dotted path, e.g. `metadata.uid`. */
export function valueAt(value: unknown, path: string): string {
  const found = path
    .split(".")
    .reduce<unknown>((each, key) => (isObject(each) ? each[key] : undefined), value);
  assert.equal(typeof found, "string", `${path} of ${JSON.stringify(value)}`);
  return found as string;
}
