/** Policies of the audit log: which rule fits a request, and what is no policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AuditPolicy } from "../../services/apiserver/audit/policy.ts";
import { pathInfo, type RequestInfo, type User } from "../../services/apiserver/request-info.ts";

const jane: User = { name: "jane", groups: ["devs", "system:authenticated"] };

function policy(...rules: string[]): AuditPolicy {
  const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";
  return AuditPolicy.parse(head + rules.map((rule) => `- ${rule}\n`).join(""), "policy.yaml");
}

function about(resource: string, more: Partial<RequestInfo> = {}): RequestInfo {
  const [plural = "", subresource = ""] = resource.split("/");
  const none = { group: "", namespace: "", name: "", fieldSelector: "", path: "" };
  return { user: jane, verb: "get", resource: plural, subresource, ...none, ...more };
}

test("the first rule that fits decides; without one nothing is told", () => {
  const rows: [rule: string, request: RequestInfo, fits: boolean][] = [
    ["{level: Metadata}", about("pods"), true],
    ["{level: Metadata, users: [jane]}", about("pods"), true],
    ["{level: Metadata, users: [joe]}", about("pods"), false],
    ["{level: Metadata, userGroups: [ops, devs]}", about("pods"), true],
    ["{level: Metadata, verbs: [list, watch]}", about("pods"), false],
    ["{level: Metadata, namespaces: [kube-system]}", about("pods", { namespace: "a" }), false],
    ['{level: Metadata, namespaces: [""]}', about("nodes"), true],
    ["{level: Metadata, namespaces: [a]}", pathInfo(jane, "/version"), false],
    ['{level: Metadata, resources: [{group: "", resources: [pods]}]}', about("pods"), true],
    ['{level: Metadata, resources: [{group: ""}]}', about("secrets"), true],
    ["{level: Metadata, resources: [{group: apps}]}", about("secrets"), false],
    ['{level: Metadata, resources: [{resources: ["pods"]}]}', about("pods/log"), false],
    ['{level: Metadata, resources: [{resources: ["pods/log"]}]}', about("pods/log"), true],
    ['{level: Metadata, resources: [{resources: ["pods/*"]}]}', about("pods/log"), true],
    ['{level: Metadata, resources: [{resources: ["*/log"]}]}', about("pods/log"), true],
    ['{level: Metadata, resources: [{resources: ["*"]}]}', about("pods/log"), true],
    [
      "{level: Metadata, resources: [{resources: [pods], resourceNames: [a]}]}",
      about("pods", { name: "b" }),
      false,
    ],
    ['{level: Metadata, nonResourceURLs: ["/api*"]}', pathInfo(jane, "/apis/apps"), true],
    ['{level: Metadata, nonResourceURLs: ["/version"]}', pathInfo(jane, "/livez"), false],
    ['{level: Metadata, nonResourceURLs: ["*"]}', about("pods"), false],
  ];
  for (const [rule, request, fits] of rows) {
    const { level } = policy(rule).verdictOf(request, request.user);
    assert.equal(level, fits ? "Metadata" : "None", rule);
  }
  const ordered = policy("{level: None, verbs: [get]}", "{level: Request}");
  assert.equal(ordered.verdictOf(about("pods"), jane).level, "None");
  assert.equal(ordered.verdictOf(about("pods", { verb: "list" }), jane).level, "Request");
});

test("stages and managed fields are left out as the policy and its rules say", () => {
  const read = AuditPolicy.parse(
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n" +
      "omitManagedFields: true\nrules:\n- {level: Request, verbs: [get], omitStages: [Panic]}\n" +
      "- {level: Request, omitManagedFields: false}\n",
    "policy.yaml",
  );
  const first = read.verdictOf(about("pods"), jane);
  assert.deepEqual([...first.omitStages].sort(), ["Panic", "RequestReceived"]);
  assert.equal(first.omitManagedFields, true);
  const second = read.verdictOf(about("pods", { verb: "list" }), jane);
  assert.deepEqual([...second.omitStages], ["RequestReceived"]);
  assert.equal(second.omitManagedFields, false);
});

test("everything that is wrong with a policy is told at once, by its field", () => {
  const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
  const rows: [text: string, told: RegExp][] = [
    ["", /0 YAML documents/],
    [`${head}rules: []`, /rules: Required value/],
    ["apiVersion: v1\nkind: Pod\nrules: [{level: None}]", /apiVersion: Unsupported.*kind: Unsup/],
    [`${head}rules: [{level: All}]`, /rules\[0\]\.level: Unsupported value: "All"/],
    [`${head}rules: [{level: None, omitStages: [End]}]`, /rules\[0\]\.omitStages\[0\]: Unsupp/],
    [`${head}rules: [{level: None, verb: [get]}]`, /rules\[0\]\.verb: .*unknown field/],
    [`${head}rules: [{level: None, verbs: get}]`, /rules\[0\]\.verbs: .*a list of strings/],
    [
      `${head}rules: [{level: None, resources: [{group: "", resourceNames: [a]}]}]`,
      /rules\[0\]\.resources\[0\]\.resourceNames: .*requires at least one resource/,
    ],
    [
      `${head}rules: [{level: None, namespaces: [a], nonResourceURLs: ["/x*y", z]}]`,
      /must be the final character.*must begin with.*cannot apply to both/s,
    ],
  ];
  for (const [text, told] of rows) {
    assert.throws(() => AuditPolicy.parse(text, "p.yaml"), {
      message: told,
      code: 3,
    });
  }
});
