/** kubectl's dialect of JSONPath. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJsonPath, printed } from "../../services/kinds/machinery/json-path.ts";

const document = {
  metadata: { name: "a", labels: { "app.kubernetes.io/name": "web" } },
  spec: { replicas: 3, ports: [80, 443, 8080], on: true, empty: "", none: null },
  status: {
    conditions: [
      { type: "Ready", status: "True", age: 5 },
      { type: "Synced", status: "False", age: 9 },
      { type: "Odd", reason: "it's" },
    ],
    nested: { status: "deep" },
  },
};

function find(path: string): unknown[] {
  return parseJsonPath(path).find(document);
}

test("fields, indices, slices, unions and wildcards", () => {
  const cases: [string, unknown[]][] = [
    [".metadata.name", ["a"]],
    ["{.metadata.name}", ["a"]],
    ["$.metadata.name", ["a"]],
    [".metadata.labels.app\\.kubernetes\\.io/name", ["web"]],
    [".metadata.labels['app.kubernetes.io/name']", ["web"]],
    [".spec.replicas", [3]],
    [".spec.none", [null]],
    [".spec.missing.more", []],
    [".spec.replicas.more", []],
    [".spec.constructor", []],
    [".spec.ports[0]", [80]],
    [".spec.ports[-1]", [8080]],
    [".spec.ports[9]", []],
    [".spec.ports[0:2]", [80, 443]],
    [".spec.ports[::2]", [80, 8080]],
    [".spec.ports[-2:]", [443, 8080]],
    [".spec.ports[0,2]", [80, 8080]],
    [".spec.ports[*]", [80, 443, 8080]],
    [".metadata['name', 'missing']", ["a"]],
    [".status.conditions[*].type", ["Ready", "Synced", "Odd"]],
    ["..status", [document.status, "True", "False", "deep"]],
    [".", [document]],
  ];
  for (const [path, expected] of cases) assert.deepEqual(find(path), expected, path);
});

test("filters", () => {
  const cases: [string, unknown[]][] = [
    ['.status.conditions[?(@.type=="Ready")].status', ["True"]],
    [".status.conditions[?(@.type == 'Ready')].status", ["True"]],
    ['.status.conditions[?(@.type!="Ready")].type', ["Synced", "Odd"]],
    [".status.conditions[?(@.age>5)].type", ["Synced"]],
    [".status.conditions[?(@.age>=5)].type", ["Ready", "Synced"]],
    [".status.conditions[?(@.age<9)].type", ["Ready"]],
    [".status.conditions[?(@.reason)].type", ["Odd"]],
    ['.status.conditions[?(@.reason=="it\'s")].type', ["Odd"]],
    [".spec.ports[?(@==443)]", [443]],
    [".spec.ports[?(@ > 100)]", [443, 8080]],
    ['.status.conditions[?(@.type=="Nope")].status', []],
    ['.status.conditions[?(@.age=="5")].type', []],
    ['.spec[?(@.type=="x")]', []],
  ];
  for (const [path, expected] of cases) assert.deepEqual(find(path), expected, path);
});

test("what is no path is refused, with the place", () => {
  const cases: [string, RegExp][] = [
    [".a[", /expected an index or a name at character 4/],
    [".a[0", /expected "\]" at character 5/],
    [".a[?(@.b==)]", /expected a path or a constant in the filter/],
    [".a[?(@.b=='x)]", /unterminated quoted string/],
    [".a[0:1:0]", /step must be > 0/],
    [".a b", /unexpected " "/],
    [".a..", /expected a field name/],
    [".".repeat(5_000), /longer than 4096 characters/],
    [`.a${"[?(@.a".repeat(50)}`, /nested deeper than 16 levels/],
  ];
  for (const [path, expected] of cases) assert.throws(() => parseJsonPath(path), expected, path);
});

test("what is found is printed as kubectl does", () => {
  assert.equal(printed("a"), "a");
  assert.equal(printed(3), "3");
  assert.equal(printed(true), "true");
  assert.equal(printed({ a: [1] }), '{"a":[1]}');
});

test("a path visits a bounded number of values", () => {
  const wide = { list: Array.from({ length: 2_000 }, () => ({ list: [1, 2, 3] })) };
  const found = parseJsonPath("..list..list[*]..list[*][*]..*").find(wide);
  assert.ok(found.length <= 40_000);
});

test("any text is a path or an error, and any path is evaluated on any document", () => {
  const piece = fc.constantFrom(
    ...[".", "..", "[", "]", "?(", ")", "@", "$", "*", ":", ",", "==", "!=", "<", ">"],
    ...["'a'", '"b"', "a", "b", "0", "-1", " ", "\\", "true", "{", "}"],
  );
  const path = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(fc.oneof(path, fc.string()), fc.jsonValue({ maxDepth: 4 }), (text, value) => {
      let parsed: ReturnType<typeof parseJsonPath>;
      try {
        parsed = parseJsonPath(text);
      } catch (thrown) {
        assert.ok(thrown instanceof Error);
        assert.match(thrown.message, /at character|longer than/);
        return;
      }
      assert.ok(Array.isArray(parsed.find(value)));
    }),
    { numRuns: 2_000 },
  );
});
