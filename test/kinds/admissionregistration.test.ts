import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldWarnings } from "../../services/kinds/field-support.ts";
import { type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created, documents, faults } from "./tables.ts";

const version = "admissionregistration.k8s.io/v1";
const mutating = documents(version, "MutatingWebhookConfiguration");
const validating = documents(version, "ValidatingWebhookConfiguration");
const policy = documents(version, "ValidatingAdmissionPolicy");
const binding = documents(version, "ValidatingAdmissionPolicyBinding");

const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
const hook = {
  name: "images.hooks.example.com",
  clientConfig: { url: "https://example.com/hook" },
  rules: [rule],
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
};
const one = (fields: Loose = {}) => validating({ webhooks: [{ ...hook, ...fields }] });
const client = (clientConfig: Loose) => one({ clientConfig });
const ruled = (fields: Loose) => one({ rules: [{ ...rule, ...fields }] });
const resources = (...list: string[]) => ruled({ resources: list });
const at = "webhooks[0]";
const field = `${at}.rules[0].resources`;

const urlFaults: readonly [string, string][] = [
  [":", "missing protocol scheme"],
  ["1a:b", "first path segment in URL cannot contain colon"],
  ["https://a b", 'invalid character " " in host name'],
  ["https://a:port", 'invalid port ":port" after host'],
  ["https://[::1", "missing ']' in host"],
  ["https://a/%zz", 'invalid URL escape "%zz"'],
];

test("webhooks: every fault in its words", () => {
  assertFaults([
    [one(), []],
    [
      one({ name: "images" }),
      [
        `${at}.name: Invalid value: "images": should be a domain with at least three segments ` +
          "separated by dots",
      ],
    ],
    [one({ name: undefined }), [`${at}.name: Required value`]],
    [
      one({ sideEffects: undefined }),
      [`${at}.sideEffects: Required value: must specify one of None, NoneOnDryRun`],
    ],
    [
      one({ sideEffects: "Some" }),
      [`${at}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"`],
    ],
    [
      one({ failurePolicy: "X", matchPolicy: "Y" }),
      [
        `${at}.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"`,
        `${at}.matchPolicy: Unsupported value: "Y": supported values: "Equivalent", "Exact"`,
      ],
    ],
    [
      one({ timeoutSeconds: 31 }),
      [
        `${at}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 ` +
          "seconds",
      ],
    ],
    [
      one({ admissionReviewVersions: [] }),
      [`${at}.admissionReviewVersions: Required value: must specify one of v1, v1beta1`],
    ],
    [
      one({ admissionReviewVersions: ["v2", "v2"] }),
      [
        `${at}.admissionReviewVersions[1]: Invalid value: "v2": duplicate version`,
        `${at}.admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of ` +
          "v1, v1beta1",
      ],
    ],
    [client({}), [`${at}.clientConfig: Required value: exactly one of url or service is required`]],
    [
      client({ url: "http://user@example.com/?a=b#c" }),
      [
        `${at}.clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; ` +
          "desired format: https://host[/path]",
        `${at}.clientConfig.url: Invalid value: "user": user information is not permitted in the ` +
          "URL",
        `${at}.clientConfig.url: Invalid value: "c": fragments are not permitted in the URL`,
        `${at}.clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the ` +
          "URL",
      ],
    ],
    [
      client({ url: "example" }),
      [
        `${at}.clientConfig.url: Invalid value: "": 'https' is the only allowed URL scheme; ` +
          "desired format: https://host[/path]",
        `${at}.clientConfig.url: Invalid value: "": host must be specified; desired format: ` +
          "https://host[/path]",
      ],
    ],
    ...urlFaults.map(([url, fault]): [Loose, string[]] => [
      client({ url }),
      [
        `${at}.clientConfig.url: Required value: url must be a valid URL: parse ` +
          `${JSON.stringify(url)}: ${fault}; desired format: https://host[/path]`,
      ],
    ]),
    [
      client({ url: "https:///path" }),
      [
        `${at}.clientConfig.url: Invalid value: "": host must be specified; desired format: ` +
          "https://host[/path]",
      ],
    ],
    [
      client({ service: { name: "a", path: "a" } }),
      [
        `${at}.clientConfig.service.name: Required value`,
        `${at}.clientConfig.service.path: Invalid value: "a": must start with a '/'`,
        `${at}.clientConfig.service.path: Invalid value: "a": segment[0] may not be empty`,
      ],
    ],
    [
      client({ service: { path: "a" } }),
      [
        `${at}.clientConfig.service.name: Required value`,
        `${at}.clientConfig.service.namespace: Required value`,
        `${at}.clientConfig.service.path: Invalid value: "a": must start with a '/'`,
        `${at}.clientConfig.service.path: Invalid value: "a": segment[0] may not be empty`,
      ],
    ],
    [
      client({ service: { name: "a", namespace: "b", path: "/x//y", port: 70_000 } }),
      [
        `${at}.clientConfig.service.port: Invalid value: 70000: port is not valid: must be between ` +
          "1 and 65535, inclusive",
        `${at}.clientConfig.service.path: Invalid value: "/x//y": segment[1] may not be empty`,
      ],
    ],
    [
      validating({ webhooks: [hook, hook] }),
      ['webhooks[1].name: Duplicate value: "images.hooks.example.com"'],
    ],
    [
      one({ matchConditions: [{ expression: "true" }, { name: "a" }] }),
      [
        `${at}.matchConditions[0].name: Required value`,
        `${at}.matchConditions[1].expression: Required value`,
      ],
    ],
  ]);
  const [syntax, ...more] = faults(one({ matchConditions: [{ name: "a", expression: "1 +" }] }));
  assert.match(
    syntax ?? "",
    /^webhooks\[0\]\.matchConditions\[0\]\.expression: Invalid value: "1 \+": compilation failed: /,
  );
  assert.deepEqual(more, []);
});

test("rules: every fault in its words", () => {
  assertFaults([
    [
      ruled({ operations: [], apiGroups: [], apiVersions: [], resources: [] }),
      ["operations", "apiGroups", "apiVersions", "resources"].map(
        (name) => `${at}.rules[0].${name}: Required value`,
      ),
    ],
    [
      ruled({ operations: ["*", "READ"] }),
      [
        `${at}.rules[0].operations: Invalid value: ["*","READ"]: if '*' is present, must not ` +
          "specify other operations",
        `${at}.rules[0].operations[1]: Unsupported value: "READ": supported values: "*", ` +
          '"CONNECT", "CREATE", "DELETE", "UPDATE"',
      ],
    ],
    [
      ruled({ apiGroups: ["*", "apps"], apiVersions: ["*", "v1"] }),
      [
        `${at}.rules[0].apiGroups: Invalid value: ["*","apps"]: if '*' is present, must not ` +
          "specify other API groups",
        `${at}.rules[0].apiVersions: Invalid value: ["*","v1"]: if '*' is present, must not ` +
          "specify other API versions",
      ],
    ],
    [
      ruled({ scope: "Galaxy" }),
      [
        `${at}.rules[0].scope: Unsupported value: "Galaxy": supported values: "*", "Cluster", ` +
          '"Namespaced"',
      ],
    ],
    [resources("*", "*/scale"), []],
    [
      resources("pods/*", "pods/log"),
      [`${field}[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log`],
    ],
    [
      resources("*/scale", "deployments/scale"),
      [
        `${field}[1]: Invalid value: "deployments/scale": if '*/scale' is present, must not ` +
          "specify deployments/scale",
      ],
    ],
    [
      resources("*/*", "pods"),
      [
        `${field}: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other ` +
          "resources",
      ],
    ],
    [
      resources("*", "pods"),
      [
        `${field}: Invalid value: ["*","pods"]: if '*' is present, must not specify other ` +
          "resources without subresources",
      ],
    ],
  ]);
});

test("webhooks: defaults, generation, columns, a warning", () => {
  const service = { name: "a", namespace: "b" };
  const stored = created(mutating({ webhooks: [{ ...hook, clientConfig: { service } }] }))
    .webhooks[0];
  const { failurePolicy, matchPolicy, timeoutSeconds, reinvocationPolicy, objectSelector } = stored;
  assert.deepEqual(
    [failurePolicy, matchPolicy, timeoutSeconds, reinvocationPolicy, objectSelector],
    ["Fail", "Equivalent", 10, "Never", {}],
  );
  assert.equal(stored.clientConfig.service.port, 443);
  assert.equal(stored.rules[0].scope, "*");
  assert.deepEqual(faults(mutating({ webhooks: [{ ...hook, reinvocationPolicy: "Often" }] })), [
    'webhooks[0].reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", ' +
      '"Never"',
  ]);
  assert.equal(row(one(), 0)["Webhooks"], "1");
  const kind = registry.byKind(version, "ValidatingWebhookConfiguration");
  assert.deepEqual(kind?.categories, ["api-extensions"]);
  assert.deepEqual(fieldWarnings(kind?.schema.message, one()), []);
});

const validation = { expression: "object.spec.replicas <= 5" };
const spec = (fields: Loose = {}) =>
  policy({
    spec: {
      matchConstraints: { resourceRules: [rule] },
      validations: [validation],
      ...fields,
    },
  });

test("an admission policy: every fault in its words", () => {
  const items = "validations or auditAnnotations must contain at least one item";
  const path = "spec.validations[0]";
  assertFaults([
    [spec({ paramKind: { apiVersion: "rules.example.com/v1", kind: "Limit" } }), []],
    [spec({ auditAnnotations: [{ key: "a", valueExpression: "'x'" }] }), []],
    [spec({ matchConstraints: undefined }), ["spec.matchConstraints: Required value"]],
    [spec({ matchConstraints: {} }), ["spec.matchConstraints.resourceRules: Required value"]],
    [
      spec({ validations: [] }),
      [
        `spec.validations: Required value: ${items}`,
        `spec.auditAnnotations: Required value: ${items}`,
      ],
    ],
    [
      spec({ paramKind: {} }),
      ["spec.paramKind.apiVersion: Required value", "spec.paramKind.kind: Required value"],
    ],
    [
      spec({ paramKind: { apiVersion: "a/b/c", kind: "K" } }),
      ['spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'],
    ],
    [
      spec({ validations: [{ expression: " " }] }),
      [`${path}.expression: Required value: expression is not specified`],
    ],
    [
      spec({ validations: [{ ...validation, message: "a\nb", reason: "Odd" }] }),
      [
        `${path}.message: Invalid value: "a\\nb": must not contain line breaks`,
        `${path}.reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid", ` +
          '"RequestEntityTooLarge"',
      ],
    ],
    [
      spec({ validations: [{ ...validation, message: " ", messageExpression: " " }] }),
      [
        `${path}.messageExpression: Invalid value: " ": must be non-empty if specified`,
        `${path}.message: Invalid value: " ": must be non-empty if specified`,
      ],
    ],
    [
      spec({ variables: [{ name: "in", expression: "1" }, { name: "a" }] }),
      [
        'spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier',
        "spec.variables[1].expression: Required value: expression is not specified",
      ],
    ],
    [
      spec({ auditAnnotations: [{ key: "a" }, { key: "a", valueExpression: "'x'" }] }),
      [
        "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
        'spec.auditAnnotations[1].key: Duplicate value: "a"',
      ],
    ],
    [
      spec({
        matchConstraints: { resourceRules: [{ ...rule, resourceNames: ["a", "a", "b/c"] }] },
      }),
      [
        'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
        'spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: "b/c": may not ' +
          "contain '/'",
      ],
    ],
  ]);
});

test("an admission policy: defaults and columns", () => {
  const stored = created(spec({ paramKind: { apiVersion: "v1", kind: "ConfigMap" } }));
  const { failurePolicy, matchConstraints } = stored.spec;
  assert.equal(failurePolicy, "Fail");
  assert.equal(matchConstraints.matchPolicy, "Equivalent");
  assert.deepEqual(matchConstraints.namespaceSelector, {});
  assert.equal(matchConstraints.resourceRules[0].scope, "*");
  const { Validations, ParamKind } = row(stored, 0);
  assert.deepEqual([Validations, ParamKind], ["1", "v1/ConfigMap"]);
  assert.equal(row(spec(), 0)["ParamKind"], "<unset>");
});

test("a binding of an admission policy", () => {
  const of = (fields: Loose = {}) =>
    binding({ spec: { policyName: "p", validationActions: ["Deny"], ...fields } });
  const ref = (paramRef: Loose) => of({ paramRef });
  const found = { parameterNotFoundAction: "Deny" };
  const exclusive = "Forbidden: name and selector are mutually exclusive";
  assertFaults([
    [of(), []],
    [ref({ name: "n", ...found }), []],
    [of({ policyName: undefined }), ["spec.policyName: Required value"]],
    [
      of({ validationActions: [] }),
      ["spec.validationActions: Required value: at least one validation action is required"],
    ],
    [
      of({ validationActions: ["Audit", "Audit", "Shout"] }),
      [
        'spec.validationActions[1]: Duplicate value: "Audit"',
        'spec.validationActions[2]: Unsupported value: "Shout": supported values: "Audit", ' +
          '"Deny", "Warn"',
      ],
    ],
    [
      of({ validationActions: ["Deny", "Warn"] }),
      [
        'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and ' +
          "Warn (repeating the same validation failure information in the API response and " +
          "headers serves no purpose)",
      ],
    ],
    [
      ref({}),
      [
        "spec.paramRef: Required value: one of name or selector must be specified",
        "spec.paramRef.parameterNotFoundAction: Required value",
      ],
    ],
    [
      ref({ name: "n", selector: {}, ...found }),
      [`spec.paramRef.name: ${exclusive}`, `spec.paramRef.selector: ${exclusive}`],
    ],
    [
      ref({ name: "n", parameterNotFoundAction: "Guess" }),
      [
        'spec.paramRef.parameterNotFoundAction: Unsupported value: "Guess": supported values: ' +
          '"Deny", "Allow"',
      ],
    ],
  ]);
  const column = (paramRef?: Loose) => row(of({ paramRef }), 0)["ParamRef"];
  assert.equal(column(), "<unset>");
  assert.equal(column({ name: "n" }), "*/n");
  assert.equal(column({ name: "n", namespace: "s" }), "s/n");
  assert.equal(column({ selector: { matchLabels: { a: "b" } } }), "a=b");
});
