import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../../services/client/mod.ts";
import { garbageCollector } from "../../services/controllers/garbage-collector/controller.ts";
import { namespaceController } from "../../services/controllers/namespace/controller.ts";
import type { Controller } from "../../services/controllers/types.ts";
import { harness } from "./harness.ts";

async function family() {
  const all = await harness(garbageCollector(4));
  const { client, clock } = all;
  const parent = await client.configMaps.create({ metadata: { name: "p", namespace: "default" } });
  const reference = {
    apiVersion: "v1",
    kind: "ConfigMap",
    name: "p",
    uid: parent.metadata?.uid,
    blockOwnerDeletion: true,
  };
  const child = (name: string, ...ownerReferences: (typeof reference)[]) =>
    client.secrets.create({ metadata: { name, namespace: "default", ownerReferences } });
  await child("c1", reference);
  await clock.advance(100);
  return { ...all, reference, child };
}

test("background: dependents go after their owner, those with another owner lose the reference", async () => {
  const { api, client, clock, reference, child, end } = await family();
  const other = await client.configMaps.create({ metadata: { name: "q", namespace: "default" } });
  await child("c2", reference, { ...reference, name: "q", uid: other.metadata?.uid });
  await client.configMaps.delete("p", "default");
  await clock.until(() => !api.get("Secret", "default/c1"), "the dependent goes");
  await clock.advance(100);
  const owners = api.get("Secret", "default/c2")?.metadata?.ownerReferences;
  assert.deepEqual(
    owners?.map(({ name }) => name),
    ["q"],
  );
  await end();
});

test("foreground: the owner goes last", async () => {
  const { api, client, clock, end } = await family();
  const order: string[] = [];
  await client.configMaps.delete("p", "default", { propagationPolicy: "Foreground" });
  assert.ok(api.get("ConfigMap", "default/p")?.metadata?.deletionTimestamp);
  await clock.until(() => {
    if (!api.get("Secret", "default/c1") && !order.includes("c1")) order.push("c1");
    if (!api.get("ConfigMap", "default/p") && !order.includes("p")) order.push("p");
    return order.length === 2;
  }, "both go");
  assert.equal(api.written.findLast(({ fence }) => fence)?.kind, "ConfigMap");
  await end();
});

test("orphan: dependents stay, without the reference", async () => {
  const { api, client, clock, end } = await family();
  await client.configMaps.delete("p", "default", { propagationPolicy: "Orphan" });
  await clock.until(() => !api.get("ConfigMap", "default/p"), "the owner goes");
  await clock.advance(1_000);
  assert.deepEqual(api.get("Secret", "default/c1")?.metadata?.ownerReferences ?? [], []);
  await end();
});

test("an owner of the right name but another uid is no owner", async () => {
  const { api, clock, child, reference, end } = await family();
  await child("stale", { ...reference, uid: "uid-of-an-earlier-life" });
  await clock.until(() => !api.get("Secret", "default/stale"), "the dependent goes");
  assert.ok(api.get("Secret", "default/c1"));
  await end();
});

const reference = (owner: JsonObject, change: object = {}) => ({
  apiVersion: owner.apiVersion ?? "v1",
  kind: owner.kind ?? "",
  name: owner.metadata?.name ?? "",
  uid: owner.metadata?.uid ?? "",
  blockOwnerDeletion: true,
  ...change,
});
const ghost = (change: object = {}) =>
  reference({ kind: "ConfigMap", metadata: { name: "ghost", uid: "no-such-uid" } }, change);

async function collector(...others: Controller[]) {
  const all = await harness(garbageCollector(4), ...others);
  const { client, clock } = all;
  await clock.advance(100);
  const make = (name: string, owners: object[] = [], change: JsonObject = {}) =>
    client.dynamic.create({
      apiVersion: "v1",
      kind: "ConfigMap",
      ...change,
      metadata: { name, namespace: "default", ownerReferences: owners, ...change.metadata },
    } as JsonObject);
  const owns = (name: string, ...ownerReferences: object[]) =>
    client.configMaps.patch(name, "default", "merge", { metadata: { ownerReferences } });
  const foreground = (name: string) =>
    client.configMaps.delete(name, "default", { propagationPolicy: "Foreground" });
  const names = () => all.api.all("ConfigMap").map(({ metadata }) => metadata?.name);
  return { ...all, make, owns, foreground, names };
}

test("a cycle of owners goes in the foreground, whichever members are deleted", async () => {
  for (const deleted of [["a"], ["a", "b", "c"]]) {
    const { clock, make, owns, foreground, names, api, end } = await collector();
    const a = await make("a");
    const b = await make("b", [reference(a)]);
    const c = await make("c", [reference(b)]);
    await owns("a", reference(c));
    await clock.advance(100);
    for (const name of deleted) await foreground(name);
    await clock.until(() => names().length === 0, `the cycle ends after deleting ${deleted}`);
    assert.ok(api.written.length < 40, `${api.written.length} writes`);
    await end();
  }
});

test("a cycle waits for the dependents outside it, and for objects held by a finalizer", async () => {
  const { api, clock, make, owns, foreground, names, end } = await collector();
  const a = await make("a");
  const b = await make("b", [reference(a)]);
  await owns("a", reference(b));
  await make("held", [reference(b)], { metadata: { finalizers: ["example.com/x"] } });
  await clock.advance(100);
  await foreground("a");
  await clock.advance(10_000);
  assert.deepEqual(names().sort(), ["a", "b", "held"]);
  const writes = api.written.length;
  await clock.advance(60_000);
  assert.equal(api.written.length, writes, "nothing is written while it waits");
  await clock.advance(0);
  await api.change("ConfigMap", "default/held", (each) => {
    each.metadata!.finalizers = [];
  });
  await clock.until(() => names().length === 0, "all go");
  await end();
});

test("an object that owns itself goes; it does not go unasked", async () => {
  const { clock, make, owns, foreground, names, end } = await collector();
  await owns("self", reference(await make("self")));
  await clock.advance(10_000);
  assert.deepEqual(names(), ["self"]);
  await foreground("self");
  await clock.until(() => names().length === 0, "it goes");
  await end();
});

test("a wrong reference to a living owner removes its own object alone", async () => {
  const wrong = {
    namespace: { metadata: { namespace: "elsewhere" } },
    name: { reference: { name: "zzz" } },
    kind: { reference: { kind: "Secret" } },
  };
  for (const [what, how] of Object.entries(wrong)) {
    const { api, client, clock, make, names, end } = await collector();
    await client.namespaces.create({ metadata: { name: "elsewhere" } });
    const owner = await make("owner");
    await make("child", [reference(owner)]);
    const bad = { metadata: {}, reference: {}, ...how };
    await make("stray", [reference(owner, bad.reference)], { metadata: bad.metadata });
    await clock.until(() => !names().includes("stray"), `the stray of a wrong ${what} goes`);
    await client.configMaps.patch("child", "default", "merge", {
      metadata: { ownerReferences: [reference(owner, { blockOwnerDeletion: false })] },
    });
    await make("newborn", [reference(owner)]);
    await clock.advance(10_000);
    assert.deepEqual(names().sort(), ["child", "newborn", "owner"], what);
    const told = api.all("Event").map(({ reason }) => reason);
    assert.deepEqual(told, what === "namespace" ? ["OwnerRefInvalidNamespace"] : []);
    await end();
  }
});

test("an owner of a kind that is not served is unknown; once it is served it is looked for", async () => {
  const { api, clock, make, names, end } = await collector();
  const foo = { apiVersion: "ex.io/v1", kind: "Foo" };
  const unserved = { apiVersion: "apps/v1beta1", kind: "Deployment" };
  await make("foo", [ghost(foo)]);
  await make("version", [ghost(unserved)]);
  await make("both", [ghost(foo), ghost()]);
  await make("gone", [ghost()]);
  await clock.until(() => !names().includes("gone"), "an absent owner is absent");
  await clock.advance(60_000);
  assert.deepEqual(names(), ["both", "foo", "version"]);
  assert.equal(api.get("ConfigMap", "default/both")?.metadata?.ownerReferences?.length, 2);
  api.serve({ ...foo, plural: "foos", namespaced: true });
  await clock.until(() => names().length === 1, "the owners are absent now");
  assert.deepEqual(names(), ["version"]);
  await end();
});

test("kinds known at run time own and are owned; one that is withdrawn is unknown", async () => {
  const { api, client, clock, make, names, end } = await collector();
  const foo = { apiVersion: "ex.io/v1", kind: "Foo" };
  const ref = { ...foo, resource: "foos" };
  api.serve({ ...foo, plural: "foos", namespaced: false });
  await clock.advance(6_000);
  const owner = await make("owner", [], { ...foo, metadata: { namespace: undefined } });
  await make("child", [reference(owner)]);
  await clock.advance(100);
  api.withdraw("Foo");
  await clock.advance(30_000);
  assert.deepEqual(names(), ["child"]);
  api.serve({ ...foo, plural: "foos", namespaced: false });
  await clock.advance(10_000);
  await client.dynamic.delete(ref, "owner", undefined, { propagationPolicy: "Foreground" });
  await clock.until(() => names().length === 0, "the dependent goes");
  await clock.until(() => api.all("Foo" as "Pod").length === 0, "the owner goes");
  await end();
});

test("deletion in the foreground, and orphaning, end for every kind", async () => {
  const { api, client, clock, make, end } = await collector(namespaceController(2));
  const kinds = { Node: "v1", Namespace: "v1", Event: "v1", Lease: "coordination.k8s.io/v1" };
  for (const [kind, apiVersion] of Object.entries(kinds)) {
    for (const propagationPolicy of ["Foreground", "Orphan"] as const) {
      const namespaced = kind === "Event" || kind === "Lease";
      const namespace = namespaced ? "default" : undefined;
      const about = kind === "Event" && { involvedObject: { kind: "Pod", namespace } };
      const owner = { apiVersion, kind, ...about, metadata: { namespace } };
      const name = propagationPolicy.toLowerCase();
      await make(name, [], owner);
      await clock.advance(100);
      await client.dynamic.delete({ apiVersion, kind }, name, namespace, { propagationPolicy });
    }
    // The collector's own Lease stays.
    const names = () => api.all(kind as "Node").map(({ metadata }) => metadata?.name);
    const gone = () => !names().some((name) => name === "foreground" || name === "orphan");
    await clock.until(gone, `every ${kind} goes`);
  }
  await end();
});
