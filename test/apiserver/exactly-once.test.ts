/** A request id makes a request answer as it first did, and belongs to one request alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigMap, ConfigMapWrite } from "../../proto/gen/core.ts";
import { messageBody } from "../../services/apiserver/verbs/body.ts";
import {
  bind,
  create,
  documentBody,
  evict,
  get,
  patch,
  remove,
  removeCollection,
  update,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { admin, adminCall, callAs, configMap, fails, kind, make, pod, world } from "./harness.ts";

const maps = kind("configmaps");
const pods = kind("pods");
const at = { namespace: "default" };

function put(document: Document) {
  return { body: documentBody(structuredClone(document)), subresource: "", typed: false } as const;
}

const once = (requestId: string) => adminCall({ requestId });

test("a person's repeat, without any sign that it is one, is answered as the first was", async () => {
  await using w = await world();
  const { backend } = w;
  const made = await make(backend, configMap("a"), once("create"));
  const next = { ...made.copy(), data: { k: "1" } };
  const updated = await update(backend, once("update"), maps, put(next));
  const jsonPatch = {
    ...at,
    name: "a",
    patchType: "application/json-patch+json",
    patch: Buffer.from(
      JSON.stringify([
        { op: "test", path: "/data/k", value: "1" },
        { op: "replace", path: "/data/k", value: "2" },
      ]),
    ),
  };
  const patched = await patch(backend, once("patch"), maps, jsonPatch);
  await update(backend, adminCall(), maps, put(configMap("a", { k: "later" })));

  const again = await make(backend, configMap("a"), once("create"));
  assert.deepEqual(again.document, made.document);
  assert.deepEqual(
    (await update(backend, once("update"), maps, put(next))).document,
    updated.document,
  );
  const repeated = await patch(backend, once("patch"), maps, jsonPatch);
  assert.deepEqual(repeated.document, patched.document);
  const now = await get(backend, adminCall(), maps, { ...at, name: "a" });
  assert.deepEqual(now.document["data"], { k: "later" });

  const deletion = { ...at, name: "a" };
  const deleted = await remove(backend, once("delete"), maps, deletion);
  await make(backend, configMap("a"));
  assert.deepEqual(await remove(backend, once("delete"), maps, deletion), deleted);
  await get(backend, adminCall(), maps, { ...at, name: "a" });
});

test("a patch that changes nothing any more is answered with what it once made", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"));
  const merge = {
    ...at,
    name: "a",
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"data":{"k":"1"}}'),
  };
  const first = await patch(w.backend, once("m"), maps, merge);
  const label = { ...merge, patch: Buffer.from('{"metadata":{"labels":{"x":"y"}}}') };
  await patch(w.backend, adminCall(), maps, label);
  const again = await patch(w.backend, once("m"), maps, merge);
  assert.equal(again.revision, first.revision);
});

test("bind and evict, repeated", async () => {
  await using w = await world();
  await make(w.backend, pod("p"));
  const binding = { metadata: { name: "p", ...at }, target: { name: "n1" } };
  await bind(w.backend, once("bind"), pods, binding);
  assert.equal((await bind(w.backend, once("bind"), pods, binding)).status, "Success");
  const eviction = { metadata: { name: "p", ...at }, deleteOptions: { gracePeriodSeconds: 0 } };
  await evict(w.backend, once("evict"), pods, eviction);
  assert.equal((await evict(w.backend, once("evict"), pods, eviction)).status, "Success");
  await fails(evict(w.backend, once("never"), pods, eviction), "notFound", /"p" not found/);
});

test("the id of another request, or of another user, is refused in words", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"), once("id"));
  const reused =
    'request id "id" was used for another request: every request needs an id of its own';
  await fails(make(w.backend, configMap("b"), once("id")), "failedPrecondition", reused);
  await fails(
    update(w.backend, once("id"), maps, put(configMap("a", { k: "1" }))),
    "failedPrecondition",
    reused,
  );
  await fails(
    remove(w.backend, once("id"), maps, { ...at, name: "a" }),
    "failedPrecondition",
    reused,
  );
  const other = { ...callAs("other", "system:masters"), requestId: "id" };
  await fails(make(w.backend, configMap("a"), other), "failedPrecondition", reused);
  const same = { ...callAs(admin.name, "system:masters"), requestId: "id" };
  assert.equal((await make(w.backend, configMap("a"), same)).name, "a");
});

test("a request stays the same one when its client writes maps in another order", async () => {
  await using w = await world();
  const labels = { metadata: { ...at, name: "a" }, data: { k1: "1", k2: "2", k3: "3" } };
  const other = { ...labels, data: { k3: "3", k1: "1", k2: "2" } };
  const send = (object: ConfigMap, id: string) => {
    const message = ConfigMap.encode(object).finish();
    const write = ConfigMapWrite.encode({ object }).finish();
    return create(w.backend, once(id), maps, { body: messageBody(maps, message, write) });
  };
  const first = await send(labels, "maps");
  assert.equal((await send(other, "maps")).revision, first.revision);
  const changed = { ...labels, data: { k1: "1", k2: "3", k3: "2" } };
  await fails(send(changed, "maps"), "failedPrecondition", /was used for another request/);
});

test("a collection is deleted once under one id", async () => {
  await using w = await world();
  for (const name of ["a", "b"]) await make(w.backend, configMap(name));
  const request = { selection: at };
  await removeCollection(w.backend, once("all"), maps, request);
  assert.equal((await removeCollection(w.backend, once("all"), maps, request)).status, "Success");
});
