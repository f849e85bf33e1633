/** Resources that show objects which are kept as another resource: all verbs, watches, selectors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  documentBody,
  get,
  list,
  patch,
  remove,
  removeCollection,
  update,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import {
  builtInRegistry,
  type Document,
  defineResource,
  type Resource,
} from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, Reader, world } from "./harness.ts";

type Part = Record<string, unknown> | undefined;

const metres = defineResource({
  group: "fleet.example.com",
  version: "v1",
  kind: "Oar",
  plural: "oars",
  selectableFields: { "spec.metres": (document) => String((document["spec"] as Part)?.["metres"]) },
});

function rename(document: Document, from: string, to: string): Document {
  const spec = document["spec"] as Part;
  if (spec === undefined || !Object.hasOwn(spec, from)) return document;
  const { [from]: value, ...rest } = spec;
  return { ...document, spec: { ...rest, [to]: value } };
}

/** Another version, whose field has another name. */
const lengths = defineResource({
  group: "fleet.example.com",
  version: "v1beta1",
  kind: "Oar",
  plural: "oars",
  selectableFields: { "spec.length": (document) => String((document["spec"] as Part)?.["length"]) },
  storedAs: {
    resource: metres,
    toStored: (document) => rename(document, "length", "metres"),
    fromStored: (document) => rename(document, "metres", "length"),
  },
});

/** Another group and kind with the same fields. */
const paddles = defineResource({
  group: "paddles.example.com",
  version: "v1",
  kind: "Paddle",
  plural: "paddles",
  storedAs: { resource: metres, toStored: (each) => each, fromStored: (each) => each },
});

let conversions = 0;

/** Converted by another program, so it seems. */
const remote = defineResource({
  group: "fleet.example.com",
  version: "v2",
  kind: "Oar",
  plural: "oars",
  selectableFields: { "spec.span": (document) => String((document["spec"] as Part)?.["span"]) },
  storedAs: {
    resource: metres,
    toStored: () => assert.fail("the remote conversion is asked"),
    fromStored: () => assert.fail("the remote conversion is asked"),
    remote: {
      toStored: async (document) => rename(structuredClone(document), "span", "metres"),
      async fromStored(documents) {
        conversions += 1;
        await new Promise((resolve) => setImmediate(resolve));
        return documents.map((document) => rename(document, "metres", "span"));
      },
    },
  },
});

const all = [metres, lengths, paddles, remote];

function fleet(resources: readonly Resource[] = all) {
  const registry = builtInRegistry();
  for (const resource of resources) registry.add(resource);
  return world({ registry });
}

function oar(resource: Resource, name: string, spec: object, extra: object = {}): Document {
  const apiVersion = `${resource.group}/${resource.version}`;
  return {
    apiVersion,
    kind: resource.kind,
    metadata: { name, namespace: "default", ...extra },
    spec,
  };
}

const at = (name: string) => ({ name, namespace: "default" });

test("each resource shows the object in its own form, whichever wrote it", async () => {
  await using w = await fleet();
  const { backend } = w;
  const body = documentBody(oar(lengths, "a", { length: 3, wood: "ash" }));
  const made = await create(backend, adminCall(), lengths, { body });
  assert.equal(made.document.apiVersion, "fleet.example.com/v1beta1");
  assert.deepEqual(made.document["spec"], { wood: "ash", length: 3 });
  const stored = await w.store.range({
    key: Buffer.from("/registry/fleet.example.com/oars/default/a"),
  });
  const text = JSON.parse(Buffer.from(stored.kvs[0]?.value ?? "").toString()) as Document;
  assert.equal(text.apiVersion, "fleet.example.com/v1");
  assert.deepEqual(text["spec"], { wood: "ash", metres: 3 });

  const forms = [];
  for (const resource of all) {
    const { document, json } = await get(backend, adminCall(), resource, at("a"));
    assert.deepEqual(JSON.parse(json.toString()), document);
    assert.equal(document.metadata?.resourceVersion, String(made.revision));
    assert.equal(document.metadata?.uid, made.document.metadata?.uid);
    forms.push([document.apiVersion, document.kind, document["spec"]]);
  }
  assert.deepEqual(forms, [
    ["fleet.example.com/v1", "Oar", { wood: "ash", metres: 3 }],
    ["fleet.example.com/v1beta1", "Oar", { wood: "ash", length: 3 }],
    ["paddles.example.com/v1", "Paddle", { wood: "ash", metres: 3 }],
    ["fleet.example.com/v2", "Oar", { wood: "ash", span: 3 }],
  ]);
  const again = await get(backend, adminCall(), lengths, at("a"));
  const once = await get(backend, adminCall(), lengths, at("a"));
  assert.equal(again.json, once.json, "the bytes of a version are made once");
});

test("updates, patches and deletions go to the one stored object", async () => {
  await using w = await fleet();
  const { backend } = w;
  await create(backend, adminCall(), metres, {
    body: documentBody(oar(metres, "a", { metres: 3 })),
  });
  const present = await get(backend, adminCall(), lengths, at("a"));
  const next = present.copy();
  next["spec"] = { length: 4 };
  const request = { options: {}, subresource: "" as const, typed: false };
  const updated = await update(backend, adminCall(), lengths, {
    body: documentBody(next),
    ...request,
  });
  assert.deepEqual(updated.document["spec"], { length: 4 });
  await fails(
    update(backend, adminCall(), paddles, {
      body: documentBody({
        ...oar(paddles, "a", {}),
        metadata: { ...at("a"), resourceVersion: String(present.revision) },
      }),
      ...request,
    }),
    "aborted",
    /has been modified/,
  );
  const patched = await patch(backend, adminCall(), remote, {
    ...at("a"),
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"spec":{"span":5}}'),
  });
  assert.deepEqual(patched.document["spec"], { span: 5 });
  const seen = await get(backend, adminCall(), metres, at("a"));
  assert.deepEqual(seen.document["spec"], { metres: 5 });
  await remove(backend, adminCall(), paddles, at("a"));
  await fails(get(backend, adminCall(), metres, at("a")), "notFound", /oars.* "a" not found/);
});

test("lists and their selectors are about the form that is asked for", async () => {
  await using w = await fleet();
  const { backend } = w;
  for (const [name, length] of [
    ["a", 1],
    ["b", 2],
    ["c", 2],
  ] as const) {
    const document = oar(
      metres,
      name,
      { metres: length },
      { labels: { long: String(length > 1) } },
    );
    await create(backend, adminCall(), metres, { body: documentBody(document) });
  }
  const names = async (resource: Resource, request: object) =>
    (await list(backend, adminCall(), resource, { namespace: "default", ...request })).items.map(
      ({ document }) => document.metadata?.name,
    );
  assert.deepEqual(await names(lengths, { fieldSelector: "spec.length=2" }), ["b", "c"]);
  assert.deepEqual(await names(metres, { fieldSelector: "spec.metres=2" }), ["b", "c"]);
  assert.deepEqual(await names(remote, { fieldSelector: "spec.span=2" }), ["b", "c"]);
  assert.deepEqual(await names(remote, { labelSelector: "long=true" }), ["b", "c"]);
  await fails(
    list(backend, adminCall(), lengths, { fieldSelector: "spec.metres=2" }),
    "invalidArgument",
    "field label not supported: spec.metres",
  );
  const before = conversions;
  const first = await list(backend, adminCall(), remote, { namespace: "default", limit: 2 });
  assert.equal(first.metadata.remainingItemCount, 1);
  const next = { namespace: "default", limit: 2, continue: first.metadata.continue };
  await create(backend, adminCall(), metres, { body: documentBody(oar(metres, "d", {})) });
  const second = await list(backend, adminCall(), remote, next);
  assert.deepEqual(
    second.items.map(({ document }) => [document.metadata?.name, document["spec"]]),
    [["c", { span: 2 }]],
  );
  assert.ok(conversions - before <= 2, "many are converted at once");
  await removeCollection(backend, adminCall(), lengths, {
    selection: { namespace: "default", fieldSelector: "spec.length=2" },
  });
  await backend.cache.waitFor((await w.store.range({ key: Buffer.from("/") })).revision);
  assert.deepEqual(await names(metres, {}), ["a", "d"]);
});

test("one change is an event of each resource, in its form, from any resourceVersion on", async () => {
  await using w = await fleet();
  const { backend } = w;
  const begin = (resource: Resource, request: object = {}) => {
    const abort = new AbortController();
    const call = adminCall({ signal: abort.signal });
    return new Reader(watch(backend, call, resource, { namespace: "default", ...request }), abort);
  };
  const readers = all.map((resource) => begin(resource));
  const long = begin(lengths, { fieldSelector: "spec.length=4" });
  const first = await create(backend, adminCall(), metres, {
    body: documentBody(oar(metres, "a", { metres: 3 })),
  });
  for (const value of [4, 5]) {
    await patch(backend, adminCall(), lengths, {
      ...at("a"),
      patchType: "application/merge-patch+json",
      patch: Buffer.from(JSON.stringify({ spec: { length: value } })),
    });
  }
  await remove(backend, adminCall(), metres, at("a"));
  for (const reader of readers) await eventually("four events", () => reader.items.length === 4);
  const fields = ["metres", "length", "metres", "span"];
  for (const [index, reader] of readers.entries()) {
    const field = fields[index] ?? "";
    assert.deepEqual(
      reader.items.map(({ type, object }) => [type, object.document["spec"]]),
      [
        ["ADDED", { [field]: 3 }],
        ["MODIFIED", { [field]: 4 }],
        ["MODIFIED", { [field]: 5 }],
        ["DELETED", { [field]: 5 }],
      ],
    );
    const versions = reader.items.map(({ object }) => object.document.metadata?.resourceVersion);
    assert.deepEqual(
      versions,
      readers[0]?.items.map(({ object }) => String(object.revision)),
    );
  }
  await eventually("the selection is entered and left", () => long.items.length === 2);
  assert.deepEqual(
    long.items.map(({ type, object }) => [type, object.document["spec"]]),
    [
      ["ADDED", { length: 4 }],
      ["DELETED", { length: 4 }],
    ],
  );
  const resumed = begin(paddles, { resourceVersion: String(first.revision) });
  await eventually("what followed", () => resumed.items.length === 3);
  assert.deepEqual(
    resumed.items.map(({ type, object }) => [type, object.document.kind]),
    [
      ["MODIFIED", "Paddle"],
      ["MODIFIED", "Paddle"],
      ["DELETED", "Paddle"],
    ],
  );
  for (const reader of [...readers, long, resumed]) await reader.stop();
  const refused = begin(remote, { fieldSelector: "spec.span=4" });
  await refused.done;
  assert.match(refused.error?.message ?? "", /can only select by metadata/);
});

test("the stored resource need not be served, and one that goes takes no other along", async () => {
  await using w = await fleet([lengths, paddles]);
  const { backend } = w;
  await create(backend, adminCall(), paddles, {
    body: documentBody(oar(paddles, "a", { metres: 3 })),
  });
  const abort = new AbortController();
  const gone = new Reader(
    watch(backend, adminCall({ signal: abort.signal }), lengths, { namespace: "default" }),
    abort,
  );
  await eventually("the watch shows the object", () => gone.items.length === 1);
  backend.registry.remove(lengths);
  await gone.done;
  await fails(get(backend, adminCall(), lengths, at("a")), "notFound", /resource type/);
  await fails(get(backend, adminCall(), metres, at("a")), "notFound", /resource type/);
  const { document } = await get(backend, adminCall(), paddles, at("a"));
  assert.deepEqual(document["spec"], { metres: 3 });
  backend.registry.add(lengths);
  const back = await get(backend, adminCall(), lengths, at("a"));
  assert.deepEqual(back.document["spec"], { length: 3 });
});
