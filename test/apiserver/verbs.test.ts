import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import { jsonBody } from "../../services/apiserver/verbs/body.ts";
import {
  bind,
  create,
  documentBody,
  evict,
  get,
  getScale,
  list,
  patch,
  remove,
  removeCollection,
  update,
  updateScale,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { adminCall, configMap, fails, failure, kind, make, pod, world } from "./harness.ts";

const maps = kind("configmaps");
const pods = kind("pods");
const deployments = kind("deployments");
const at = { namespace: "default" };

function put(document: Document, subresource: "" | "status" = "", typed = false) {
  return { body: documentBody(structuredClone(document)), subresource, typed } as const;
}

test("a pod with scheduling gates says so from the start", async () => {
  await using w = await world();
  const made = await make(w.backend, pod("gated", {}, { schedulingGates: [{ name: "g" }] }));
  assert.deepEqual((made.document as Pod).status?.conditions, [
    {
      type: "PodScheduled",
      status: "False",
      reason: "SchedulingGated",
      message: "Scheduling is blocked due to non-empty scheduling gates",
      lastTransitionTime: made.document.metadata?.creationTimestamp,
    },
  ]);
  const free = await make(w.backend, pod("free"));
  assert.equal((free.document as Pod).status?.conditions, undefined);
});

test("create fills in what the server owns; get gives it back", async () => {
  await using w = await world({ now: () => Date.UTC(2026, 10, 23, 10, 0, 0, 500) });
  const made = await make(w.backend, configMap("a", { k: "v" }, { uid: "mine" }));
  const { metadata } = made.document;
  assert.match(metadata?.uid ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(metadata?.creationTimestamp, "2026-11-23T10:00:00Z");
  assert.equal(metadata?.resourceVersion, String(made.revision));
  const got = await get(w.backend, adminCall(), maps, { ...at, name: "a" });
  assert.deepEqual(got.document, made.document);
  assert.equal(JSON.parse(got.json.toString()).metadata.resourceVersion, String(made.revision));
});

test("create refuses in upstream's words", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"));
  const error = await fails(
    make(w.backend, configMap("a")),
    "alreadyExists",
    'configmaps "a" already exists',
  );
  assert.deepEqual(error.detail, {
    reason: "AlreadyExists",
    group: "",
    kind: "configmaps",
    name: "a",
  });
  await fails(
    make(w.backend, configMap("b", {}, { resourceVersion: "7" })),
    "invalidArgument",
    "resourceVersion should not be set on objects to be created",
  );
  await fails(
    make(w.backend, configMap("b", {}, { namespace: "gone" })),
    "notFound",
    'namespaces "gone" not found',
  );
  const nameless = await failure(make(w.backend, pod("x", {}, { containers: [{ image: "i" }] })));
  assert.match(
    nameless.message,
    /^Pod "x" is invalid: .*spec\.containers\[0\]\.name: Required value/,
  );
  assert.ok(nameless.detail?.causes?.some((each) => each.field === "spec.containers[0].name"));
  const bad = await failure(make(w.backend, configMap("UPPER")));
  assert.match(bad.message, /^ConfigMap "UPPER" is invalid: metadata\.name: Invalid value/);
});

test("generateName makes names, dryRun makes nothing", async () => {
  await using w = await world();
  const document = configMap("", {}, { name: undefined, generateName: "gen-" });
  const one = await make(w.backend, document);
  const two = await make(w.backend, document);
  assert.match(one.name, /^gen-.{5}$/);
  assert.notEqual(one.name, two.name);
  const options = { dryRun: ["All"] };
  const dry = await create(w.backend, adminCall(), maps, {
    body: documentBody(configMap("dry")),
    options,
  });
  assert.equal(dry.document.metadata?.name, "dry");
  await fails(
    get(w.backend, adminCall(), maps, { ...at, name: "dry" }),
    "notFound",
    'configmaps "dry" not found',
  );
  await fails(
    create(w.backend, adminCall(), maps, {
      body: documentBody(configMap("dry")),
      options: { dryRun: ["Some"] },
    }),
    "invalidArgument",
    'CreateOptions.meta.k8s.io "" is invalid: ' +
      'dryRun: Unsupported value: ["Some"]: supported values: "All"',
  );
});

test("an object beyond 1.5 MB is refused with its size", async () => {
  await using w = await world();
  const error = await failure(
    make(
      w.backend,
      pod(
        "big",
        { annotations: { a: "x".repeat(200_000) } },
        {
          containers: [{ name: "c", image: "i", args: ["y".repeat(1_572_864)] }],
        },
      ),
    ),
  );
  assert.match(
    error.message,
    /^Request entity too large: limit is 1572864: the object has \d+ bytes/,
  );
});

test("update compares resourceVersion, keeps what the server owns, and writes only changes", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a", { k: "1" }));
  const next = { ...made.copy(), data: { k: "2" } };
  const updated = await update(w.backend, adminCall(), maps, put(next));
  assert.equal(updated.document.metadata?.uid, made.document.metadata?.uid);
  await fails(
    update(w.backend, adminCall(), maps, put(next)),
    "aborted",
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; ' +
      "please apply your changes to the latest version and try again",
  );
  const same = await update(w.backend, adminCall(), maps, put(configMap("a", { k: "2" })));
  assert.equal(same.revision, updated.revision);
  const blind = await update(w.backend, adminCall(), maps, put(configMap("a", { k: "3" })));
  assert.ok(blind.revision > updated.revision);
  await fails(
    update(w.backend, adminCall(), maps, put(configMap("none"))),
    "notFound",
    'configmaps "none" not found',
  );
  await fails(
    update(w.backend, adminCall(), maps, put(configMap("a", {}, { uid: "other" }))),
    "aborted",
    /Precondition failed: UID in precondition: other, UID in object meta: /,
  );
  await fails(
    update(w.backend, adminCall(), maps, put(configMap("a"), "status")),
    "unimplemented",
    "configmaps have no status subresource",
  );
});

const deployment: Document = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "default" },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "main", image: "busybox" }] },
    },
  },
};

test("spec and status are written by their own verbs; generation counts spec changes", async () => {
  await using w = await world();
  const made = await make(w.backend, deployment);
  assert.equal(made.document.metadata?.generation, 1);
  const changed: Document = { ...made.copy(), status: { replicas: 9 } };
  (changed["spec"] as { replicas: number }).replicas = 3;
  const updated = await update(w.backend, adminCall(), deployments, put(changed));
  assert.equal(updated.document.metadata?.generation, 2);
  assert.notEqual((updated.document["status"] as { replicas?: number })?.replicas, 9);
  const status = { ...updated.copy(), status: { replicas: 3 }, spec: { replicas: 99 } };
  const reported = await update(w.backend, adminCall(), deployments, put(status, "status"));
  assert.deepEqual(reported.document["status"], { replicas: 3 });
  assert.equal((reported.document["spec"] as { replicas: number }).replicas, 3);
  assert.equal(reported.document.metadata?.generation, 2);
  await fails(
    get(w.backend, adminCall(), deployments, { ...at, name: "none" }),
    "notFound",
    'deployments.apps "none" not found',
  );
});

test("scale reads and sets replicas", async () => {
  await using w = await world();
  await make(w.backend, deployment);
  const scale = await getScale(w.backend, adminCall(), deployments, { ...at, name: "web" });
  assert.equal(scale.spec?.replicas, 2);
  assert.equal(scale.status?.selector, "app=web");
  const object = { metadata: { name: "web", namespace: "default" }, spec: { replicas: 5 } };
  const after = await updateScale(w.backend, adminCall(), deployments, { object });
  assert.equal(after.spec?.replicas, 5);
});

test("a typed update keeps fields its message does not know", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a", { k: "1" }));
  const stored = { ...made.copy(), fromTheFuture: { x: 1 } };
  const key = Buffer.from(made.key);
  const value = encodeStored(maps, stored);
  await w.store.txn({ compares: [], success: [{ op: "put", key, value }], failure: [] });
  const write = put(configMap("a", { k: "2" }), "", true);
  const updated = await update(w.backend, adminCall(), maps, write);
  assert.deepEqual(updated.document["fromTheFuture"], { x: 1 });
  assert.deepEqual(updated.document["data"], { k: "2" });
});

test("patches of all three types; concurrent ones all land", async () => {
  await using w = await world();
  await make(w.backend, configMap("a", { k: "1" }));
  const apply = (patchType: string, body: unknown) =>
    patch(w.backend, adminCall(), maps, {
      ...at,
      name: "a",
      patchType: `application/${patchType}+json`,
      patch: Buffer.from(JSON.stringify(body)),
    });
  await apply("merge-patch", { data: { m: "1" } });
  await apply("strategic-merge-patch", { metadata: { labels: { s: "1" } } });
  await apply("json-patch", [{ op: "add", path: "/data/j", value: "1" }]);
  await Promise.all(
    Array.from({ length: 8 }, (_, i) => apply("merge-patch", { data: { [`c${i}`]: "x" } })),
  );
  const { document } = await get(w.backend, adminCall(), maps, { ...at, name: "a" });
  const data = document["data"] as object;
  assert.equal(Object.keys(data).length, 11);
  assert.deepEqual(document.metadata?.labels, { s: "1" });
  await fails(
    apply("merge-patch", { metadata: { resourceVersion: "1" } }),
    "aborted",
    /the object has been modified/,
  );
  const unknown = await failure(apply("merge-patch", { foo: 1 }));
  assert.match(unknown.message, /strict decoding error: unknown field "foo"/);
});

test("field validation: Strict refuses, Warn tells, Ignore is silent", async () => {
  const json = Buffer.from(JSON.stringify({ ...pod("x"), extra: 1 }));
  await fails(
    Promise.resolve().then(() => jsonBody(pods, json).decode(adminCall(), undefined)),
    "invalidArgument",
    'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "extra"',
  );
  const warned = adminCall();
  jsonBody(pods, json).decode(warned, { fieldValidation: "Warn" });
  assert.deepEqual(warned.warnings, ['unknown field "extra"']);
  const ignored = adminCall();
  jsonBody(pods, json).decode(ignored, { fieldValidation: "Ignore" });
  assert.deepEqual(ignored.warnings, []);
});

test("lists page at one revision", async () => {
  await using w = await world();
  for (const name of ["a", "b", "c", "d", "e"]) {
    await make(w.backend, configMap(name, {}, { labels: { odd: String("ace".includes(name)) } }));
  }
  const first = await list(w.backend, adminCall(), maps, { ...at, limit: 2 });
  assert.deepEqual(
    first.items.map((each) => each.name),
    ["a", "b"],
  );
  assert.equal(first.metadata.remainingItemCount, 3);
  const odd = await list(w.backend, adminCall(), maps, {
    ...at,
    limit: 2,
    labelSelector: "odd=true",
  });
  assert.equal(odd.metadata.remainingItemCount, undefined, "not counted behind a selector");
  await make(w.backend, configMap("bb"));
  await remove(w.backend, adminCall(), maps, { ...at, name: "c" });
  const next = await list(w.backend, adminCall(), maps, {
    ...at,
    limit: 1,
    continue: first.metadata.continue,
  });
  assert.equal(next.metadata.remainingItemCount, 2, "from history too");
  const rest = await list(w.backend, adminCall(), maps, {
    ...at,
    limit: 10,
    continue: first.metadata.continue,
  });
  assert.deepEqual(
    rest.items.map((each) => each.name),
    ["c", "d", "e"],
  );
  assert.equal(rest.metadata.resourceVersion, first.metadata.resourceVersion);
  assert.equal(rest.metadata.continue, undefined);
  const now = await list(w.backend, adminCall(), maps, { ...at, labelSelector: "odd=true" });
  assert.deepEqual(
    now.items.map((each) => each.name),
    ["a", "e"],
  );
  const named = await list(w.backend, adminCall(), maps, {
    ...at,
    fieldSelector: "metadata.name=d",
  });
  assert.deepEqual(
    named.items.map((each) => each.name),
    ["d"],
  );
  const exact = await list(w.backend, adminCall(), maps, {
    ...at,
    resourceVersion: first.metadata.resourceVersion,
    resourceVersionMatch: "Exact",
  });
  assert.equal(exact.items.length, 5);
  await w.store.compact((await w.store.readRevision()) as never);
  await fails(
    list(w.backend, adminCall(), maps, { ...at, continue: first.metadata.continue }),
    "outOfRange",
    /^The provided continue parameter is too old to display a consistent list result/,
  );
  await fails(
    list(w.backend, adminCall(), maps, {
      ...at,
      resourceVersion: first.metadata.resourceVersion,
      resourceVersionMatch: "Exact",
    }),
    "outOfRange",
    "The resourceVersion for the provided list is too old.",
  );
  await fails(
    list(w.backend, adminCall(), maps, { ...at, continue: "???" }),
    "invalidArgument",
    /^invalid continue token: continue key is not valid/,
  );
});

test("a deletion honours preconditions, grace and finalizers", async () => {
  await using w = await world({ now: () => Date.UTC(2026, 0, 1) });
  await make(w.backend, configMap("held", {}, { finalizers: ["x.io/hold"] }));
  const name = { ...at, name: "held" };
  await fails(
    remove(w.backend, adminCall(), maps, { ...name, preconditions: { uid: "other" } }),
    "aborted",
    /the UID in the precondition \(other\) does not match the UID in record/,
  );
  const status = await remove(w.backend, adminCall(), maps, name);
  assert.equal(status.status, "Success");
  const held = await get(w.backend, adminCall(), maps, name);
  assert.equal(held.document.metadata?.deletionTimestamp, "2026-01-01T00:00:00Z");
  const free = held.copy();
  free.metadata!.finalizers = [];
  await update(w.backend, adminCall(), maps, put(free));
  await fails(get(w.backend, adminCall(), maps, name), "notFound", 'configmaps "held" not found');
  await fails(
    remove(w.backend, adminCall(), maps, name),
    "notFound",
    'configmaps "held" not found',
  );

  await make(w.backend, pod("p"));
  const binding = { metadata: { name: "p", namespace: "default" }, target: { name: "n1" } };
  await bind(w.backend, adminCall(), pods, binding);
  await remove(w.backend, adminCall(), pods, { ...at, name: "p" });
  const going = await get(w.backend, adminCall(), pods, { ...at, name: "p" });
  assert.equal(going.document.metadata?.deletionTimestamp, "2026-01-01T00:00:30Z");
  assert.equal(going.document.metadata?.deletionGracePeriodSeconds, 30);
  await remove(w.backend, adminCall(), pods, { ...at, name: "p", gracePeriodSeconds: 0 });
  await fails(get(w.backend, adminCall(), pods, { ...at, name: "p" }), "notFound", /not found/);
});

test("deleteCollection deletes what is selected", async () => {
  await using w = await world();
  for (const name of ["a", "b", "c"]) {
    await make(w.backend, configMap(name, {}, { labels: { keep: String(name === "b") } }));
  }
  const selection = { ...at, labelSelector: "keep=false" };
  await removeCollection(w.backend, adminCall({ requestId: "dc" }), maps, { selection });
  const left = await list(w.backend, adminCall(), maps, at);
  assert.deepEqual(
    left.items.map((each) => each.name),
    ["b"],
  );
});

test("bind happens once; evict deletes", async () => {
  await using w = await world();
  await make(w.backend, pod("p"));
  const binding = { metadata: { name: "p", namespace: "default" }, target: { name: "n1" } };
  await bind(w.backend, adminCall(), pods, binding);
  const bound = await get(w.backend, adminCall(), pods, { ...at, name: "p" });
  assert.equal((bound.document["spec"] as { nodeName: string }).nodeName, "n1");
  const { conditions } = bound.document["status"] as { conditions: { type: string }[] };
  assert.equal(conditions[0]?.type, "PodScheduled");
  await fails(
    bind(w.backend, adminCall(), pods, { ...binding, target: { name: "n2" } }),
    "aborted",
    'Operation cannot be fulfilled on pods "p": pod p is already assigned to node "n1"',
  );
  const eviction = { metadata: binding.metadata, deleteOptions: { gracePeriodSeconds: 0 } };
  await evict(w.backend, adminCall(), pods, eviction);
  await fails(get(w.backend, adminCall(), pods, { ...at, name: "p" }), "notFound", /not found/);
});
