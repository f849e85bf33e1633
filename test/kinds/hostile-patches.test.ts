/** Whatever is sent as a patch, a selector, a quantity or an expression: an answer, or a refusal. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { Budget } from "../../services/kinds/machinery/cel/budget.ts";
import { compileExpression } from "../../services/kinds/machinery/cel/compile.ts";
import { celEnvironment } from "../../services/kinds/machinery/cel/environment.ts";
import { parseFieldSelector } from "../../services/kinds/machinery/selectors.ts";
import {
  applyPatch,
  copyJson,
  PatchType,
  parseQuantity,
  parseYaml,
} from "../../services/kinds/mod.ts";
import { deploymentDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const deployments = registry.required("apps/v1", "Deployment");

/** Undefined: refused as the client's mistake. */
function answerOf<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError, `no refusal: ${thrown}`);
    return undefined;
  } finally {
    assert.deepEqual(Object.keys(Object.prototype), [], "every object has a new property");
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    assert.equal(Object.getPrototypeOf([]), Array.prototype);
  }
}

const oddNames = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"];
const key = fc.oneof(
  fc.constantFrom("metadata", "labels", "spec", "template", "containers", "name", "ports", "env"),
  fc.constantFrom("$patch", "$retainKeys", "$setElementOrder/containers", "replicas", "polluted"),
  fc.constantFrom("$deleteFromPrimitiveList/finalizers", "finalizers", "containerPort", "value"),
  fc.constantFrom(...oddNames),
  fc.string({ maxLength: 4 }),
);
/** JSON texts, so that `__proto__` is a key of its own as a client would send it. */
const { json } = fc.letrec<{ json: string; leaf: string }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(
      "null",
      "true",
      "0",
      "-1",
      "1e400",
      "9007199254740993",
      '"delete"',
      '"replace"',
    ),
    fc.string({ maxLength: 5 }).map((text) => JSON.stringify(text)),
    fc.constantFrom('"app"', '"merge"', "{}", "[]", '{"polluted":true}'),
  ),
  json: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc
      .uniqueArray(fc.tuple(key, tie("json")), { maxLength: 4, selector: ([name]) => name })
      .map(
        (all) => `{${all.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`,
      ),
    fc.array(tie("json"), { maxLength: 3 }).map((all) => `[${all.join(",")}]`),
  ),
}));
const pointer = fc
  .array(fc.oneof(key, fc.constantFrom("0", "-", "1", "-1", "~0", "~1", "~2", "00", "1e9")), {
    maxLength: 5,
  })
  .map((parts) => parts.map((part) => `/${part}`).join(""));
const operation = fc
  .tuple(
    fc.constantFrom("add", "remove", "replace", "move", "copy", "test", "brew", "__proto__"),
    pointer,
    pointer,
    json,
  )
  .map(([op, path, from, value]) => {
    const [where, whence] = [JSON.stringify(path), JSON.stringify(from)];
    return `{"op":"${op}","path":${where},"from":${whence},"value":${value}}`;
  });
const operations = fc.array(operation, { maxLength: 4 }).map((all) => `[${all.join(",")}]`);

const runs = { numRuns: 1_500 };

function patchedBy(type: string, text: string): unknown {
  const before = deploymentDocument();
  const document = copyJson(before);
  const patched = answerOf(() => applyPatch(deployments, type, document, Buffer.from(text)));
  assert.deepEqual(document, before, "the document itself stays as it was");
  return patched;
}

describe("patches of any kind", () => {
  for (const type of Object.values(PatchType)) {
    test(type, () => {
      const texts = fc.oneof(type === PatchType.json ? operations : json, json, fc.string());
      fc.assert(
        fc.property(texts, (text) => {
          const patched = patchedBy(type, text);
          if (patched === undefined) return;
          assert.equal(Object.getPrototypeOf(patched), Object.prototype);
          assert.equal(
            JSON.stringify(JSON.parse(JSON.stringify(patched))),
            JSON.stringify(patched),
          );
        }),
        runs,
      );
    });
  }

  test("odd names are data: what is merged is there, as own fields, and goes again", () => {
    for (const type of [PatchType.merge, PatchType.strategicMerge]) {
      for (const name of oddNames) {
        const text = `{"metadata":{"annotations":{${JSON.stringify(name)}:"x"}}}`;
        const patched = JSON.parse(JSON.stringify(patchedBy(type, text)));
        assert.equal(Object.hasOwn(patched.metadata.annotations, name), true, `${type} ${name}`);
        const back = `{"metadata":{"annotations":{${JSON.stringify(name)}:null}}}`;
        const gone = applyPatch(deployments, type, patched, Buffer.from(back));
        const { annotations = {} } = gone.metadata ?? {};
        assert.equal(Object.hasOwn(annotations, name), false, `${type} ${name}`);
      }
    }
  });
});

test("configurations to apply, as YAML: documents or refusals, however aliases are nested", () => {
  const line = fc.oneof(
    fc.constantFrom("a: &x [1, 2]", "b: *x", "<<: *x", "? [a]", ": b", "- c", "  d: !!binary e"),
    fc.constantFrom("__proto__: {polluted: true}", "constructor: 1", "---", "...", "%YAML 9.9"),
    fc.constantFrom(
      "t: 2001-01-01",
      "n: .nan",
      "i: 0x7fffffffffffffff",
      "k: |",
      "\tz: 1",
      "{",
      "'",
    ),
    fc.string({ maxLength: 10 }),
  );
  const yaml = fc.array(line, { maxLength: 8 }).map((lines) => lines.join("\n"));
  fc.assert(
    fc.property(yaml, (text) => {
      answerOf(() => parseYaml(text));
    }),
    runs,
  );
  const bomb = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
  for (let level = 1; level < 10; level++) {
    const alias = `*a${level - 1}`;
    bomb.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => alias).join(",")}]`);
  }
  assert.equal(
    answerOf(() => parseYaml(bomb.join("\n"))),
    undefined,
  );
});

test("field selectors: any text is a selector or refused", () => {
  const piece = fc.constantFrom(
    ...["metadata.name", "metadata.namespace", "spec.nodeName", "=", "==", "!=", ",", "\\", "\\,"],
    ...["a", " ", "__proto__", "constructor", ""],
  );
  const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
  const pods = registry.required("v1", "Pod");
  fc.assert(
    fc.property(fc.oneof(text, fc.string()), (selector) => {
      answerOf(() => parseFieldSelector(selector, pods));
    }),
    runs,
  );
});

test("quantities: any text is one or is none, however many digits it has", () => {
  const piece = fc.constantFrom(
    ...["0", "9", "1", ".", "-", "+", "e", "E", "Ki", "m", "n", "u", "Ei", "k", "99999999999", " "],
  );
  const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(fc.oneof(text, fc.string()), (quantity) => {
      parseQuantity(quantity);
    }),
    runs,
  );
  for (const vast of [
    "9".repeat(1_000_000),
    "1e999999999",
    "1e-999999999",
    `1.${"0".repeat(500_000)}1`,
  ]) {
    parseQuantity(vast);
  }
});

test("expressions: whatever compiles ends, with a value, an error, or its budget", () => {
  const word = fc.constantFrom(
    ...["items", "i", "1", "0", "-1", "'a'", '"(a+)+$"', "true", "null", "[]", "{}", "dyn(items)"],
    ...[
      "(",
      ")",
      "[",
      "]",
      ".",
      ",",
      "?",
      ":",
      "+",
      "-",
      "*",
      "/",
      "%",
      "<",
      "==",
      "!=",
      "&&",
      "||",
    ],
    ...[".all(i, ", ".exists(i, ", ".map(i, ", ".filter(i, ", ".size()", ".matches(", "!", " in "],
    ...["size(", "has(", "type(", "int(", "string(", "duration(", "timestamp(", "quantity('1')"],
    ...["__proto__", "constructor", "items.constructor", "{'__proto__': 1}", "[items, items]"],
  );
  const text = fc.array(word, { minLength: 1, maxLength: 14 }).map((words) => words.join(""));
  fc.assert(
    fc.property(fc.oneof(text, fc.string()), (source) => {
      const environment = celEnvironment().registerVariable("items", "list<int>");
      let expression: ReturnType<typeof compileExpression>;
      try {
        expression = compileExpression(environment, source);
      } catch (thrown) {
        assert.ok(thrown instanceof Error);
        assert.doesNotMatch(thrown.name, /^(TypeError|RangeError|ReferenceError|InternalError)$/);
        return;
      }
      try {
        expression.evaluate({ items: [3n, 1n, 2n] }, new Budget(10_000));
      } catch (thrown) {
        assert.ok(thrown instanceof Error);
        assert.doesNotMatch(
          thrown.name,
          /^(TypeError|RangeError|ReferenceError)$/,
          `${source} ${thrown}`,
        );
      }
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    }),
    { numRuns: 1_000 },
  );
});
