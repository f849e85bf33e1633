/** Flow schemas and priority levels: what is filled in, and every word of what is wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertFaults, created, documents } from "./tables.ts";

const apiVersion = "flowcontrol.apiserver.k8s.io/v1";
const schema = documents(apiVersion, "FlowSchema");
const level = documents(apiVersion, "PriorityLevelConfiguration");

const label =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must " +
  "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for " +
  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

test("zero stands for the default", () => {
  const { matchingPrecedence } = created(schema({ spec: { matchingPrecedence: 0 } })).spec;
  assert.equal(matchingPrecedence, 1_000);
  const queuing = { queues: 0, handSize: 0, queueLengthLimit: 0 };
  const { limited } = created(
    level({ spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing } } } }),
  ).spec;
  assert.deepEqual(limited.limitResponse.queuing, {
    ...{ queues: 64, handSize: 8, queueLengthLimit: 50 },
  });
});

test("what is wrong with a flow schema", () => {
  const to = { priorityLevelConfiguration: { name: "p" } };
  const user = { kind: "User", user: { name: "u" } };
  const every = { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] };
  const rule = (resourceRule: object) =>
    schema({
      spec: {
        ...to,
        rules: [{ subjects: [user], resourceRules: [{ ...every, ...resourceRule }] }],
      },
    });
  const urls = (...nonResourceURLs: string[]) =>
    schema({
      spec: {
        ...to,
        rules: [{ subjects: [user], nonResourceRules: [{ verbs: ["get"], nonResourceURLs }] }],
      },
    });
  const subjects = (...list: object[]) =>
    schema({ spec: { ...to, rules: [{ subjects: list, resourceRules: [every] }] } });
  const at = "spec.rules[0]";
  const first = `${at}.resourceRules[0]`;
  assertFaults([
    [rule({}), []],
    [
      schema({ spec: { ...to, matchingPrecedence: 1, distinguisherMethod: { type: "x" } } }),
      [
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have " +
          "matchingPrecedence 1",
        'spec.distinguisherMethod.type: Unsupported value: {"Type":"x"}: supported values: ' +
          '"ByNamespace", "ByUser"',
      ],
    ],
    [
      rule({ verbs: [], apiGroups: [], resources: [], namespaces: [] }),
      [
        `${first}.verbs: Required value: verbs must contain at least one value`,
        `${first}.apiGroups: Required value: resource rules must supply at least one api group`,
        `${first}.resources: Required value: resource rules must supply at least one resource`,
        `${first}.namespaces: Required value: resource rules that are not cluster scoped must ` +
          "supply at least one namespace",
      ],
    ],
    [
      rule({ verbs: ["*", "get"], resources: ["*", "a"], namespaces: ["*", "b"] }),
      [
        `${first}.verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
        `${first}.resources: Invalid value: ["*","a"]: if '*' is present, must not specify other ` +
          "resources",
        `${first}.namespaces: Invalid value: ["*","b"]: if '*' is present, must not specify other ` +
          "namespaces",
      ],
    ],
    [
      rule({ verbs: ["get", "X"], namespaces: ["A"] }),
      [
        `${first}.verbs: Unsupported value: ["get","X"]: supported values: "create", "delete", ` +
          '"deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
        `${first}.namespaces[0]: Invalid value: "A": each member of this list must be '*' or a ` +
          `DNS-1123 label; ${label}`,
      ],
    ],
    [
      urls("", "a", "/a b", "/a//b", "/a*", "/a/*", "/"),
      ["must not be empty", "must start with slash", "must not contain white-space"]
        .concat("must not contain double slash", "wildcard can only do suffix matching")
        .map((why, index) => {
          const shown = JSON.stringify(["", "a", "/a b", "/a//b", "/a*"][index]);
          const field = `${at}.nonResourceRules[0].nonResourceURLs[${index}]`;
          return `${field}: Invalid value: ${shown}: ${why}`;
        }),
    ],
    [
      subjects({ kind: "ServiceAccount", serviceAccount: { name: "*" }, user: { name: "u" } }),
      [
        `${at}.subjects[0].serviceAccount.namespace: Required value: must specify namespace for ` +
          "service account",
        `${at}.subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'`,
      ],
    ],
    [
      subjects({ kind: "Group" }, { kind: "x" }),
      [
        `${at}.subjects[0].group: Required value: group is required when subject kind is 'Group'`,
        `${at}.subjects[1].kind: Unsupported value: "x": supported values: "Group", ` +
          '"ServiceAccount", "User"',
      ],
    ],
  ]);
});

test("what is wrong with a priority level", () => {
  const queuing = (fields: object) =>
    level({
      spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: fields } } },
    });
  const at = "spec.limited.limitResponse";
  assertFaults([
    [queuing({}), []],
    [
      level({ spec: { type: "Exempt" } }),
      [`spec.type: Invalid value: "Exempt": must be 'Exempt' if and only if \`name\` is 'exempt'`],
    ],
    [
      level({ spec: { type: "Limited", limited: { limitResponse: { type: "Queue" } } } }),
      [`${at}.queuing: Required value: must not be empty if limited.limitResponse.type is Limited`],
    ],
    [
      queuing({ queues: 4 }),
      [`${at}.queuing.handSize: Invalid value: 8: should not be greater than queues (4)`],
    ],
    [
      queuing({ queues: 100_000, handSize: 10 }),
      [
        `${at}.queuing.handSize: Invalid value: 10: required entropy bits of deckSize 100000 and ` +
          "handSize 10 should not be greater than 60",
      ],
    ],
  ]);
});
