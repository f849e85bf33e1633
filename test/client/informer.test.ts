import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { CachedInformer, InformerFactory, retryOnConflict } from "../../services/client/mod.ts";
import { watchDocuments } from "../../services/client/resource-client.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";
import { RealApi } from "./real-api.ts";

const pod = (name: string, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace: "default", labels },
  spec: { containers: [{ name: "c", image: "i" }] },
});

async function start() {
  const [clock, stop] = [new FakeClock(), new AbortController()];
  const api = await RealApi.open({ clock });
  const { pods } = api.client();
  const informer = new CachedInformer({ client: pods, log: quietLog, clock });
  const seen: string[] = [];
  informer.addHandlers({
    added: ({ metadata }) => seen.push(`+${metadata?.name}`),
    updated: (_, { metadata }) => seen.push(`~${metadata?.name}`),
    deleted: ({ metadata }) => seen.push(`-${metadata?.name}`),
  });
  const run = informer.run(stop.signal);
  const end = async () => {
    stop.abort();
    await run;
    await api.close();
  };
  return { api, clock, pods, informer, seen, end };
}

test("the cache follows the API, and handlers see every change after the cache does", async () => {
  const { pods, informer, seen, end } = await start();
  await informer.whenSynced();
  await pods.create(pod("a"));
  const b = await pods.create(pod("b"));
  await pods.update({ ...b, metadata: { ...b.metadata, labels: { x: "y" } } });
  await pods.delete("a", "default");
  await settle();
  assert.deepEqual(seen, ["+a", "+b", "~b", "-a"]);
  assert.deepEqual(informer.lister.get("b", "default")?.metadata?.labels, { x: "y" });
  assert.equal(informer.lister.get("a", "default"), undefined);
  await end();
});

test("caches have no managedFields, and an update of what they have keeps them", async () => {
  const { pods, informer, end } = await start();
  await pods.create(pod("listed"), { fieldManager: "maker" });
  await informer.whenSynced();
  await pods.create(pod("watched"), { fieldManager: "maker" });
  await settle();
  for (const name of ["listed", "watched"]) {
    const cached = informer.lister.get(name, "default");
    assert.ok(cached, name);
    assert.equal(cached.metadata?.managedFields, undefined);
    const labels = { x: "y" };
    const next = { ...cached, metadata: { ...cached.metadata, labels } };
    await pods.update(next, { fieldManager: "changer" });
    const { metadata } = await pods.get(name, "default");
    const managers = metadata?.managedFields?.map(({ manager }) => manager);
    assert.deepEqual(managers?.sort(), ["changer", "maker"]);
    const { managedFields: _, resourceVersion: _version, ...kept } = metadata ?? {};
    const { resourceVersion: _before, ...before } = cached.metadata ?? {};
    assert.deepEqual(kept, { ...before, labels });
  }
  await end();
});

test("what can be left out of a list or watch is named when something else is asked for", async () => {
  const { api, pods, end } = await start();
  const omit = "spec" as "metadata.managedFields";
  const refusal =
    /^StatusError: trireme-omit: "spec" cannot be left out, only metadata.managedFields$/;
  await assert.rejects(pods.list({ omit }), refusal);
  await assert.rejects(pods.watch({ omit })[Symbol.asyncIterator]().next(), refusal);
  const whole = { ref: { kind: "Pod", apiVersion: "v1" }, changes: true };
  const events = watchDocuments(api.transport(), whole, {});
  const why = /^StatusError: changes: only come without managedFields \(trireme-omit\)$/;
  await assert.rejects(events.next(), why);
  await end();
});

test("after a broken watch it resumes where it was, without listing", async () => {
  const { api, clock, pods, informer, seen, end } = await start();
  await informer.whenSynced();
  await pods.create(pod("a"));
  await settle();
  for (let round = 0; round < 3; round++) {
    api.breakWatches();
    await pods.create(pod(`b${round}`));
    await clock.until(() => seen.includes(`+b${round}`), "the missed event");
  }
  assert.deepEqual(seen, ["+a", "+b0", "+b1", "+b2"]);
  assert.equal(api.lists, 1);
  assert.equal(informer.relists, 0);
  await end();
});

test("an expired watch is listed anew, and finds what was deleted meanwhile", async () => {
  const { api, clock, pods, informer, seen, end } = await start();
  await pods.create(pod("a"));
  await informer.whenSynced();
  api.down = true;
  api.breakWatches();
  await clock.advance(1_000);
  api.down = false;
  await pods.delete("a", "default");
  await pods.create(pod("b"));
  await api.compact();
  await clock.until(() => informer.relists === 1 && seen.includes("+b"), "the relist");
  assert.deepEqual(seen, ["+a", "-a", "+b"]);
  await end();
});

test("an object replaced under its name while unseen is deleted and added", async () => {
  const { api, clock, pods, informer, seen, end } = await start();
  await pods.create(pod("a"));
  await informer.whenSynced();
  api.down = true;
  api.breakWatches();
  await clock.advance(500);
  api.down = false;
  await pods.delete("a", "default");
  await pods.create(pod("a"));
  await api.compact();
  await clock.until(() => seen.length === 3, "the replacement");
  assert.deepEqual(seen, ["+a", "-a", "+a"]);
  await end();
});

test("lists come in pages", async () => {
  const { api, clock, pods, informer, end } = await start();
  await pods.create(pod("first"));
  await informer.whenSynced();
  api.down = true;
  api.breakWatches();
  await clock.advance(500);
  api.down = false;
  for (let index = 0; index < 1_200; index++) await pods.create(pod(`p${index}`));
  await api.compact();
  const before = api.lists;
  await clock.until(() => informer.lister.list().length === 1_201, "the relist");
  assert.equal(informer.relists, 1);
  assert.equal(api.lists - before, 3);
  await end();
});

test("indexes follow changes", async () => {
  const { pods, informer, end } = await start();
  informer.addIndex("app", ({ metadata }) => [metadata?.labels?.["app"] ?? ""]);
  await informer.whenSynced();
  const a = await pods.create(pod("a", { app: "web" }));
  await pods.create(pod("b", { app: "web" }));
  await settle();
  assert.equal(informer.lister.byIndex("app", "web").length, 2);
  await pods.update({ ...a, metadata: { ...a.metadata, labels: { app: "db" } } });
  await settle();
  assert.deepEqual(
    informer.lister.byIndex("app", "web").map(({ metadata }) => metadata?.name),
    ["b"],
  );
  assert.throws(() => informer.lister.byIndex("nope", ""), RangeError);
  await end();
});

test("a handler that throws stops neither the cache nor the other handlers", async () => {
  const { pods, informer, end } = await start();
  await informer.whenSynced();
  let told = 0;
  informer.addHandlers({
    added() {
      throw new Error("broken handler");
    },
  });
  informer.addHandlers({ added: () => told++ });
  await pods.create(pod("a"));
  await settle();
  assert.equal(told, 1);
  assert.ok(informer.lister.get("a", "default"));
  await end();
});

test("the factory shares one informer per kind and selection", async () => {
  await using api = await RealApi.open();
  const informers = new InformerFactory({
    client: api.client(),
    log: quietLog,
    clock: new FakeClock(),
  });
  const stop = new AbortController();
  assert.equal(informers.informer("Pod"), informers.informer("Pod"));
  const onNode = informers.informer("Pod", { fieldSelector: "spec.nodeName=n1" });
  assert.notEqual(onNode, informers.informer("Pod"));
  informers.start(stop.signal);
  await informers.whenSynced();
  assert.equal(api.watches, 2);
  const { pods } = api.client();
  await pods.create({ ...pod("a"), spec: { ...pod("a").spec, nodeName: "n1" } });
  await pods.create({ ...pod("b"), spec: { ...pod("b").spec, nodeName: "n2" } });
  await settle();
  assert.equal(onNode.lister.list().length, 1);
  stop.abort();
  await informers.ended();
});

test("the metadata of a kind known only at run time; its end; no kind is watched twice", async () => {
  const [clock, stop] = [new FakeClock(), new AbortController()];
  await using api = await RealApi.open({ clock });
  const client = api.client();
  api.serve({ apiVersion: "ex.io/v1", kind: "Foo", plural: "foos", namespaced: true });
  const foos = { group: "ex.io", version: "v1", kind: "Foo", plural: "foos", namespaced: true };
  const pods = { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true };
  const informers = new InformerFactory({ client, log: quietLog, clock });
  const typed = informers.informer("Pod");
  informers.start(stop.signal);
  assert.equal(informers.dynamic(pods), typed);
  const informer = informers.dynamic(foos);
  assert.equal(informers.dynamic(foos), informer);
  await informer.whenSynced();
  const metadata = { name: "a", namespace: "default", managedFields: [{ manager: "m" }] };
  await client.dynamic.create({ apiVersion: "ex.io/v1", kind: "Foo", metadata, spec: { size: 1 } });
  await settle();
  const found = informer.lister.get("a", "default");
  assert.deepEqual(Object.keys(found ?? {}), ["apiVersion", "kind", "metadata"]);
  assert.equal(found?.kind, "Foo");
  assert.equal(found?.metadata?.managedFields, undefined);
  informers.dropDynamic(foos);
  await client.dynamic.delete({ kind: "Foo" }, "a", "default");
  await settle();
  assert.ok(informer.lister.get("a", "default"), "a dropped cache follows nothing");
  assert.notEqual(informers.dynamic(foos), informer);
  stop.abort();
  await informers.ended();
});

test("retryOnConflict reads afresh, and gives up after its attempts", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const { configMaps } = api.client();
  await configMaps.create({ metadata: { name: "a", namespace: "default" }, data: { n: "0" } });
  let interference = 2;
  const change = async () => {
    const current = await configMaps.get("a", "default");
    if (interference-- > 0) {
      await api.change("ConfigMap", "default/a", (each) => {
        each.data = { n: String(Number(each.data?.["n"]) + 10) };
      });
    }
    const n = String(Number(current.data?.["n"]) + 1);
    return configMaps.update({ ...current, data: { n } });
  };
  const done = retryOnConflict(change, clock);
  await clock.advance(1_000);
  assert.equal((await done).data?.["n"], "21");
  interference = 100;
  const failing = retryOnConflict(change, clock);
  const refused = assert.rejects(failing, /modified/);
  await clock.advance(10_000);
  await refused;
});
