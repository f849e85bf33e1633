/** Admission webhooks: whom they are asked about, and what may come of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap } from "../../proto/gen/core.ts";
import { openSession } from "../../services/apiserver/nodes/exec.ts";
import { openForwarding } from "../../services/apiserver/nodes/port-forward.ts";
import type { NodeServing } from "../../services/apiserver/nodes/types.ts";
import {
  documentBody,
  evict,
  get,
  internalCall,
  remove,
  update,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import {
  admin,
  adminCall,
  callAs,
  configMap,
  fails,
  failure,
  kind,
  make,
  pod,
  type World,
  world,
} from "./harness.ts";
import { configuration, jsonPatch, type WebhookServer, webhookServer } from "./webhook-server.ts";

async function put(w: World, document: Document): Promise<void> {
  const made = await make(w.backend, document);
  await w.backend.cache.waitFor(made.revision);
}

const validating = (w: World, hook: WebhookServer, more: object = {}, name = "hooks") =>
  put(w, configuration("Validating", hook, more, name));
const mutating = (w: World, hook: WebhookServer, more: object = {}, name = "hooks") =>
  put(w, configuration("Mutating", hook, more, name));
const rule = (resources: string[], operations: string[], more: object = {}) => ({
  rules: [{ operations, apiGroups: ["*"], apiVersions: ["*"], resources, ...more }],
});

test("a webhook is asked in the words of AdmissionReview", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await validating(w, hook, { timeoutSeconds: 7 });
  const call = internalCall({ ...admin, uid: "u1", extra: { scopes: ["a"] } });
  await make(w.backend, configMap("c", { a: "b" }), call);
  assert.equal(hook.asked.length, 1);
  const { path, request } = hook.asked[0]!;
  assert.equal(path, "/hook?timeout=7s");
  const { object, options, ...rest } = request;
  assert.match(rest.uid, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    uid: rest.uid,
    kind: { group: "", version: "v1", kind: "ConfigMap" },
    resource: { group: "", version: "v1", resource: "configmaps" },
    requestKind: { group: "", version: "v1", kind: "ConfigMap" },
    requestResource: { group: "", version: "v1", resource: "configmaps" },
    ...{ name: "c", namespace: "default", operation: "CREATE", dryRun: false },
    userInfo: { username: "admin", uid: "u1", groups: admin.groups, extra: { scopes: ["a"] } },
    oldObject: null,
  });
  assert.deepEqual(object.data, { a: "b" });
  assert.equal(options.kind, "CreateOptions");
});

test("a refusal keeps the webhook's code, reason and message", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await validating(w, hook);
  hook.answer = () => ({ allowed: false, status: { message: "no cats", code: 403 } });
  const by = 'admission webhook "hook.example.com" denied the request';
  const refused = await fails(
    make(w.backend, configMap("c")),
    "permissionDenied",
    `${by}: no cats`,
  );
  assert.equal(refused.detail?.httpCode, 403);
  hook.answer = () => ({ allowed: false });
  const silent = await failure(make(w.backend, configMap("c")));
  assert.equal(silent.message, `${by} without explanation`);
  assert.equal(silent.detail?.httpCode, 400);
  hook.answer = () => ({ allowed: false, status: { reason: "Because", code: 200 } });
  assert.equal((await failure(make(w.backend, configMap("c")))).message, `${by}: Because`);
});

test("warnings reach the caller, whatever the answer is", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await validating(w, hook);
  hook.answer = () => ({ allowed: true, warnings: ["mind the cat"] });
  const call = adminCall();
  await make(w.backend, configMap("c"), call);
  assert.deepEqual(call.warnings, ["mind the cat"]);
});

test("the failure policy decides about webhooks that cannot be asked", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await validating(w, hook, { timeoutSeconds: 1 }, "hooks");
  const prefix = 'Internal error occurred: failed calling webhook "hook.example.com": ';
  hook.answer = () => "hang";
  const late = await failure(make(w.backend, configMap("late")));
  assert.match(
    late.message,
    /failed to call webhook: Post "https:\/\/127\.0\.0\.1:\d+\/hook\?timeout=1s": context deadline/,
  );
  assert.ok(late.message.startsWith(prefix), late.message);
  assert.equal(late.detail?.reason, "InternalError");
  hook.answer = () => ({ allowed: true, uid: "other" });
  await fails(
    make(w.backend, configMap("odd")),
    "internal",
    /expected response\.uid="[^"]+", got "other"/,
  );
  hook.answer = () => jsonPatch();
  await fails(make(w.backend, configMap("odd")), "internal", /may not return response\.patch$/);
  const configurations = kind("validatingwebhookconfiguration");
  const found = await get(w.backend, adminCall(), configurations, { name: "hooks" });
  const next = found.copy() as Document & { webhooks: { failurePolicy: string }[] };
  next.webhooks[0]!.failurePolicy = "Ignore";
  const request = { body: documentBody(next), subresource: "", typed: false };
  const written = await update(w.backend, adminCall(), configurations, request);
  await w.backend.cache.waitFor(written.revision);
  hook.answer = () => ({ allowed: true, uid: "other" });
  await make(w.backend, configMap("ignored"));
});

test("selectors, scopes and match conditions narrow what a webhook is asked about", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  const more = {
    ...rule(["configmaps", "namespaces"], ["CREATE"]),
    namespaceSelector: { matchLabels: { hooked: "yes" } },
    objectSelector: { matchExpressions: [{ key: "skip", operator: "DoesNotExist" }] },
    matchConditions: [
      { name: "named", expression: "!request.name.startsWith('system-')" },
      {
        name: "not-bob",
        expression: "!authorizer.group('').resource('pods').namespace('x').check('get').allowed()",
      },
    ],
  };
  await validating(w, hook, more);
  const namespace = (name: string, labels: object) =>
    put(w, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } as object });
  const alice = callAs("alice");
  await namespace("plain", {});
  await namespace("hooked", { hooked: "yes" });
  // The administrator may get pods, so the condition is false for it.
  assert.equal(hook.asked.length, 0);
  const role = { apiGroups: [""], resources: ["configmaps"], verbs: ["create"] };
  const rbac = "rbac.authorization.k8s.io";
  await put(w, {
    ...{ apiVersion: `${rbac}/v1`, kind: "ClusterRole", metadata: { name: "makes" } },
    rules: [role],
  });
  await put(w, {
    ...{ apiVersion: `${rbac}/v1`, kind: "ClusterRoleBinding", metadata: { name: "alice" } },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "makes" },
    subjects: [{ apiGroup: rbac, kind: "User", name: "alice" }],
  });
  const create = (name: string, place: string, labels: object = {}) =>
    make(w.backend, configMap(name, {}, { namespace: place, labels }), alice);
  await create("a", "plain");
  await create("b", "hooked", { skip: "me" });
  await create("system-c", "hooked");
  assert.equal(hook.asked.length, 0);
  await create("d", "hooked");
  assert.deepEqual(
    hook.asked.map(({ request }) => request.name),
    ["d"],
  );
});

test("a failing match condition refuses the request, or passes the webhook over", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  const matchConditions = [{ name: "typo", expression: "object.spec.x == 1" }];
  await validating(w, hook, { matchConditions });
  await fails(
    make(w.backend, configMap("c")),
    "permissionDenied",
    'configmaps "c" is forbidden: matchCondition "typo": no such key: spec',
  );
  assert.equal(hook.asked.length, 0);
});

test("patches change what is stored, and later webhooks see them", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await mutating(w, hook, {}, "first");
  await mutating(w, hook, { name: "second.example.com" }, "second");
  await validating(w, hook, { name: "third.example.com" });
  hook.answer = ({ request }) => {
    const count = Number(request.object.data?.count ?? 0);
    if (count >= 2) return { allowed: true };
    return jsonPatch({ op: "add", path: "/data", value: { count: String(count + 1) } });
  };
  const made = await make(w.backend, configMap("c"));
  assert.deepEqual((made.document as ConfigMap).data, { count: "2" });
  const seen = hook.asked.map(({ request }) => request.object.data?.count);
  assert.deepEqual(seen, [undefined, "1", "2"]);
});

test("a webhook that wants it is asked again after a later one changed the object", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  const urls = (path: string) => ({ url: hook.url(path), caBundle: hook.caBundle });
  const again = { clientConfig: urls("/one"), reinvocationPolicy: "IfNeeded" };
  await mutating(w, hook, again, "first");
  await mutating(w, hook, { name: "b.example.com", clientConfig: urls("/two") }, "second");
  hook.answer = ({ path, request }) => {
    const { data = {} } = request.object;
    const [key] = path.slice(1).split("?");
    const value = { ...data, [key as string]: `${(data[key as string] ?? "") + 1}` };
    return jsonPatch({ op: "add", path: "/data", value });
  };
  const made = await make(w.backend, configMap("c"));
  assert.deepEqual((made.document as ConfigMap).data, { one: "11", two: "1" });
});

test("updates show both states, deletions the old one, and dry runs need silent webhooks", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await validating(w, hook, {
    ...rule(["configmaps"], ["UPDATE", "DELETE"]),
    sideEffects: "NoneOnDryRun",
  });
  await put(w, configMap("c", { a: "1" }));
  const configMaps = kind("configmap");
  const body = documentBody(configMap("c", { a: "2" }));
  await update(w.backend, adminCall(), configMaps, { body, subresource: "", typed: false });
  await remove(w.backend, adminCall(), configMaps, {
    ...{ name: "c", namespace: "default", dryRun: ["All"] },
  });
  const [changed, removed] = hook.asked.map(({ request }) => request);
  assert.deepEqual(
    [changed.operation, changed.object.data, changed.oldObject.data],
    ["UPDATE", { a: "2" }, { a: "1" }],
  );
  assert.deepEqual(
    [removed.operation, removed.object, removed.oldObject.data, removed.dryRun],
    ["DELETE", null, { a: "2" }, true],
  );
});

test("objects come in the version that a rule names", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  const scaler = rule(["horizontalpodautoscalers"], ["CREATE"]).rules[0];
  const rules = [{ ...scaler, apiGroups: ["autoscaling"], apiVersions: ["v1"] }];
  await validating(w, hook, { rules });
  await validating(w, hook, { rules, matchPolicy: "Exact" }, "exact");
  await put(w, {
    ...{ apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" },
    metadata: { name: "h", namespace: "default" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" },
      maxReplicas: 3,
      metrics: [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } },
        },
      ],
    },
  });
  assert.equal(hook.asked.length, 1);
  const { request } = hook.asked[0]!;
  assert.equal(request.object.apiVersion, "autoscaling/v1");
  assert.equal(request.object.spec.targetCPUUtilizationPercentage, 60);
  assert.deepEqual([request.kind.version, request.requestKind.version], ["v1", "v2"]);
});

test("configurations of admission are not subject to webhooks", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  hook.answer = () => ({ allowed: false });
  await validating(w, hook, rule(["*/*"], ["*"]));
  await validating(w, hook, {}, "more");
  assert.equal(hook.asked.length, 0);
  await failure(make(w.backend, configMap("c")));
});

test("a Service's endpoints are asked, by the Service's name", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  const service = { namespace: "default", name: "hook", path: "/by-service" };
  await validating(w, hook, { clientConfig: { service, caBundle: hook.caBundle } });
  await fails(
    make(w.backend, configMap("c")),
    "internal",
    /no endpoints available for service "hook"/,
  );
  await put(w, {
    ...{ apiVersion: "v1", kind: "Service", metadata: { name: "hook", namespace: "default" } },
    spec: { ports: [{ port: 443, targetPort: hook.port }] },
  });
  await put(w, {
    ...{ apiVersion: "v1", kind: "Endpoints", metadata: { name: "hook", namespace: "default" } },
    subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: hook.port }] }],
  });
  await make(w.backend, configMap("c"));
  assert.equal(hook.asked[0]?.path, "/by-service?timeout=10s");
});

test("connections are asked about with their options, and refused before they begin", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await put(w, pod("p"));
  hook.answer = () => ({ allowed: false, status: { message: "no shells" } });
  await validating(w, hook, rule(["pods/exec", "pods/portforward"], ["CONNECT"]));
  const serving = { backend: w.backend } as NodeServing;
  const options = { name: "p", namespace: "default", container: "main", command: ["sh"] };
  const why = 'admission webhook "hook.example.com" denied the request: no shells';
  const exec = { ...options, stdout: true };
  const pods = kind("pod");
  const session = openSession(serving, adminCall(), pods, "exec", "create", exec);
  await fails(session, "invalidArgument", why);
  const place = { name: "p", namespace: "default" };
  await fails(openForwarding(serving, adminCall(), pods, "create", place), "invalidArgument", why);
  const [first, second] = hook.asked.map(({ request }) => request);
  assert.deepEqual(
    [first.operation, first.subResource, first.object, first.options],
    [
      "CONNECT",
      "exec",
      {
        ...{ kind: "PodExecOptions", apiVersion: "v1" },
        ...{ container: "main", command: ["sh"], stdout: true },
      },
      null,
    ],
  );
  assert.equal(second.kind.kind, "PodPortForwardOptions");
});

test("evictions and bindings are asked about as what was posted", async () => {
  await using hook = await webhookServer();
  await using w = await world();
  await put(w, pod("p"));
  hook.answer = () => ({ allowed: false });
  await validating(w, hook, rule(["pods/*"], ["CREATE"]));
  const metadata = { name: "p", namespace: "default" };
  await failure(evict(w.backend, adminCall(), kind("pod"), { metadata }));
  const { request } = hook.asked[0]!;
  assert.deepEqual(
    [request.subResource, request.kind],
    ["eviction", { group: "policy", version: "v1", kind: "Eviction" }],
  );
});
