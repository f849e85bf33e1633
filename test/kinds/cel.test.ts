/** Rules of schemas: the language, its Kubernetes functions, its types, its costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Budget } from "../../services/kinds/machinery/cel/budget.ts";
import { compileExpression } from "../../services/kinds/machinery/cel/compile.ts";
import { celEnvironment } from "../../services/kinds/machinery/cel/environment.ts";
import { checkRules } from "../../services/kinds/machinery/cel/rule-check.ts";
import { evaluateRules } from "../../services/kinds/machinery/cel/rules.ts";
import { compileSchema } from "../../services/kinds/machinery/structural/node.ts";
import type {
  SchemaProps,
  ValidationRule,
} from "../../services/kinds/machinery/structural/props.ts";

function evaluate(text: string, steps = 100_000): unknown {
  const environment = celEnvironment().registerVariable("items", "list<int>");
  const expression = compileExpression(environment, text);
  return expression.evaluate({ items: [3n, 1n, 2n] }, new Budget(steps));
}

test("the functions that Kubernetes adds", () => {
  const truths = [
    "'abc'.matches('^a.c$')",
    "!'abc'.matches('b$')",
    "'a1b22'.find('[0-9]+') == '1'",
    "'a1b22'.findAll('[0-9]+') == ['1', '22']",
    "'a1b22'.findAll('[0-9]+', 1) == ['1']",
    "items.sum() == 6 && items.min() == 1 && items.max() == 3 && !items.isSorted()",
    "[1.5, 2.5].sum() == 4.0 && ['a', 'b'].isSorted() && ['a', 'b', 'a'].lastIndexOf('a') == 2",
    "items.indexOf(2) == 2 && items.indexOf(9) == -1",
    "sets.contains(items, [1, 2]) && sets.intersects(items, [9, 1]) && sets.equivalent([1, 1], [1])",
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m') == quantity('0.5')",
    "quantity('2').add(quantity('500m')).compareTo(quantity('2500m')) == 0",
    "isQuantity('1Ki') && !isQuantity('1 Ki') && quantity('3k').asInteger() == 3000",
    "quantity('-1').sign() == -1 && quantity('1.5').asApproximateFloat() == 1.5",
    "isIP('::1') && !isIP('1.2.3') && ip('10.0.0.1').family() == 4 && ip('127.0.0.1').isLoopback()",
    "cidr('10.0.0.0/8').containsIP('10.9.9.9') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/16').masked() == cidr('10.1.0.0/16')",
    "ip.isCanonical('::1') && !ip.isCanonical('0:0::1')",
    "url('https://a.example:8443/p/q?x=1&x=2').getHost() == 'a.example:8443'",
    "url('https://a.example:8443/p').getPort() == '8443' && url('https://[::1]/').getHostname() == '::1'",
    "url('https://a.example/p?x=1&x=2').getQuery()['x'] == ['1', '2'] && !isURL('a b')",
    "format.dns1123Label().validate('A').hasValue() && !format.named('uri').value().validate('/a').hasValue()",
    "!format.named('nothing').hasValue()",
    "'a-b'.replace('-', '+') == 'a+b' && 'aaa'.replace('a', 'b', 2) == 'bba' && 'abc'.charAt(1) == 'b'",
    "'%s is %d of %.2f'.format(['x', 3, 1.5]) == 'x is 3 of 1.50'",
    "'A,b'.lowerAscii().split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
    "duration('90m').getHours() == 1 && timestamp('2026-01-02T00:00:00Z').getFullYear() == 2026",
    "optional.none().orValue('x') == 'x' && {'a': 1}.?a.orValue(0) == 1",
    "[1, 2].all(x, x > 0) && [1, 2].exists_one(x, x == 2) && [1, 2].map(x, x * 2) == [2, 4]",
  ];
  for (const text of truths) assert.equal(evaluate(text), true, text);
});

test("failures say what went wrong", () => {
  const failures: [string, RegExp][] = [
    ["1 / 0 == 1", /^division by zero$/],
    ["items[5] == 1", /^index out of bounds: 5$/],
    ["{'a': 1}['b'] == 1", /^no such key: b$/],
    ["9223372036854775807 + items[0] > 0", /^integer overflow$/],
    ["'a'.matches('(')", /missing closing \)|missing argument/],
    ["[].filter(x, true).map(x, 1).max() == 1", /max called on empty list/],
  ];
  for (const [text, expected] of failures) {
    assert.throws(() => evaluate(text), { message: expected }, text);
  }
});

test("an expression ends when its budget is spent, however it loops", () => {
  const loops = [
    "items.all(a, items.all(b, items.all(c, items.all(d, items.all(e, items.all(f, a + f > 0))))))",
    "items.exists(a, items.exists(b, items.exists(c, items.exists(d, items.exists(e, a + e > 99))))) || true",
    "items.map(a, items.map(b, items.map(c, items.map(d, '0123456789')))).size() == 3",
  ];
  for (const text of loops) {
    const expression = compileExpression(
      celEnvironment().registerVariable("items", "list<int>"),
      text,
    );
    const budget = new Budget(500);
    try {
      expression.evaluate({ items: [1n, 2n, 3n] }, budget);
    } catch (thrown) {
      assert.match(String(thrown), /actual cost limit exceeded/);
    }
    assert.equal(budget.exceeded, true, text);
  }
  const long = Array.from({ length: 5_000 }, (_, index) => BigInt(index));
  const cubic = compileExpression(
    celEnvironment().registerVariable("items", "list<int>"),
    "items.all(a, items.all(b, items.all(c, a + b + c >= 0)))",
  );
  const budget = new Budget(1_000_000);
  assert.throws(() => cubic.evaluate({ items: long }, budget), /cost limit/);
});

test("texts that cannot be compiled are refused in upstream's form", () => {
  const cases: [string, string][] = [
    [
      "nope > 1",
      "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope > 1\n | ^",
    ],
    [
      "items.size() > 'a'",
      "compilation failed: ERROR: <input>:1:1: found no matching overload for '_>_' applied to '(int, string)'\n | items.size() > 'a'\n | ^",
    ],
    [
      "1 +",
      "compilation failed: ERROR: <input>:1:4: Syntax error: Unexpected token: EOF\n | 1 +\n | ...^",
    ],
  ];
  for (const [text, message] of cases) assert.throws(() => evaluate(text), { message });
  assert.throws(() => evaluate(`1${" + 1".repeat(9_000)}`), /longer than|limit|exceed/i);
  assert.throws(() => evaluate(`${"(".repeat(500)}1${")".repeat(500)}`), /compilation failed/);
});

const text = (rule: string, extra: Partial<ValidationRule> = {}): ValidationRule[] => [
  { rule, ...extra },
];

function object(properties: Record<string, SchemaProps>, extra: SchemaProps = {}): SchemaProps {
  return { type: "object", properties, ...extra };
}

function outcome(schema: SchemaProps, next: unknown, stored?: unknown): string[] {
  const node = compileSchema(schema);
  assert.deepEqual(checkRules(node, "schema"), []);
  return evaluateRules(node, next, stored).map(({ field, message }) => `${field}: ${message}`);
}

test("rules see values by the types of their schema", () => {
  const schema = object({
    spec: object(
      {
        min: { type: "integer" },
        max: { type: "integer" },
        ratio: { type: "number" },
        port: { "x-kubernetes-int-or-string": true },
        since: { type: "string", format: "date-time" },
        wait: { type: "string", format: "duration" },
        labels: {
          type: "object",
          additionalProperties: { type: "string", maxLength: 9 },
          maxProperties: 9,
        },
        namespace: { type: "string", maxLength: 10 },
        "odd-name.x": { type: "string", maxLength: 10 },
        constructor: { type: "string", maxLength: 10 },
        parts: {
          type: "array",
          maxItems: 5,
          items: object({ name: { type: "string", maxLength: 5 }, size: { type: "integer" } }),
        },
      },
      {
        "x-kubernetes-validations": [
          { rule: "self.min <= self.max", message: "min must not exceed max" },
          { rule: "self.ratio > 0.5" },
          { rule: "self.port == 80 || self.port == 'http'" },
          { rule: "self.since < timestamp('2030-01-01T00:00:00Z')" },
          { rule: "self.wait <= duration('1h')" },
          { rule: "self.labels.all(key, self.labels[key] != '')" },
          { rule: "self.__namespace__ == 'a' && self.odd__dash__name__dot__x == 'b'" },
          { rule: "!has(self.constructor)" },
          {
            rule: "self.parts.all(part, part.size > 0) && self.parts.map(p, p.name).indexOf('a') == 0",
          },
          { rule: "self.parts[0] == self.parts[0] && self.parts[0] in self.parts" },
        ],
      },
    ),
  });
  const spec = {
    ...{ min: 1, max: 2, ratio: 1, port: 80, since: "2026-01-01T00:00:00Z", wait: "5m" },
    labels: { a: "b" },
    namespace: "a",
    "odd-name.x": "b",
    parts: [{ name: "a", size: 1 }],
  };
  assert.deepEqual(outcome(schema, { spec }), []);
  assert.deepEqual(outcome(schema, { spec: { ...spec, min: 3, ratio: 0.5, port: "x" } }), [
    'spec: Invalid value: "object": min must not exceed max',
    'spec: Invalid value: "object": failed rule: self.ratio > 0.5',
    "spec: Invalid value: \"object\": failed rule: self.port == 80 || self.port == 'http'",
  ]);
  const { labels: _, ...without } = spec;
  assert.deepEqual(outcome(schema, { spec: without }), [
    "spec: Invalid value: \"object\": no such key: labels evaluating rule: self.labels.all(key, self.labels[key] != '')",
  ]);
});

test("messages, reasons and paths of rules", () => {
  const schema = object({
    spec: object(
      { a: { type: "integer" }, b: { type: "integer" } },
      {
        "x-kubernetes-validations": [
          {
            rule: "self.a > 0",
            messageExpression: "'a is ' + string(self.a)",
            reason: "FieldValueForbidden",
            fieldPath: ".a",
          },
          { rule: "self.b > 0", message: "b is needed", reason: "FieldValueRequired" },
        ],
      },
    ),
  });
  assert.deepEqual(outcome(schema, { spec: { a: 0, b: 0 } }), [
    "spec.a: Forbidden: a is 0",
    "spec: Required value: b is needed",
  ]);
});

test("transition rules compare with what is replaced, element by element of a map list", () => {
  const schema = object({
    spec: object({
      fixed: {
        type: "string",
        maxLength: 5,
        "x-kubernetes-validations": text("self == oldSelf", { message: "is immutable" }),
      },
      whole: object(
        { x: { type: "integer" } },
        { "x-kubernetes-validations": text("self == oldSelf") },
      ),
      parts: {
        type: "array",
        maxItems: 5,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        items: object(
          { name: { type: "string", maxLength: 5 }, size: { type: "integer" } },
          { required: ["name"], "x-kubernetes-validations": text("self.size >= oldSelf.size") },
        ),
      },
      state: {
        type: "string",
        maxLength: 5,
        "x-kubernetes-validations": text("oldSelf.hasValue() || self == 'new'", {
          optionalOldSelf: true,
        }),
      },
    }),
  });
  const spec = {
    fixed: "a",
    whole: { x: 1 },
    parts: [
      { name: "p", size: 2 },
      { name: "q", size: 5 },
    ],
    state: "new",
  };
  assert.deepEqual(outcome(schema, { spec }), []);
  assert.deepEqual(outcome(schema, { spec: { ...spec, state: "old" } }), [
    "spec.state: Invalid value: \"string\": failed rule: oldSelf.hasValue() || self == 'new'",
  ]);
  assert.deepEqual(outcome(schema, { spec: { ...spec, state: "old" } }, { spec }), []);
  const changed = {
    ...spec,
    fixed: "b",
    whole: { x: 2 },
    parts: [
      { name: "q", size: 5 },
      { name: "p", size: 1 },
      { name: "r", size: 0 },
    ],
  };
  assert.deepEqual(outcome(schema, { spec: changed }, { spec }), [
    'spec.fixed: Invalid value: "string": is immutable',
    'spec.whole: Invalid value: "object": failed rule: self == oldSelf',
    'spec.parts[1]: Invalid value: "object": failed rule: self.size >= oldSelf.size',
  ]);
});

test("what held before an update, and is not changed by it, is not asked again", () => {
  const schema = object({
    spec: object({
      a: object({ x: { type: "integer" } }, { "x-kubernetes-validations": text("self.x > 0") }),
      b: { type: "integer" },
    }),
  });
  const stored = { spec: { a: { x: 0 }, b: 1 } };
  assert.deepEqual(outcome(schema, { spec: { a: { x: 0 }, b: 2 } }, stored), []);
  assert.equal(outcome(schema, { spec: { a: { x: -1 }, b: 2 } }, stored).length, 1);
});

function refusals(schema: SchemaProps): string[] {
  return checkRules(compileSchema(schema), "s").map(({ field, message }) => `${field}: ${message}`);
}

test("rules are held to their texts, types and costs when a schema is defined", () => {
  const rule = (definition: ValidationRule, extra: SchemaProps = {}) =>
    refusals(object({ a: { type: "string", ...extra, "x-kubernetes-validations": [definition] } }));
  const at = "s.properties[a].x-kubernetes-validations[0]";
  assert.deepEqual(rule({ rule: " " }), [`${at}.rule: Required value: rule is not specified`]);
  assert.deepEqual(rule({ rule: "true", message: " " }), [
    `${at}.message: Invalid value: " ": must be non-empty if specified`,
  ]);
  assert.deepEqual(rule({ rule: "true\n&& true" }), [
    `${at}.message: Required value: message must be specified if rule contains line breaks`,
  ]);
  assert.deepEqual(rule({ rule: "true", reason: "Nope" }), [
    `${at}.reason: Unsupported value: "Nope": supported values: "FieldValueDuplicate", ` +
      '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
  ]);
  assert.deepEqual(rule({ rule: "true", fieldPath: ".b" }), [
    `${at}.fieldPath: Invalid value: ".b": must be a valid path`,
  ]);
  assert.deepEqual(rule({ rule: "true", optionalOldSelf: true }), [
    `${at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule`,
  ]);
  assert.deepEqual(rule({}), [`${at}.rule: Required value: rule is not specified`]);
  const shown =
    '{"Rule":"self.nope","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",' +
    '"OptionalOldSelf":null}';
  const named = refusals(
    object({
      a: object({ b: { type: "string" } }, { "x-kubernetes-validations": text("self.nope") }),
    }),
  );
  assert.deepEqual(named, [
    `${at}.rule: Invalid value: ${shown}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^`,
  ]);
  assert.match(
    rule({ rule: "self" }, { maxLength: 5 })[0] ?? "",
    /cel expression must evaluate to a bool$/,
  );
  assert.match(
    refusals(
      object({
        l: {
          type: "array",
          items: { type: "string" },
          "x-kubernetes-validations": text("self.all(a, self.all(b, a == b))"),
        },
      }),
    )[0] ?? "",
    /^s\.properties\[l\]\.x-kubernetes-validations\[0\]\.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x/,
  );
  assert.deepEqual(
    refusals(
      object({
        l: {
          type: "array",
          maxItems: 20,
          items: { type: "string", maxLength: 20 },
          "x-kubernetes-validations": text("self.all(a, self.exists_one(b, a == b))"),
        },
      }),
    ),
    [],
  );
  assert.match(
    refusals(
      object({
        l: {
          type: "array",
          items: {
            type: "string",
            maxLength: 5,
            "x-kubernetes-validations": text("self == oldSelf"),
          },
          maxItems: 5,
        },
      }),
    )[0] ?? "",
    /oldSelf cannot be used on the uncorrelatable portion of the schema within s\.properties\[l\]$/,
  );
});
