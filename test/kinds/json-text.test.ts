import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseJson } from "../../services/kinds/machinery/json-text.ts";

const limit = 3 * 1024 * 1024;

describe("JSON text from outside", () => {
  test("any value is read as JSON.parse reads it, however it is spaced", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"), (value, space) => {
        const text = JSON.stringify(value, null, space);
        const parsed = parseJson(`${text}\n`, limit);
        assert.deepEqual(parsed, { value: JSON.parse(text), duplicates: [] });
      }),
    );
  });

  test("any text is a value or a refusal, never another error", () => {
    const piece = fc.constantFrom(...Array.from('{}[],:"\\ \n0-1.eEtrufalsn\u0000é'));
    fc.assert(
      fc.property(fc.string({ unit: piece, maxLength: 40 }), (text) => {
        let parsed: unknown;
        try {
          parsed = JSON.parse(text);
        } catch {
          assert.throws(() => parseJson(text, limit), /^Error: invalid JSON|invalid JSON/);
          return;
        }
        assert.deepEqual(parseJson(text, limit).value, parsed);
      }),
      { numRuns: 2_000 },
    );
  });

  test("a field that is given twice is found in every spelling", () => {
    const twice = 'duplicate field "a"';
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1, "a":2}',
      '{"a":1,"\\u0061":1}',
      '{"a":1,"a":1}\n',
    ]) {
      assert.deepEqual(parseJson(text, limit).duplicates, [twice], text);
    }
    assert.deepEqual(parseJson('{"b":{"a":1,"a":2}}', limit).duplicates, ['duplicate field "b.a"']);
  });

  test("depth is bounded, in objects and in lists, compact or not", () => {
    for (const [open, close] of [
      ['{"a":', "}"],
      ["[", "]"],
      ['{ "a" : ', " }"],
    ] as const) {
      const nested = (levels: number) => `{"x":${open.repeat(levels)}1${close.repeat(levels)}}`;
      assert.deepEqual(parseJson(nested(63), limit).duplicates, []);
      assert.throws(() => parseJson(nested(64), limit), /nested more than 64 levels deep/);
      assert.throws(() => parseJson(nested(100_000), limit), /nested more than 64 levels deep/);
    }
  });
});
