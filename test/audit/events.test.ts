/** What the audit log tells of requests, over REST and over gRPC. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { call, connect, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { ConfigMapsClient } from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import { AuditPolicy } from "../../services/apiserver/audit/policy.ts";

import { jsonPatch, webhookServer } from "../apiserver/webhook-server.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into events of every shape.
type Event = any;

const policy = `
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, nonResourceURLs: ["/readyz*"]}
- {level: None, users: ["silent"]}
- {level: RequestResponse, namespaces: ["whole"], omitStages: [RequestReceived], omitManagedFields: true}
- {level: Request, namespaces: ["asked"], omitStages: [RequestReceived]}
- {level: Metadata}
`;

let world: RestWorld;
const events: Event[] = [];

before(async () => {
  world = await restWorld({
    audit: {
      policy: AuditPolicy.parse(policy, "policy.yaml"),
      sink: { offer: (event) => void events.push(JSON.parse(event)) },
    },
  });
  for (const name of ["whole", "asked", "plain"]) {
    const body = { metadata: { name, labels: { [`${podSecurity}/audit`]: "restricted" } } };
    const made = await world.ask("/api/v1/namespaces", { method: "POST", body });
    assert.equal(made.status, 201, made.text);
  }
});
after(() => world[Symbol.asyncDispose]());

const podSecurity = "pod-security.kubernetes.io";
const maps = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`;

/** The events of one request. */
async function told(id: string, stage = "ResponseComplete"): Promise<Event[]> {
  const found = () => events.filter((event) => event.auditID === id);
  await eventually(`${stage} of ${id}`, () => found().some((event) => event.stage === stage));
  return found();
}

test("each stage of a request is an event in upstream's form", async () => {
  const answer = await world.ask(`${maps("plain")}/none?x=y`, {
    headers: { "audit-id": "first", "user-agent": "probe/1", "x-forwarded-for": "203.0.113.7" },
  });
  assert.equal(answer.headers["audit-id"], "first");
  const [received, complete, ...more] = await told("first");
  assert.deepEqual(more, []);
  assert.equal(received.stage, "RequestReceived");
  const { requestReceivedTimestamp, stageTimestamp, ...rest } = complete;
  assert.match(requestReceivedTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.ok(stageTimestamp >= requestReceivedTimestamp);
  assert.deepEqual(rest, {
    kind: "Event",
    apiVersion: "audit.k8s.io/v1",
    level: "Metadata",
    auditID: "first",
    stage: "ResponseComplete",
    requestURI: `${maps("plain")}/none?x=y`,
    verb: "get",
    user: { username: "admin", groups: ["system:masters", "system:authenticated"] },
    sourceIPs: ["203.0.113.7", "127.0.0.1"],
    userAgent: "probe/1",
    objectRef: {
      resource: "configmaps",
      namespace: "plain",
      name: "none",
      apiVersion: "v1",
    },
    responseStatus: {
      metadata: {},
      status: "Failure",
      message: 'configmaps "none" not found',
      reason: "NotFound",
      details: { name: "none", kind: "configmaps" },
      code: 404,
    },
    annotations: { "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "" },
  });
});

test("documents are told as far as the level goes, without what is to be left out", async () => {
  for (const namespace of ["whole", "asked"]) {
    const body = { metadata: { name: "a" }, data: { k: namespace } };
    const headers = { "audit-id": `make-${namespace}` };
    await world.ask(maps(namespace), { method: "POST", body, headers });
  }
  const [whole, ...others] = await told("make-whole");
  assert.deepEqual(others, [], "RequestReceived is left out");
  assert.equal(whole.level, "RequestResponse");
  assert.equal(whole.objectRef.name, "a");
  assert.deepEqual(whole.requestObject.data, { k: "whole" });
  assert.equal(whole.responseObject.metadata.uid.length, 36);
  assert.equal(whole.responseObject.metadata.managedFields, undefined);
  assert.equal(whole.responseStatus.code, 201);
  const [asked] = await told("make-asked");
  assert.deepEqual(asked.requestObject.data, { k: "asked" });
  assert.equal(asked.responseObject, undefined);
  await world.ask(`${maps("whole")}/a`, {
    method: "PATCH",
    body: JSON.stringify({ data: { more: "yes" } }),
    headers: { "audit-id": "patch", "content-type": "application/merge-patch+json" },
  });
  const [patch] = await told("patch");
  assert.equal(patch.verb, "patch");
  assert.deepEqual(patch.requestObject, { data: { more: "yes" } });
  assert.deepEqual(patch.responseObject.data, { k: "whole", more: "yes" });
  await world.ask(maps("whole"), { headers: { "audit-id": "list" } });
  const [list] = await told("list");
  const one = list.responseObject.items.find((each: Event) => each.metadata.name === "a");
  assert.equal(one.data.more, "yes");
  assert.equal(one.metadata.managedFields, undefined);
});

test("a watch begins and ends", async () => {
  const headers = { "audit-id": "watch" };
  await world.ask(`${maps("plain")}?watch=1&timeoutSeconds=1`, { headers });
  const stages = (await told("watch")).map(({ stage, verb }) => `${verb} ${stage}`);
  assert.deepEqual(stages, [
    ...["watch RequestReceived", "watch ResponseStarted", "watch ResponseComplete"],
  ]);
});

test("who is refused is told, with the reason, and who acts for whom", async () => {
  const jane = await world.user("jane");
  await world.ask(maps("plain"), { as: jane, headers: { "audit-id": "refused" } });
  const refused = (await told("refused")).at(-1);
  assert.equal(refused.responseStatus.code, 403);
  assert.equal(refused.annotations["authorization.k8s.io/decision"], "forbid");
  const headers = { "audit-id": "as", "impersonate-user": "joe" };
  await world.ask("/version", { headers });
  const as = (await told("as")).at(-1);
  assert.equal(as.user.username, "admin");
  assert.equal(as.impersonatedUser.username, "joe");
  assert.equal(as.objectRef, undefined);
  assert.match(as.annotations["authorization.k8s.io/reason"], /^RBAC: allowed by ClusterRoleB/);
  const bearer = { "audit-id": "nobody", authorization: "Bearer wrong" };
  await world.ask(maps("plain"), { as: null, headers: bearer });
  const nobody = (await told("nobody")).at(-1);
  assert.equal(nobody.responseStatus.code, 401);
  assert.equal(nobody.verb, "list");
  const silent = await world.user("silent");
  await world.ask("/version", { as: silent, headers: { "audit-id": "silent" } });
  await world.ask("/version", { headers: { "audit-id": "after" } });
  await told("after");
  assert.equal(
    events.some(({ auditID }) => auditID === "silent"),
    false,
  );
});

test("policies, webhooks and pod security write their annotations", async () => {
  const group = "/apis/admissionregistration.k8s.io/v1";
  const rules = [
    { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] },
  ];
  const made = await world.ask(`${group}/validatingadmissionpolicies`, {
    method: "POST",
    body: {
      metadata: { name: "p.example.com" },
      spec: {
        matchConstraints: { resourceRules: rules },
        validations: [{ expression: "!has(object.data.bad)", message: "it is bad" }],
        auditAnnotations: [{ key: "size", valueExpression: "string(size(object.data))" }],
      },
    },
  });
  assert.equal(made.status, 201, made.text);
  await world.ask(`${group}/validatingadmissionpolicybindings`, {
    method: "POST",
    body: {
      metadata: { name: "b.example.com" },
      spec: { policyName: "p.example.com", validationActions: ["Audit"] },
    },
  });
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 1_000, "the policy is never asked");
    const id = `bad-${tries++}`;
    const body = { metadata: { generateName: "bad-" }, data: { bad: "1" } };
    await world.ask(maps("plain"), { method: "POST", body, headers: { "audit-id": id } });
    const { annotations } = (await told(id)).at(-1);
    const failure = annotations["validation.policy.admission.k8s.io/validation_failure"];
    if (failure === undefined) continue;
    const [finding] = JSON.parse(failure);
    assert.equal(finding.message, "it is bad");
    assert.equal(finding.policy, "p.example.com");
    assert.equal(annotations["p.example.com/size"], "1");
    break;
  }
  await using hook = await webhookServer();
  const clientConfig = { url: hook.url("/"), caBundle: hook.caBundle };
  const webhook = (name: string, rest: object = {}) => ({
    ...{ name, clientConfig, rules, sideEffects: "None", admissionReviewVersions: ["v1"] },
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "asked" } },
    ...rest,
  });
  const nowhere = { url: "https://127.0.0.1:1/", caBundle: hook.caBundle };
  const lost = { clientConfig: nowhere, failurePolicy: "Ignore" };
  for (const kind of ["mutating", "validating"]) {
    const body = {
      metadata: { name: kind },
      webhooks: [webhook(`${kind}.example.com`), webhook(`lost-${kind}.example.com`, lost)],
    };
    const path = `${group}/${kind}webhookconfigurations`;
    assert.equal((await world.ask(path, { method: "POST", body })).status, 201);
  }
  const operation = { op: "add", path: "/metadata/labels", value: { seen: "yes" } };
  hook.answer = ({ request }) => ({
    ...(hook.asked.length % 2 === 1 ? jsonPatch(operation) : { allowed: true }),
    auditAnnotations: { why: `${request.operation} ${hook.asked.length}`, "not a name": "x" },
  });
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 1_000, "the webhooks are never asked");
    const id = `hooked-${tries}`;
    hook.asked.length = 0;
    const body = { metadata: { generateName: "hooked-" } };
    await world.ask(maps("asked"), { method: "POST", body, headers: { "audit-id": id } });
    const { annotations } = (await told(id)).at(-1);
    if (hook.asked.length < 2) continue;
    const about = { configuration: "mutating", webhook: "mutating.example.com" };
    const failedOpen = (what: string, index: number) =>
      annotations[`failed-open.${what}.webhook.admission.k8s.io/round_0_index_${index}`];
    assert.equal(annotations["mutating.example.com/why"], "CREATE 1");
    assert.equal(annotations["validating.example.com/why"], "CREATE 2");
    assert.deepEqual(
      Object.keys(annotations).filter((key) => key.includes(" ")),
      [],
    );
    const mutation = "mutation.webhook.admission.k8s.io/round_0_index_";
    assert.equal(annotations[`${mutation}0`], JSON.stringify({ ...about, mutated: true }));
    assert.equal(JSON.parse(annotations[`${mutation}1`]).mutated, false);
    assert.equal(
      annotations["patch.webhook.admission.k8s.io/round_0_index_0"],
      JSON.stringify({ ...about, patch: [operation], patchType: "JSONPatch" }),
    );
    assert.equal(failedOpen("mutation", 1), "lost-mutating.example.com");
    assert.equal(failedOpen("validating", 1), "lost-validating.example.com");
    break;
  }
  const pod = {
    metadata: { name: "p" },
    spec: { containers: [{ name: "main", image: "busybox" }] },
  };
  const path = "/api/v1/namespaces/plain/pods?dryRun=All";
  await world.ask(path, { method: "POST", body: pod, headers: { "audit-id": "pod" } });
  const { annotations } = (await told("pod")).at(-1);
  assert.match(
    annotations[`${podSecurity}/audit-violations`],
    /^would violate PodSecurity "restricted:latest": allowPrivilegeEscalation/,
  );
});

test("a call over gRPC is told as the REST request that asks the same", async () => {
  const options = {
    addresses: [`127.0.0.1:${world.server.port}`],
    tls: { ca: world.ca, ...world.admin },
  };
  using client = disposable(connect(ConfigMapsClient, options));
  const as = (id: string) => {
    const metadata = new Metadata();
    metadata.set("audit-id", id);
    return { metadata };
  };
  const object = { metadata: { name: "g", namespace: "whole" }, data: { over: "grpc" } };
  await call(client.it, "create", { object }, as("g-create"));
  const [created] = await told("g-create");
  assert.equal(created.requestURI, maps("whole"));
  assert.equal(created.verb, "create");
  assert.deepEqual(created.requestObject.data, { over: "grpc" });
  assert.deepEqual(created.responseObject.data, { over: "grpc" });
  assert.equal(created.objectRef.name, "g");
  assert.deepEqual(created.responseStatus, { metadata: {}, code: 201 });
  assert.deepEqual(created.sourceIPs, ["127.0.0.1"]);
  await call(client.it, "delete", { name: "g", namespace: "whole" }, as("g-delete"));
  const [deleted] = await told("g-delete");
  assert.equal(deleted.requestURI, `${maps("whole")}/g`);
  assert.equal(deleted.responseStatus.status, "Success");
  await assert.rejects(call(client.it, "get", { name: "g", namespace: "plain" }, as("g-get")));
  const got = (await told("g-get")).at(-1);
  assert.equal(got.responseStatus.code, 404);
  for await (const _ of serverStreamIterable(
    client.it,
    "watch",
    { namespace: "plain", timeoutSeconds: 1 },
    as("g-watch"),
  )) {
    // Until its time is up.
  }
  const watched = await told("g-watch");
  assert.equal(watched.at(-1).requestURI, `${maps("plain")}?watch=true`);
  assert.ok(watched.some(({ stage }) => stage === "ResponseStarted"));
  using dynamic = disposable(connect(DynamicClient, options));
  await call(dynamic.it, "discover", {}, as("g-discover"));
  assert.equal((await told("g-discover")).at(-1).requestURI, "/apis");
  using stranger = disposable(connect(ConfigMapsClient, { ...options, tls: { ca: world.ca } }));
  await assert.rejects(
    call(stranger.it, "get", { name: "g", namespace: "plain" }, as("g-none")),
    (error: ServiceError) => error.code === 16,
  );
  assert.equal((await told("g-none")).at(-1).responseStatus.code, 401);
});

function disposable<C extends { close(): void }>(it: C) {
  return { it, [Symbol.dispose]: () => it.close() };
}
