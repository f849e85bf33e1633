import assert from "node:assert/strict";
import { test } from "node:test";
import { keepUnknown } from "../../services/kinds/machinery/unknown-fields.ts";
import { checkSchema, parseJson } from "../../services/kinds/mod.ts";
import { podDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const podMessage = "trireme.core.v1.Pod";

test("a sound document passes unchanged and survives its wire form", () => {
  const pod = podDocument();
  const { errors, unknown, document } = checkSchema(podMessage, pod, "strict");
  assert.deepEqual([errors, unknown], [[], []]);
  assert.deepEqual(document, pod);
  const codec = registry.required("v1", "Pod").codec;
  assert.ok(codec);
  assert.deepEqual({ ...codec.decode(codec.encode(pod)) }, pod);
});

test("unknown fields are named, and pruned in every mode", () => {
  const pod = { ...podDocument(), foo: 1, constructor: 2 };
  pod.spec.containers[0].imagee = "x";
  const strict = checkSchema(podMessage, pod, "strict");
  assert.deepEqual(strict.unknown, [
    'unknown field "spec.containers[0].imagee"',
    'unknown field "foo"',
    'unknown field "constructor"',
  ]);
  const ignored = checkSchema(podMessage, pod, "ignore");
  assert.deepEqual(ignored.unknown, []);
  assert.deepEqual(ignored.document, podDocument());
});

test("wrong JSON types", () => {
  const rows: [unknown, string, string][] = [
    [{ spec: { containers: {} } }, "spec.containers", "array"],
    [{ spec: { hostNetwork: "yes" } }, "spec.hostNetwork", "boolean"],
    [{ spec: { priority: "1" } }, "spec.priority", "integer"],
    [{ spec: { priority: 1.5 } }, "spec.priority", "integer"],
    [{ spec: { containers: ["a"] } }, "spec.containers[0]", "object"],
    [{ metadata: { labels: { a: 1 } } }, "metadata.labels.a", "string"],
    [[], "", "object"],
    [null, "", "object"],
  ];
  for (const [json, field, expected] of rows) {
    const [error] = checkSchema(podMessage, json, "strict").errors;
    assert.equal(error?.field, field);
    assert.equal(error?.reason, "FieldValueTypeInvalid");
    assert.match(
      error?.message ?? "",
      new RegExp(`in body must be of type ${expected}|body must be`),
    );
  }
  const [error] = checkSchema(podMessage, { spec: { priority: "x" } }, "strict").errors;
  assert.equal(
    error?.message,
    'Invalid value: "string": spec.priority in body must be of type integer: "string"',
  );
  const [range] = checkSchema(podMessage, { spec: { priority: 2 ** 40 } }, "strict").errors;
  assert.equal(range?.field, "spec.priority");
});

test("nulls are absent, quantities may be numbers, int-or-string may be either", () => {
  const json = {
    metadata: null,
    spec: {
      nodeName: null,
      containers: [
        {
          resources: { limits: { cpu: 2, memory: "1Gi" } },
          livenessProbe: { httpGet: { port: "http" } },
          readinessProbe: { tcpSocket: { port: 80 } },
        },
      ],
    },
  };
  const { errors, document } = checkSchema(podMessage, json, "strict");
  assert.deepEqual(errors, []);
  const { metadata: _, ...expected } = structuredClone(json) as { metadata: unknown; spec: object };
  const spec = expected.spec as Record<string, unknown>;
  delete spec.nodeName;
  const [container] = spec.containers as [{ resources: { limits: Record<string, unknown> } }];
  container.resources.limits.cpu = "2";
  assert.deepEqual(document, expected);
});

test("a hostile map key stays an ordinary key", () => {
  const json = JSON.parse('{"metadata":{"annotations":{"__proto__":"x"}}}') as unknown;
  const { document } = checkSchema(podMessage, json, "strict");
  assert.deepEqual(Object.keys(document.metadata?.annotations ?? {}), ["__proto__"]);
  assert.equal(Object.getPrototypeOf(document.metadata?.annotations), Object.prototype);
});

test("depth is bounded", () => {
  let deep: unknown = {};
  for (let level = 0; level < 100; level++) deep = { a: deep };
  const json = { metadata: { managedFields: [{ fieldsV1: deep }] } };
  assert.match(checkSchema(podMessage, json, "strict").errors[0]?.message ?? "", /deeper than 64/);
  assert.throws(() => parseJson(JSON.stringify(json), 1e6), /nested more than 64 levels/);
});

test("JSON text: values, positions, duplicates, size", () => {
  const text = '{"a":[1,-2.5e3,"x\\u0041\\n",true,false,null],"b":{}}';
  assert.deepEqual(parseJson(text, 1000), { value: JSON.parse(text), duplicates: [] });
  assert.deepEqual(parseJson('{"spec":{"x":1,"x":2,"l":[{"y":1,"y":1}]}}', 1000).duplicates, [
    'duplicate field "spec.x"',
    'duplicate field "spec.l[0].y"',
  ]);
  assert.deepEqual(parseJson('{"\\u0061":1,"a":2}', 1000).duplicates, ['duplicate field "a"']);
  const bad: [string, RegExp][] = [
    ['{"a":1,\n"b" 2}', /line 2 column 5: expected ":", found "2"/],
    ["{'a':1}", /line 1 column 2: expected a field name in quotes/],
    ["[1,]", /line 1 column 4: expected a value, found "]"/],
    ['{"a":1} x', /expected the end of the text/],
    ['"abc', /unterminated string, found the end of the text/],
    ['"a\\q"', /bad escape/],
    ["", /expected a value, found the end of the text/],
    ["01", /expected the end of the text/],
  ];
  for (const [each, message] of bad) assert.throws(() => parseJson(each, 1000), message, each);
  assert.throws(() => parseJson('"äöü"', 4), /JSON text of 8 bytes exceeds the limit of 4/);
});

test("a typed update keeps what its message does not know", () => {
  const stored = {
    future: { a: 1 },
    spec: {
      nodeFuture: true,
      containers: [
        { name: "a", newField: 1 },
        { name: "b", newField: 2 },
      ],
      tolerations: [{ key: "k", operator: "Exists", hint: "x" }],
      hostname: "old",
    },
  };
  const next = {
    spec: {
      containers: [{ name: "b", image: "i" }, { name: "c" }],
      tolerations: [{ operator: "Equal" }, { operator: "Exists", key: "k" }],
    },
  };
  assert.deepEqual(keepUnknown(podMessage, next, stored), {
    future: { a: 1 },
    spec: {
      nodeFuture: true,
      containers: [{ name: "b", image: "i", newField: 2 }, { name: "c" }],
      tolerations: [{ operator: "Equal" }, { operator: "Exists", key: "k", hint: "x" }],
    },
  });
});
