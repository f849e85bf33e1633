/** The older resource through which pods are assigned, beside the subresource of the pod. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, connect } from "../../ha/rpc/mod.ts";
import { BindingsClient } from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import { type Ask, type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;
before(async () => {
  world = await restWorld();
});
after(() => world[Symbol.asyncDispose]());

const core = "/api/v1/namespaces/default";
const within = { deadlineMillis: 20_000 };

async function pod(name: string): Promise<void> {
  const spec = { containers: [{ name: "c", image: "busybox" }] };
  const body = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
  const { status, text } = await world.ask(`${core}/pods`, { method: "POST", body });
  assert.equal(status, 201, text);
}

const binding = (pod: string, node: string, metadata: object = {}) => ({
  ...{ apiVersion: "v1", kind: "Binding", metadata: { name: pod, ...metadata } },
  target: { apiVersion: "v1", kind: "Node", name: node },
});
const posted = (body: object, ask: Partial<Ask> = {}, query = "") =>
  world.ask(`${core}/bindings${query}`, { method: "POST", body, ...ask });
const nodeOf = async (name: string) =>
  (await world.ask(`${core}/pods/${name}`)).json.spec.nodeName as string | undefined;

test("discovery lists bindings, which can only be created", async () => {
  const { json } = await world.ask("/api/v1");
  const row = json.resources.find(({ name }: { name: string }) => name === "bindings");
  assert.deepEqual(row, {
    ...{ name: "bindings", singularName: "binding", namespaced: true, kind: "Binding" },
    verbs: ["create"],
  });
  for (const method of ["GET", "DELETE"]) {
    assert.equal((await world.ask(`${core}/bindings`, { method })).status, 405);
  }
});

test("a binding assigns the pod that it names, once", async () => {
  await pod("one");
  const { status, json } = await posted(binding("one", "n1", { annotations: { a: "b" } }));
  assert.equal(status, 201);
  const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };
  assert.deepEqual(json, { ...success, code: 201 });
  const bound = (await world.ask(`${core}/pods/one`)).json;
  assert.equal(bound.spec.nodeName, "n1");
  assert.equal(bound.metadata.annotations.a, "b");

  const again = await posted(binding("one", "n2"));
  assert.equal(again.status, 409);
  assert.match(again.json.message, /pod one is already assigned to node "n1"/);
  assert.equal((await posted(binding("none", "n1"))).status, 404);
  assert.equal((await posted({ ...binding("one", "n1"), target: {} })).status, 422);
  assert.equal((await posted({ ...binding("one", "n1"), metadata: {} })).status, 400);
  assert.equal((await posted(binding("one", "n1", { namespace: "other" }))).status, 400);
});

test("a dry run assigns nothing, through either resource", async () => {
  await pod("dry");
  assert.equal((await posted(binding("dry", "n1"), {}, "?dryRun=All")).status, 201);
  const body = binding("dry", "n1");
  const path = `${core}/pods/dry/binding?dryRun=All`;
  assert.equal((await world.ask(path, { method: "POST", body })).status, 201);
  assert.equal(await nodeOf("dry"), undefined);
});

test("the right to create bindings is one of its own", async () => {
  await pod("guarded");
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  for (const [name, resource] of [
    ["binder", "bindings"],
    ["sub", "pods/binding"],
  ]) {
    const rules = [{ apiGroups: [""], resources: [resource], verbs: ["create"] }];
    const role = { metadata: { name }, rules };
    await world.ask(`${rbac}/roles`, { method: "POST", body: role });
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
    const granted = { metadata: { name }, roleRef, subjects: [{ kind: "User", name }] };
    await world.ask(`${rbac}/rolebindings`, { method: "POST", body: granted });
  }
  const refused = await posted(binding("guarded", "n1"), { as: await world.user("sub") });
  assert.equal(refused.status, 403);
  assert.match(refused.json.message, /cannot create resource "bindings" in API group ""/);
  const taken = await posted(binding("guarded", "n1"), { as: await world.user("binder") });
  assert.equal(taken.status, 201, taken.text);
  assert.equal(await nodeOf("guarded"), "n1");
});

test("the typed and the dynamic service assign pods as well", async () => {
  const tls = { ca: world.ca, ...world.admin };
  const options = { addresses: [`127.0.0.1:${world.server.port}`], tls };
  const bindings = connect(BindingsClient, options);
  const dynamic = connect(DynamicClient, options);
  try {
    await pod("typed");
    const object = binding("typed", "n1", { namespace: "default" });
    const answer = await call(bindings, "create", { object }, within);
    assert.equal(answer.target?.name, "n1");
    assert.equal(await nodeOf("typed"), "n1");
    await pod("dynamic");
    const json = Buffer.from(JSON.stringify(binding("dynamic", "n1")));
    const request = { ref: { resource: "bindings" }, namespace: "default", json };
    const { json: status } = await call(dynamic, "create", request, within);
    assert.equal(JSON.parse(Buffer.from(status ?? []).toString()).status, "Success");
    assert.equal(await nodeOf("dynamic"), "n1");
  } finally {
    bindings.close();
    dynamic.close();
  }
});
