/** Deleting by the lot, and what goes by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { list, remove, removeCollection } from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";
import { adminCall, configMap, fails, kind, make, world } from "./harness.ts";

test("a collection of a namespaced resource needs its namespace", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"));
  for (const selection of [undefined, {}, { namespace: "" }, { labelSelector: "a=b" }]) {
    await fails(
      removeCollection(w.backend, adminCall(), kind("configmaps"), { selection }),
      "invalidArgument",
      "an empty namespace may not be set on this request",
    );
  }
  const left = await list(w.backend, adminCall(), kind("configmaps"), { namespace: "default" });
  assert.equal(left.items.length, 1);
});

test("namespaces are not deleted by the lot", async () => {
  await using w = await world();
  const error = await fails(
    removeCollection(w.backend, adminCall(), kind("namespaces"), {}),
    "unimplemented",
    "namespaces cannot be deleted as a collection: delete them by name",
  );
  assert.equal(error.detail?.reason, "MethodNotAllowed");
});

test("events hang on a lease of the store, shared by those of a minute, and nothing else does", async () => {
  let millis = Date.UTC(2026, 0, 1);
  await using w = await world({ now: () => millis });
  const event = (name: string) => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace: "default" },
    involvedObject: { kind: "Pod", namespace: "default", name: "p" },
  });
  await make(w.backend, event("a"));
  await make(w.backend, event("b"));
  await make(w.backend, configMap("c"));
  const [lease, ...others] = await w.store.leases();
  assert.ok(lease !== undefined);
  assert.deepEqual(others, []);
  const status = await w.store.leaseTimeToLive(lease);
  assert.equal(status.grantedSeconds, 3_660);
  assert.deepEqual(
    status.keys.map((key) => Buffer.from(key).toString()),
    ["/registry/events/default/a", "/registry/events/default/b"],
  );
  millis += 61_000;
  await make(w.backend, event("d"));
  assert.equal((await w.store.leases()).length, 2);
  await w.store.leaseRevoke(lease);
  await w.backend.cache.waitFor(await w.store.readRevision());
  const events = await list(w.backend, adminCall(), kind("events"), { namespace: "default" });
  assert.deepEqual(
    events.items.map((each) => each.name),
    ["d"],
  );
});

test("every stored resource says whether it may be deleted by the lot", () => {
  const refusing = [...builtInRegistry()].filter(
    (resource) => resource.stored && !resource.verbs.includes("deletecollection"),
  );
  assert.deepEqual(
    refusing.map(({ plural }) => plural),
    ["namespaces"],
  );
});

test("dependents of a job are orphaned unless its deletion says otherwise", async () => {
  await using w = await world();
  const job = (name: string) => ({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace: "default" },
    spec: {
      template: {
        spec: { restartPolicy: "Never", containers: [{ name: "a", image: "a" }] },
      },
    },
  });
  const finalizersAfter = async (name: string, propagationPolicy?: string) => {
    await make(w.backend, job(name));
    const request = { name, namespace: "default", propagationPolicy };
    await remove(w.backend, adminCall(), kind("jobs"), request);
    const { items } = await list(w.backend, adminCall(), kind("jobs"), { namespace: "default" });
    return items.find((each) => each.name === name)?.document.metadata?.finalizers;
  };
  assert.deepEqual(await finalizersAfter("silent"), ["orphan"]);
  assert.equal(await finalizersAfter("background", "Background"), undefined);
  assert.deepEqual(await finalizersAfter("foreground", "Foreground"), ["foregroundDeletion"]);
});
