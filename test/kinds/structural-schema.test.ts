/** What structural schemas make of documents. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FieldCause } from "../../ha/runtime/status-error.ts";
import { compiledSchema } from "../../services/kinds/apiextensions/custom-resource-definition/schemas.ts";
import { copyJson } from "../../services/kinds/machinery/json.ts";
import { applyDefaults } from "../../services/kinds/machinery/structural/defaults.ts";
import { fieldTypeOf } from "../../services/kinds/machinery/structural/field-types.ts";
import { compileSchema } from "../../services/kinds/machinery/structural/node.ts";
import { checkProps, type SchemaProps } from "../../services/kinds/machinery/structural/props.ts";
import { pruneUnknown } from "../../services/kinds/machinery/structural/prune.ts";
import { validateValue } from "../../services/kinds/machinery/structural/validate.ts";
import { validateObject } from "../../services/kinds/machinery/structural/validate-object.ts";

function texts(causes: readonly FieldCause[]): string[] {
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

function problems(schema: SchemaProps): string[] {
  return texts(compiledSchema(schema).problems("s"));
}

const spec = (schema: SchemaProps): SchemaProps => ({
  type: "object",
  properties: { spec: schema },
});

test("the fields of a schema have shapes of their own", () => {
  const { errors, unknown, props } = checkProps(
    { type: 5, nope: 1, properties: { a: { minimum: "x", more: {} } }, description: null },
    "s",
  );
  assert.deepEqual(texts(errors), [
    's.type: Invalid value: "integer": s.type in body must be of type string: "integer"',
    's.properties.a.minimum: Invalid value: "string": s.properties.a.minimum in body must be of type number: "string"',
  ]);
  assert.deepEqual(unknown, ["s.nope", "s.properties.a.more"]);
  assert.deepEqual(props, { properties: { a: {} } });
});

function validate(schema: SchemaProps, value: unknown): string[] {
  return texts(validateValue(compileSchema(schema), value, "v"));
}

test("values are refused in upstream's words", () => {
  const cases: [SchemaProps, unknown, string[]][] = [
    [{ type: "string", nullable: true }, null, []],
    [
      { type: "string" },
      null,
      ['v: Invalid value: "null": v in body must be of type string: "null"'],
    ],
    [{ type: "number" }, 1, []],
    [
      { type: "integer" },
      1.5,
      ['v: Invalid value: "number": v in body must be of type integer: "number"'],
    ],
    [
      { type: "string", minLength: 2 },
      "é",
      ['v: Invalid value: "é": v in body should be at least 2 chars long'],
    ],
    [{ type: "string", maxLength: 1 }, "😀", []],
    [
      { type: "string", minLength: 2, pattern: "^a+$", enum: ["aa"] },
      "b",
      [
        'v: Invalid value: "b": v in body should be at least 2 chars long',
        'v: Unsupported value: "b": supported values: "aa"',
      ],
    ],
    [
      { type: "string", format: "date" },
      5,
      ['v: Invalid value: "int64": v in body must be of type date: "int64"'],
    ],
    [{ type: "string", enum: [] }, "a", []],
    [
      { type: "integer" },
      1e30,
      ['v: Invalid value: "number": v in body must be of type integer: "number"'],
    ],
    [
      { type: "string", pattern: "^a+$" },
      "ab",
      ["v: Invalid value: \"ab\": v in body should match '^a+$'"],
    ],
    [
      { type: "integer", minimum: 1, exclusiveMinimum: true },
      1,
      ["v: Invalid value: 1: v in body should be greater than 1"],
    ],
    [
      { type: "integer", multipleOf: 5 },
      7,
      ["v: Invalid value: 7: v in body should be a multiple of 5"],
    ],
    [
      { type: "array", maxItems: 1, items: { type: "string" } },
      ["a", "b"],
      ["v: Too many: 2: must have at most 1 item"],
    ],
    [
      { type: "array", minItems: 1, items: { type: "string" } },
      [],
      ["v: Invalid value: 0: v in body should have at least 1 items"],
    ],
    [
      { type: "object", minProperties: 1 },
      {},
      ["v: Invalid value: 0: v in body should have at least 1 properties"],
    ],
    [
      { type: "string", format: "date-time" },
      "x",
      ['v: Invalid value: "x": v in body must be of type date-time: "x"'],
    ],
    [
      { type: "string", format: "ipv4" },
      "::1",
      ['v: Invalid value: "::1": v in body must be of type ipv4: "::1"'],
    ],
    [{ type: "string", format: "whatever" }, "x", []],
    [
      { type: "object", properties: { a: {} }, oneOf: [{ required: ["a"] }, { required: ["b"] }] },
      {},
      [
        '<nil>: Invalid value: "": "v" must validate one and only one schema (oneOf). Found none valid',
        "v.a: Required value",
      ],
    ],
    [
      { type: "object", oneOf: [{ required: ["a"] }, { required: ["b"] }] },
      { a: 1, b: 1 },
      [
        '<nil>: Invalid value: "": "v" must validate one and only one schema (oneOf). Found 2 valid alternatives',
      ],
    ],
    [
      { type: "integer", not: { enum: [3] } },
      3,
      ['<nil>: Invalid value: "": "v" must not validate the schema (not)'],
    ],
    [
      { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
      ["a", "b", "a"],
      ['v[2]: Duplicate value: "a"'],
    ],
    [
      {
        type: "object",
        "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true,
      },
      { kind: "Pod" },
      ["v.apiVersion: Required value"],
    ],
  ];
  for (const [schema, value, expected] of cases)
    assert.deepEqual(validate(schema, value), expected);
});

test("documents are pruned and defaulted by their schema", () => {
  const node = compileSchema({
    type: "object",
    properties: {
      spec: {
        type: "object",
        default: {},
        properties: {
          size: { type: "integer", default: 1 },
          note: { type: "string" },
          maybe: { type: "string", nullable: true, default: "x" },
          free: {
            type: "object",
            "x-kubernetes-preserve-unknown-fields": true,
            properties: { known: { type: "object" } },
          },
          labels: { type: "object", additionalProperties: { type: "string" } },
          pod: {
            type: "object",
            "x-kubernetes-embedded-resource": true,
            properties: {
              spec: { type: "object", properties: { a: { type: "integer", default: 2 } } },
            },
          },
          list: {
            type: "array",
            items: { type: "object", properties: { a: { type: "string", default: "b" } } },
          },
        },
      },
    },
  });
  const document = {
    apiVersion: "v1",
    kind: "K",
    metadata: { name: "x", anything: 1 },
    other: 1,
    spec: {
      note: null,
      maybe: null,
      free: { any: { thing: 1 }, known: { gone: 1 } },
      labels: { a: "b" },
      pod: { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { b: 1 }, more: 1 },
      list: [{ c: 1 }, {}],
    },
  };
  assert.deepEqual(pruneUnknown(node, document, 10), [
    "other",
    "spec.free.known.gone",
    "spec.pod.spec.b",
    "spec.pod.more",
    "spec.list[0].c",
  ]);
  assert.equal(applyDefaults(node, document), true);
  assert.deepEqual(document.spec, {
    maybe: null,
    free: { any: { thing: 1 }, known: {} },
    labels: { a: "b" },
    pod: { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { a: 2 } },
    list: [{ a: "b" }, { a: "b" }],
    size: 1,
  });
  assert.equal(applyDefaults(node, document), false, "defaults are idempotent");
  const empty = {};
  applyDefaults(node, empty);
  assert.deepEqual(empty, { spec: { size: 1, maybe: "x" } });
});

test("an update is not refused for what it leaves as it was", () => {
  const node = compileSchema(
    spec({
      type: "object",
      required: ["b"],
      properties: {
        a: { type: "integer", minimum: 5 },
        b: { type: "integer" },
        list: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            properties: { name: { type: "string" }, n: { type: "integer", minimum: 5 } },
          },
        },
      },
    }),
  );
  const stored = { spec: { a: 1, b: 1, list: [{ name: "x", n: 1 }] } };
  const next = {
    spec: {
      a: 1,
      b: 2,
      list: [
        { name: "y", n: 5 },
        { name: "x", n: 1 },
      ],
    },
  };
  assert.deepEqual(validateObject(node, next, stored), []);
  assert.deepEqual(texts(validateObject(node, { spec: { a: 2, b: 1 } }, stored)), [
    "spec.a: Invalid value: 2: spec.a in body should be greater than or equal to 5",
  ]);
  assert.deepEqual(texts(validateObject(node, { spec: { a: 1 } }, stored)), [
    "spec.b: Required value",
  ]);
});

test("server-side apply sees the types of lists and maps", () => {
  const schema = compileSchema({
    type: "object",
    properties: {
      atomic: { type: "array", items: { type: "string" } },
      set: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
      map: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "protocol"],
        items: {
          type: "object",
          properties: { name: { type: "string" }, protocol: { type: "string", default: "TCP" } },
        },
      },
      labels: { type: "object", additionalProperties: { type: "string" } },
      whole: {
        type: "object",
        "x-kubernetes-map-type": "atomic",
        properties: { a: { type: "string" } },
      },
      free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      port: { "x-kubernetes-int-or-string": true },
    },
  });
  const type = fieldTypeOf(schema);
  assert.ok(type.kind === "struct");
  const kinds = [...schema.properties.keys()].map((name) => [name, type.field(name)?.kind]);
  assert.deepEqual(Object.fromEntries(kinds), {
    atomic: "leaf",
    set: "set",
    map: "list-map",
    labels: "map",
    whole: "leaf",
    free: "untyped",
    port: "leaf",
  });
  const map = type.field("map");
  assert.ok(map?.kind === "list-map");
  assert.deepEqual([map.keys, map.defaults], [["name", "protocol"], { protocol: "TCP" }]);
});

test("hostile schemas and documents are bounded", () => {
  let deep: SchemaProps = { type: "string" };
  for (let depth = 0; depth < 500; depth++) deep = { type: "object", properties: { a: deep } };
  assert.match(problems(deep)[0] ?? "", /must not nest deeper than 64 levels/);
  const huge = spec({
    type: "string",
    enum: Array.from({ length: 20_000 }, (_, index) => `v${index}`),
  });
  assert.deepEqual(problems(huge), []);
  const [refused = ""] = texts(validateObject(compileSchema(huge), { spec: "x" }, undefined));
  assert.ok(refused.length < 3_000 && refused.endsWith("(19900 more)"));
  const bomb = spec({ type: "string", pattern: "^(a+)+$" });
  assert.equal(
    texts(validateObject(compileSchema(bomb), { spec: `${"a".repeat(50_000)}b` }, undefined))
      .length,
    1,
  );
  // Built of shared parts: its text would not fit into a request, its checks would not end.
  const many = texts(validateValue({ ...compileSchema({}), anyOf: shared(12, 6) }, { a: 1 }, "v"));
  assert.match(many[0] ?? "", /validation takes more than 2000000 steps/);
});

/** Nodes whose alternatives are one node each level, so that there are few nodes and many paths. */
function shared(levels: number, width: number): ReturnType<typeof compileSchema>[] {
  let node = compileSchema({ type: "string" });
  for (let level = 0; level < levels; level++) {
    node = { ...compileSchema({}), anyOf: Array.from({ length: width }, () => node) };
  }
  return [node];
}

/** Schemas of a bounded depth, right and wrong ones. */
function schemaOf(depth: number): fc.Arbitrary<unknown> {
  const inner = depth === 0 ? fc.constant({ type: "string" }) : schemaOf(depth - 1);
  return fc.record(
    {
      type: fc.constantFrom("object", "object", "array", "string", "integer", "null", 5),
      properties: fc.dictionary(fc.string({ maxLength: 5 }), inner, { maxKeys: 2 }),
      additionalProperties: fc.oneof(inner, fc.boolean()),
      items: inner,
      anyOf: fc.array(inner, { maxLength: 2 }),
      not: inner,
      default: fc.jsonValue({ maxDepth: 1 }),
      pattern: fc.string({ maxLength: 8 }),
      enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 2 }),
      minimum: fc.double(),
      required: fc.array(fc.string({ maxLength: 5 }), { maxLength: 2 }),
      "x-kubernetes-list-type": fc.constantFrom("map", "set", "x"),
      "x-kubernetes-list-map-keys": fc.array(fc.string({ maxLength: 5 }), { maxLength: 2 }),
      "x-kubernetes-validations": fc.array(
        fc.record({ rule: fc.constantFrom("self", "self.a == 1", "(", "size(self) > 0") }),
        { maxLength: 1 },
      ),
    },
    { requiredKeys: [] },
  );
}

test("any schema has problems or makes something of any document", () => {
  const schemas = schemaOf(2).map((inner) => ({ type: "object", properties: { spec: inner } }));
  fc.assert(
    fc.property(schemas, fc.jsonValue({ maxDepth: 3 }), (schema, value) => {
      const compiled = compiledSchema(schema);
      const found = compiled.problems("s");
      for (const { reason, message } of found) assert.ok(reason !== "" && message !== "");
      const document = { spec: copyJson(value) };
      if (found.length > 0) return;
      pruneUnknown(compiled.node, document, 10);
      applyDefaults(compiled.node, document);
      validateObject(compiled.node, document, undefined);
      validateObject(compiled.node, document, { spec: value });
    }),
    { numRuns: 300 },
  );
});
