import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checkSchema, parseYaml } from "../../services/kinds/mod.ts";

/** `error`: "go" when sigs.k8s.io/yaml refuses the text, "duplicate" when its strict mode does. */
interface Row {
  readonly yaml: string;
  readonly json?: unknown;
  readonly error?: string;
}

/** Made by sigs.k8s.io/yaml 1.6.0, `YAMLToJSON` and `YAMLToJSONStrict`. */
const corpus = JSON.parse(
  readFileSync(new URL("./yaml-corpus.json", import.meta.url), "utf8"),
) as readonly Row[];

/** Where Go's reader is bent or silent; undefined: refused here. */
const differences = new Map<string, unknown>([
  // Two keys of different types that become the same text: one of them would be lost.
  ["1: a\n'1': b\n", undefined],
  // Go stops reading at the second line and says nothing.
  ["  a: 1\n b: 2\n", undefined],
  // Escapes that JSON has; kubectl reads JSON with another reader, which knows them.
  ['a: "\\/"\n', { a: "/" }],
  ['{\n  "a": "\\ud83d\\ude00"\n}\n', { a: "😀" }],
  ['a: "\\ud83d\\ude00"\n', { a: "😀" }],
]);

test("YAML is read as sigs.k8s.io/yaml reads it", () => {
  for (const { yaml, json, error } of corpus) {
    const known = differences.has(yaml);
    const expected = known ? differences.get(yaml) : json;
    const refused = known ? expected === undefined : error !== undefined;
    if (refused) {
      assert.throws(() => parseYaml(yaml), { name: "StatusError" }, JSON.stringify(yaml));
      continue;
    }
    const [value = null, ...more] = parseYaml(yaml);
    // By way of JSON, which has no negative zero.
    const plain: unknown = JSON.parse(JSON.stringify(value));
    assert.deepEqual(plain, JSON.parse(JSON.stringify(expected)), JSON.stringify(yaml));
    assert.deepEqual(more, []);
  }
});

test("several documents, among them empty ones", () => {
  const text = "---\na: 1\n---\n# nothing\n---\nb: &x 2\n...\n---\nc: 3\n";
  assert.deepEqual(parseYaml(text), [{ a: 1 }, null, { b: 2 }, { c: 3 }]);
  assert.throws(() => parseYaml("a: &x 1\n---\nb: *x\n"), /anchor|alias/i);
});

test("numbers that JavaScript cannot keep are refused, with their line", () => {
  assert.throws(
    () => parseYaml("a: 1\nb: 9007199254740993\n"),
    /^StatusError: line 2 column 4: 9007199254740993 is beyond 9007199254740991/,
  );
  assert.throws(() => parseYaml("a: .inf\n"), /\.inf cannot be written as JSON/);
  // Beyond 64 bits Go makes it a float.
  assert.deepEqual(parseYaml("a: 36893488147419103232\n"), [{ a: 2 ** 65 }]);
});

test("aliases that stand for too much are refused", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 8; level++) {
    const inner = Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ");
    lines.push(`a${level}: &a${level} [${inner}]`);
  }
  assert.throws(() => parseYaml(lines.join("\n")), /aliases stand for more than 200000 values/);
});

test("nulls in maps and lists are zero values, as upstream stores them", () => {
  const document = (message: string, value: unknown) => {
    const checked = checkSchema(`trireme.core.v1.${message}`, value, "strict");
    assert.deepEqual(checked.errors, []);
    return checked.document;
  };
  assert.deepEqual(document("ConfigMap", { data: { a: null, b: "x" }, metadata: null }), {
    data: { a: "", b: "x" },
  });
  assert.deepEqual(document("Container", { args: [null], resources: { limits: { cpu: null } } }), {
    args: [""],
    resources: { limits: { cpu: "0" } },
  });
  assert.deepEqual(document("PodSpec", { containers: [null] }), { containers: [{}] });
});
