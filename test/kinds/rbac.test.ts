import assert from "node:assert/strict";
import { test } from "node:test";
import { check, type Loose, row, updateProblems } from "./documents.ts";
import { registry } from "./registry.ts";

const group = "rbac.authorization.k8s.io";

const object = (kind: string, rest: Loose): Loose => ({
  apiVersion: `${group}/v1`,
  kind,
  metadata: { name: "x", ...(kind.startsWith("Cluster") ? {} : { namespace: "default" }) },
  ...rest,
});
const role = (...rules: Loose[]) => object("Role", { rules });
const clusterRole = (...rules: Loose[]) => object("ClusterRole", { rules });
const binding = (kind: string, roleRef: Loose, ...subjects: Loose[]) =>
  object(kind, { roleRef, subjects });
const view = { apiGroup: group, kind: "ClusterRole", name: "view" };
const pods = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };

test("valid and invalid roles", () => {
  const rows: [Loose, string[]][] = [
    [role(pods), []],
    [role(), []],
    [role({ ...pods, verbs: [] }), ["FieldValueRequired rules[0].verbs"]],
    [
      role(pods, { verbs: ["get"] }),
      ["FieldValueRequired rules[1].apiGroups", "FieldValueRequired rules[1].resources"],
    ],
    [
      role({ verbs: ["get"], nonResourceURLs: ["/x"] }),
      ["FieldValueInvalid rules[0].nonResourceURLs"],
    ],
    [clusterRole({ verbs: ["get"], nonResourceURLs: ["/x"] }), []],
    [
      clusterRole({ ...pods, nonResourceURLs: ["/x"] }),
      ["FieldValueInvalid rules[0].nonResourceURLs"],
    ],
    [
      object("ClusterRole", { aggregationRule: {} }),
      ["FieldValueRequired aggregationRule.clusterRoleSelectors"],
    ],
    [
      object("ClusterRole", {
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { "a b": "c" } }] },
      }),
      [
        "FieldValueInvalid aggregationRule.clusterRoleSelectors[0].matchLabels",
        "FieldValueInvalid aggregationRule.clusterRoleSelectors[0]",
      ],
    ],
  ];
  for (const [document, problems] of rows) assert.deepEqual(check(document).problems, problems);
});

test("valid and invalid bindings", () => {
  const account = { kind: "ServiceAccount", name: "bot" };
  const rows: [Loose, string[]][] = [
    [binding("RoleBinding", view, account, { kind: "User", name: "jane" }), []],
    [binding("RoleBinding", { kind: "Role", name: "r" }), []],
    [
      binding("ClusterRoleBinding", { kind: "Role", name: "r" }),
      ["FieldValueNotSupported roleRef.kind"],
    ],
    [
      binding("RoleBinding", { apiGroup: "other", kind: "Role" }),
      ["FieldValueNotSupported roleRef.apiGroup", "FieldValueRequired roleRef.name"],
    ],
    [binding("RoleBinding", { kind: "Role", name: "a/b" }), ["FieldValueInvalid roleRef.name"]],
    [binding("ClusterRoleBinding", view, account), ["FieldValueRequired subjects[0].namespace"]],
    [
      binding("RoleBinding", view, { ...account, apiGroup: group }, { kind: "Node", name: "n" }),
      ["FieldValueNotSupported subjects[0].apiGroup", "FieldValueNotSupported subjects[1].kind"],
    ],
    [
      binding("RoleBinding", view, { kind: "ServiceAccount", name: "A" }, { kind: "Group" }),
      ["FieldValueInvalid subjects[0].name", "FieldValueRequired subjects[1].name"],
    ],
  ];
  for (const [document, problems] of rows) assert.deepEqual(check(document).problems, problems);
  const made = check(
    binding("RoleBinding", { kind: "Role", name: "r" }, { kind: "User", name: "u" }),
  );
  assert.equal(made.document.roleRef.apiGroup, group);
  assert.equal(made.document.subjects[0].apiGroup, group);
});

test("a binding keeps its role", () => {
  const stored = binding("RoleBinding", view);
  const rename = (next: Loose) => {
    next.roleRef.name = "edit";
  };
  assert.deepEqual(updateProblems(stored, rename), ["FieldValueInvalid roleRef"]);
  const addition = (next: Loose) => next.subjects.push({ kind: "User", name: "u" });
  assert.deepEqual(updateProblems(stored, addition), []);
});

test("the columns of roles and bindings", () => {
  const created = { ...role(), metadata: { name: "x", creationTimestamp: "2026-01-02T03:04:05Z" } };
  assert.deepEqual(row(created, 0), { Name: "x", "Created At": "2026-01-02T03:04:05Z" });
  const bound = binding(
    "RoleBinding",
    view,
    { kind: "User", name: "a" },
    { kind: "User", name: "b" },
    { kind: "Group", name: "g" },
    { kind: "ServiceAccount", name: "s", namespace: "n" },
  );
  const { Age: _, ...cells } = row(bound, 0);
  assert.deepEqual(cells, {
    Name: "x",
    Role: "ClusterRole/view",
    Users: "a, b",
    Groups: "g",
    ServiceAccounts: "n/s",
  });
});

test("names of roles may hold what a path segment may", () => {
  for (const name of ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]) {
    assert.equal(registry.required(`${group}/v1`, name).nameRule, "path");
  }
});
