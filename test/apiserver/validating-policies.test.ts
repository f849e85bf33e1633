/** ValidatingAdmissionPolicy: expressions that the cluster's users bind to requests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { remove } from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import {
  adminCall,
  callAs,
  configMap,
  fails,
  failure,
  kind,
  make,
  type World,
  world,
} from "./harness.ts";

const version = "admissionregistration.k8s.io/v1";
const rule = (resources = ["configmaps"], operations = ["CREATE", "UPDATE"]) => ({
  operations,
  apiGroups: ["*"],
  apiVersions: ["*"],
  resources,
});

const policy = (spec: object): Document => ({
  apiVersion: version,
  kind: "ValidatingAdmissionPolicy",
  metadata: { name: "p.example.com" },
  spec: { matchConstraints: { resourceRules: [rule()] }, ...spec },
});

async function put(w: World, document: Document): Promise<void> {
  const made = await make(w.backend, document);
  await w.backend.cache.waitFor(made.revision);
}

async function bind(w: World, spec: object, binding: object = {}): Promise<void> {
  await put(w, policy(spec));
  await put(w, {
    ...{ apiVersion: version, kind: "ValidatingAdmissionPolicyBinding" },
    metadata: { name: "b.example.com" },
    spec: { policyName: "p.example.com", validationActions: ["Deny"], ...binding },
  });
}

const denied = (why: string, name = "c") =>
  `configmaps "${name}" is forbidden: ValidatingAdmissionPolicy 'p.example.com' with binding ` +
  `'b.example.com' denied request: ${why}`;

test("what an expression refuses is told in upstream's words", async () => {
  await using w = await world();
  await bind(w, {
    validations: [
      { expression: "size(object.data) <= 1" },
      { expression: "object.data.a != 'x'", message: "a is x", reason: "Forbidden" },
      { expression: "object.data.a != 'y'", messageExpression: "'a is ' + object.data.a" },
    ],
  });
  const refused = await fails(
    make(w.backend, configMap("c", { a: "1", b: "2" })),
    "invalidArgument",
    denied("failed expression: size(object.data) <= 1"),
  );
  assert.deepEqual([refused.detail?.reason, refused.detail?.httpCode], ["Invalid", 422]);
  await fails(make(w.backend, configMap("c", { a: "x" })), "permissionDenied", denied("a is x"));
  await fails(make(w.backend, configMap("c", { a: "y" })), "invalidArgument", denied("a is y"));
  await fails(
    make(w.backend, configMap("c", { b: "1" })),
    "invalidArgument",
    denied("expression 'object.data.a != 'x'' resulted in error: no such key: a"),
  );
  assert.equal((await make(w.backend, configMap("c", { a: "z" }))).name, "c");
});

test("a policy without a binding says nothing, and errors are passed over where it wants so", async () => {
  await using w = await world();
  await put(w, policy({ validations: [{ expression: "false" }] }));
  await make(w.backend, configMap("free"));
  await remove(w.backend, adminCall(), kind("validatingadmissionpolicy"), {
    name: "p.example.com",
  });
  await w.backend.cache.waitFor((await make(w.backend, configMap("later"))).revision);
  await bind(w, { failurePolicy: "Ignore", validations: [{ expression: "object.spec.x == 1" }] });
  await make(w.backend, configMap("ignored"));
});

test("bindings warn, and narrow what the policy is about", async () => {
  await using w = await world();
  await bind(
    w,
    { validations: [{ expression: "false", message: "never" }] },
    {
      validationActions: ["Warn", "Audit"],
      matchResources: { objectSelector: { matchLabels: { strict: "yes" } } },
    },
  );
  const call = adminCall();
  await make(w.backend, configMap("a"), call);
  assert.deepEqual(call.warnings, []);
  await make(w.backend, configMap("b", {}, { labels: { strict: "yes" } }), call);
  assert.deepEqual(call.warnings, [
    "Validation failed for ValidatingAdmissionPolicy 'p.example.com' with binding " +
      "'b.example.com': never",
  ]);
});

test("variables build on each other, and are computed only when they are read", async () => {
  await using w = await world();
  await bind(w, {
    variables: [
      { name: "data", expression: "has(object.data) ? object.data : {}" },
      { name: "count", expression: "size(variables.data)" },
      { name: "broken", expression: "object.nothing.there" },
    ],
    validations: [
      { expression: "variables.count < 2 || variables.broken == 1" },
      { expression: "namespaceObject.metadata.name == request.namespace" },
    ],
  });
  await make(w.backend, configMap("one", { a: "1" }));
  const error = await failure(make(w.backend, configMap("c", { a: "1", b: "2" })));
  assert.match(error.message, /composited variable "broken" fails: no such key: nothing$/);
});

test("parameters are found by name or labels, and their absence is what the binding says", async () => {
  await using w = await world();
  const limits = (name: string, most: string) =>
    configMap(name, { most }, { labels: { role: "limit" } });
  await put(w, limits("tight", "1"));
  await put(w, limits("loose", "3"));
  const spec = {
    paramKind: { apiVersion: "v1", kind: "ConfigMap" },
    matchConditions: [{ name: "others", expression: "!has(object.metadata.labels)" }],
    validations: [{ expression: "size(object.data) <= int(params.data.most)" }],
  };
  await bind(w, spec, {
    paramRef: { selector: { matchLabels: { role: "limit" } }, parameterNotFoundAction: "Deny" },
  });
  await make(w.backend, configMap("fits", { a: "1" }));
  await fails(
    make(w.backend, configMap("c", { a: "1", b: "2" })),
    "invalidArgument",
    denied("failed expression: size(object.data) <= int(params.data.most)"),
  );
  for (const name of ["tight", "loose"]) {
    await remove(w.backend, adminCall(), kind("configmap"), { name, namespace: "default" });
  }
  const last = await make(w.backend, {
    ...{ apiVersion: "v1", kind: "Namespace", metadata: { name: "n" } },
  });
  await w.backend.cache.waitFor(last.revision);
  await fails(
    make(w.backend, configMap("c", { a: "1" })),
    "invalidArgument",
    denied(
      "failed to configure binding: no params found for policy binding with `Deny` " +
        "parameterNotFoundAction",
    ),
  );
});

test("the authorizer answers for the user of the request", async () => {
  await using w = await world();
  await bind(w, {
    validations: [
      {
        expression:
          "authorizer.group('').resource('secrets').namespace(request.namespace).check('get')" +
          ".allowed() && authorizer.requestResource.check('delete').allowed()",
        message: "may not",
      },
    ],
  });
  await make(w.backend, configMap("ours"));
  const rbac = "rbac.authorization.k8s.io";
  await put(w, {
    ...{ apiVersion: `${rbac}/v1`, kind: "RoleBinding" },
    metadata: { name: "alice", namespace: "default" },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "makes" },
    subjects: [{ apiGroup: rbac, kind: "User", name: "alice" }],
  });
  await put(w, {
    ...{ apiVersion: `${rbac}/v1`, kind: "ClusterRole", metadata: { name: "makes" } },
    rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["create", "delete"] }],
  });
  await fails(
    make(w.backend, configMap("c"), callAs("alice")),
    "invalidArgument",
    denied("may not"),
  );
});

test("deletions are judged by what is there", async () => {
  await using w = await world();
  await bind(w, {
    matchConstraints: { resourceRules: [rule(["configmaps"], ["DELETE"])] },
    validations: [{ expression: "object == null && oldObject.data.keep != 'yes'" }],
  });
  await make(w.backend, configMap("c", { keep: "yes" }));
  await make(w.backend, configMap("gone", { keep: "no" }));
  const removal = (name: string) =>
    remove(w.backend, adminCall(), kind("configmap"), { name, namespace: "default" });
  await removal("gone");
  await failure(removal("c"));
});

test("an expression that loops too long ends, and refuses", async () => {
  await using w = await world();
  const list = `[${Array.from({ length: 100 }, (_, index) => index).join(",")}]`;
  const deep = `${list}.all(a, ${list}.all(b, ${list}.all(c, ${list}.all(d, a + b + c + d >= 0))))`;
  await bind(w, { validations: [{ expression: deep }] });
  const error = await failure(make(w.backend, configMap("c")));
  assert.match(
    error.message,
    /resulted in error: operation cancelled: actual cost limit exceeded$/,
  );
});

const wrong: readonly [string, object, RegExp][] = [
  [
    "an unknown variable",
    { validations: [{ expression: "nothing == 1" }] },
    /spec\.validations\[0\]\.expression: Invalid value: .*undeclared reference to 'nothing'/,
  ],
  [
    "a variable that comes later",
    {
      variables: [{ name: "a", expression: "variables.b" }],
      validations: [{ expression: "true" }],
    },
    /spec\.variables\[0\]\.expression: Invalid value: .*undefined field 'b'/,
  ],
  [
    "a result that is no truth value",
    { validations: [{ expression: "1 + 1" }] },
    /spec\.validations\[0\]\.expression: .*must evaluate to bool/,
  ],
  [
    "parameters of a policy that has none",
    { validations: [{ expression: "params.a == 1" }] },
    /undeclared reference to 'params'/,
  ],
  [
    "types that do not go together",
    { validations: [{ expression: "request.name + 1 == 2 && 'a' + 1 == 'b'" }] },
    /found no matching overload for '_\+_' applied to '\(string, int\)'/,
  ],
  [
    "the authorizer in a message",
    { validations: [{ expression: "true", messageExpression: "string(authorizer)" }] },
    /spec\.validations\[0\]\.messageExpression: .*undeclared reference to 'authorizer'/,
  ],
];

for (const [what, spec, message] of wrong) {
  test(`a policy is refused for ${what}`, async () => {
    await using w = await world();
    const error = await failure(make(w.backend, policy(spec)));
    assert.match(error.message, message);
  });
}
