import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatSelector,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  selectorOf,
  validateLabelSelector,
} from "../../services/kinds/mod.ts";
import { registry } from "./registry.ts";

test("label selectors match", () => {
  const labels = { app: "web", tier: "front", level: "5", "example.com/a": "" };
  const rows: [string, boolean][] = [
    ["", true],
    ["app=web", true],
    ["app==web", true],
    ["app = web , tier != back", true],
    ["app!=web", false],
    ["missing!=x", true],
    ["app in (web, api)", true],
    ["app notin (web)", false],
    ["missing notin (web)", true],
    ["missing in (web)", false],
    ["app", true],
    ["missing", false],
    ["!missing", true],
    ["!app", false],
    ["example.com/a=", true],
    ["example.com/a in (,x)", true],
    ["level>4", true],
    ["level<5", false],
    ["app>4", false],
    ["app=web,!missing,tier in (front)", true],
    ["constructor", false],
  ];
  for (const [text, expected] of rows) {
    assert.equal(matchesLabels(parseLabelSelector(text), labels), expected, text);
  }
});

test("bad label selectors say what was expected", () => {
  const rows: [string, RegExp][] = [
    ["=web", /found '=', expected: !, identifier/],
    ["app in web", /found 'web' expected: '\('/],
    ["!!app", /^StatusError: unable to parse requirement: found '!', expected: identifier$/],
    ["app in (web", /found '', expected: ',' or '\)'/],
    ["app web", /found 'web', expected: in, notin, =, ==, !=, gt, lt/],
    ["app=web,", /identifier after ','/],
    ["a/b/c=d", /a qualified name must consist/],
    ["app=-web", /a valid label must be an empty string/],
    ["app>x", /must be an integer/],
    ["a".repeat(70_000), /exceeds the limit of 65536/],
  ];
  for (const [text, message] of rows) {
    assert.throws(() => parseLabelSelector(text), message, text.slice(0, 30));
  }
});

const name = fc
  .stringMatching(/^[a-z][a-z0-9]{0,8}$/)
  .filter((key) => !["in", "notin"].includes(key));
const requirement = fc.oneof(
  fc.tuple(name, name).map(([key, value]) => `${key}=${value}`),
  fc.tuple(name, name).map(([key, value]) => `${key}!=${value}`),
  fc
    .tuple(name, fc.uniqueArray(name, { minLength: 1, maxLength: 4 }))
    .map(([key, values]) => `${key} in (${values.join(",")})`),
  name,
  name.map((key) => `!${key}`),
);

test("formatting a selector and parsing it again changes nothing", () => {
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 5 }), (requirements) => {
      const formatted = formatSelector(parseLabelSelector(requirements.join(",")));
      assert.equal(formatSelector(parseLabelSelector(formatted)), formatted);
    }),
    { numRuns: 200 },
  );
});

test("any text parses or is refused, and nothing else happens", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      try {
        parseLabelSelector(text);
      } catch (thrown) {
        assert.equal((thrown as Error).name, "StatusError");
      }
    }),
    { numRuns: 500 },
  );
});

test("LabelSelector objects", () => {
  const selector = {
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "NotIn", values: ["back"] },
      { key: "x", operator: "DoesNotExist" },
    ],
  };
  assert.ok(matchesLabels(selectorOf(selector), { app: "web" }));
  assert.ok(!matchesLabels(selectorOf(selector), { app: "web", x: "" }));
  assert.ok(!matchesLabels(selectorOf(undefined), {}));
  assert.ok(matchesLabels(selectorOf({}), {}));
  assert.equal(formatSelector(selectorOf(selector)), "app=web,tier notin (back),!x");
  const causes = validateLabelSelector(
    {
      matchLabels: { "a b": "x" },
      matchExpressions: [
        { key: "a", operator: "In" },
        { key: "a", operator: "Exists", values: ["b"] },
        { key: "a", operator: "Near" },
      ],
    },
    "spec.selector",
  );
  assert.deepEqual(
    causes.map(({ reason, field }) => `${reason} ${field}`),
    [
      "FieldValueInvalid spec.selector.matchLabels",
      "FieldValueRequired spec.selector.matchExpressions[0].values",
      "FieldValueForbidden spec.selector.matchExpressions[1].values",
      "FieldValueInvalid spec.selector.matchExpressions[2].operator",
    ],
  );
});

test("field selectors", () => {
  const pods = registry.find("po");
  assert.ok(pods);
  const pod = { metadata: { name: "a,b" }, spec: { nodeName: "n1" }, status: { phase: "Running" } };
  const matches = (text: string) => matchesFields(pods, parseFieldSelector(text, pods), pod);
  assert.ok(matches("spec.nodeName=n1,status.phase!=Failed"));
  assert.ok(matches("metadata.name=a\\,b"));
  assert.ok(!matches("spec.nodeName==n2"));
  assert.ok(matches(""));
  assert.throws(() => matches("spec.foo=1"), /field label not supported: spec.foo/);
  assert.throws(
    () => matches("spec.nodeName"),
    /invalid selector: 'spec.nodeName'; can't understand/,
  );
  assert.throws(() => matches("metadata.name=a\\x"), /invalid escape sequence/);
});
