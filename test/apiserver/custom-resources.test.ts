/** Kinds that users define: served as soon as they are established, by every master. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CustomResourceDefinition } from "../../proto/gen/apiextensions.ts";
import { jsonBody } from "../../services/apiserver/verbs/body.ts";
import {
  type Backend,
  create,
  documentBody,
  get,
  list,
  patch,
  remove,
  update,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import { getScale, updateScale } from "../../services/apiserver/verbs/subresources.ts";
import {
  builtInRegistry,
  type Document,
  isConditionTrue,
  type Resource,
} from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, Reader, world } from "./harness.ts";

type Loose = Record<string, unknown>;

const group = "fleet.example.com";

function masters() {
  return world({ registry: builtInRegistry() });
}

export function oarSchema(extra: Loose = {}): Loose {
  return {
    type: "object",
    properties: {
      spec: {
        type: "object",
        required: ["length"],
        properties: {
          length: { type: "integer", minimum: 1, maximum: 20 },
          wood: { type: "string", default: "ash", enum: ["ash", "spruce"] },
          replicas: { type: "integer", default: 1 },
          parts: {
            type: "array",
            maxItems: 10,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            items: {
              type: "object",
              required: ["name"],
              properties: {
                name: { type: "string", maxLength: 10 },
                port: { "x-kubernetes-int-or-string": true },
              },
            },
          },
          ...extra,
        },
      },
      status: {
        type: "object",
        properties: {
          replicas: { type: "integer" },
          selector: { type: "string" },
          conditions: {
            type: "array",
            items: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
          },
        },
      },
    },
  };
}

export function definition(names: Loose = {}, version: Loose = {}, spec: Loose = {}): Document {
  const plural = (names["plural"] as string | undefined) ?? "oars";
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural, kind: "Oar", shortNames: ["oa"], ...names },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: oarSchema() },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: ".spec.replicas",
              statusReplicasPath: ".status.replicas",
              labelSelectorPath: ".status.selector",
            },
          },
          additionalPrinterColumns: [
            { name: "Length", type: "integer", jsonPath: ".spec.length" },
            {
              name: "Ready",
              type: "string",
              jsonPath: '.status.conditions[?(@.type=="Ready")].status',
            },
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
          selectableFields: [{ jsonPath: ".spec.wood" }],
          ...version,
        },
      ],
      ...spec,
    },
  };
}

function definitionsOf(backend: Backend): Resource {
  return backend.registry.required("apiextensions.k8s.io/v1", "CustomResourceDefinition");
}

export async function define(backend: Backend, document: Document): Promise<Document> {
  const resource = definitionsOf(backend);
  const body = jsonBody(resource, Buffer.from(JSON.stringify(document)));
  return (await create(backend, adminCall(), resource, { body })).document;
}

async function conditions(backend: Backend, name: string): Promise<Record<string, string>> {
  const resource = definitionsOf(backend);
  const { document } = await get(backend, adminCall(), resource, { name });
  const { status } = document as CustomResourceDefinition;
  return Object.fromEntries(
    (status?.conditions ?? []).map(({ type, status, reason, message }) => [
      type,
      `${status} ${reason}: ${message}`,
    ]),
  );
}

export async function established(backend: Backend, plural = "oars"): Promise<Resource> {
  const resource = definitionsOf(backend);
  const key = `/registry/apiextensions.k8s.io/customresourcedefinitions/${plural}.${group}`;
  await eventually(`${plural} are established`, () => {
    const found = backend.cache.of(resource).get(key)?.document as CustomResourceDefinition;
    return isConditionTrue(found?.status?.conditions, "Established");
  });
  await backend.catchUp();
  const served = backend.registry.byPlural(`${group}/v1`, plural);
  assert.ok(served);
  return served;
}

export function send(backend: Backend, resource: Resource, document: Loose, options = {}) {
  const body = jsonBody(resource, Buffer.from(JSON.stringify(document)));
  return create(backend, adminCall(), resource, { body, namespace: "default", options });
}

export function oar(name: string, spec: Loose = { length: 3 }, extra: Loose = {}): Loose {
  return {
    apiVersion: `${group}/v1`,
    kind: "Oar",
    metadata: { name, namespace: "default" },
    spec,
    ...extra,
  };
}

const at = (name: string) => ({ name, namespace: "default" });

test("a definition is established, and its kind is served by every master at once", async () => {
  await using w = await masters();
  const { backend } = w;
  const second = await w.another();
  const made = await define(backend, definition());
  const { status, spec } = made as CustomResourceDefinition;
  assert.deepEqual(status, { acceptedNames: { plural: "", kind: "" }, storedVersions: ["v1"] });
  assert.equal(spec?.names?.singular, "oar");
  assert.equal(spec?.names?.listKind, "OarList");
  assert.deepEqual(spec?.conversion, { strategy: "None" });
  const oars = await established(backend);
  assert.deepEqual(await conditions(backend, `oars.${group}`), {
    NamesAccepted: "True NoConflicts: no conflicts found",
    Established: "True InitialNamesAccepted: the initial names have been accepted",
  });
  assert.equal(backend.registry.find("oa"), oars);
  await second.catchUp();
  const object = await send(
    backend,
    oars,
    oar("a", { length: 3, parts: [{ name: "p", port: 1 }] }),
  );
  assert.deepEqual(object.document["spec"], {
    length: 3,
    parts: [{ name: "p", port: 1 }],
    wood: "ash",
    replicas: 1,
  });
  assert.equal(object.document.metadata?.generation, 1);
});

test("values are held to the schema, in upstream's words", async () => {
  await using w = await masters();
  const { backend } = w;
  await define(backend, definition());
  const oars = await established(backend);
  const cases: [Loose, string][] = [
    [
      { length: "x" },
      'spec.length: Invalid value: "string": spec.length in body must be of type integer: "string"',
    ],
    [{}, "spec.length: Required value"],
    [
      { length: 0 },
      "spec.length: Invalid value: 0: spec.length in body should be greater than or equal to 1",
    ],
    [
      { length: 21 },
      "spec.length: Invalid value: 21: spec.length in body should be less than or equal to 20",
    ],
    [
      { length: 3, wood: "oak" },
      'spec.wood: Unsupported value: "oak": supported values: "ash", "spruce"',
    ],
    [
      { length: 3, parts: [{ name: "p" }, { name: "p" }] },
      'spec.parts[1]: Duplicate value: {"name":"p"}',
    ],
    [
      { length: 3, parts: [{ name: "p", port: true }] },
      'spec.parts[0].port: Invalid value: "boolean": spec.parts[0].port in body must be of type integer,string: "boolean"',
    ],
    [
      { length: 3, parts: [{ name: "01234567890" }] },
      "spec.parts[0].name: Too long: may not be more than 10 bytes",
    ],
  ];
  for (const [spec, expected] of cases) {
    await fails(
      send(backend, oars, oar("a", spec)),
      "invalidArgument",
      `Oar.fleet.example.com "a" is invalid: ${expected}`,
    );
  }
  await fails(
    send(backend, oars, oar("a", { length: 3, colour: "red", parts: [{ name: "p", more: {} }] })),
    "invalidArgument",
    'Oar in version "v1" cannot be handled as a Oar: strict decoding error: ' +
      'unknown field "spec.colour", unknown field "spec.parts[0].more"',
  );
  const pruned = await send(backend, oars, oar("b", { length: 3, colour: "red" }), {
    fieldValidation: "Ignore",
  });
  assert.deepEqual(pruned.document["spec"], { length: 3, wood: "ash", replicas: 1 });
});

test("rules of the schema hold for creations and updates", async () => {
  await using w = await masters();
  const { backend } = w;
  const grip = {
    type: "object",
    properties: { width: { type: "integer" }, shape: { type: "string", maxLength: 20 } },
    "x-kubernetes-validations": [
      { rule: "self.width > 1", message: "a grip is wider" },
      { rule: "self.shape == oldSelf.shape", messageExpression: "'stays ' + oldSelf.shape" },
    ],
  };
  await define(backend, definition({}, { schema: { openAPIV3Schema: oarSchema({ grip }) } }));
  const oars = await established(backend);
  const round = { length: 3, grip: { width: 3, shape: "round" } };
  await fails(
    send(backend, oars, oar("a", { ...round, grip: { width: 1, shape: "round" } })),
    "invalidArgument",
    'Oar.fleet.example.com "a" is invalid: spec.grip: Invalid value: "object": a grip is wider',
  );
  await fails(
    send(backend, oars, oar("a", { length: "x", grip: { width: 1, shape: "round" } })),
    "invalidArgument",
    /must be of type integer: "string", <nil>: Invalid value: null: some validation rules were not checked/,
  );
  await send(backend, oars, oar("a", round));
  const change = (grip: Loose) =>
    patch(backend, adminCall(), oars, {
      ...at("a"),
      patchType: "application/merge-patch+json",
      patch: Buffer.from(JSON.stringify({ spec: { grip } })),
    });
  await fails(
    change({ shape: "flat" }),
    "invalidArgument",
    'Oar.fleet.example.com "a" is invalid: spec.grip: Invalid value: "object": stays round',
  );
  await change({ width: 9 });
  const broken = definition(
    { plural: "paddles" },
    {
      schema: {
        openAPIV3Schema: oarSchema({
          grip: {
            type: "string",
            maxLength: 5,
            "x-kubernetes-validations": [{ rule: "self.nope" }],
          },
        }),
      },
    },
  );
  await fails(
    define(backend, broken),
    "invalidArgument",
    /spec\.validation\.openAPIV3Schema\.properties\[spec\]\.properties\[grip\]\.x-kubernetes-validations\[0\]\.rule: Invalid value: .*compilation failed: ERROR: <input>:1:5/s,
  );
});

test("status and scale are written apart, and generations count changes of the rest", async () => {
  await using w = await masters();
  const { backend } = w;
  await define(backend, definition());
  const oars = await established(backend);
  const made = await send(backend, oars, oar("a", undefined, { status: { replicas: 9 } }));
  assert.equal(made.document["status"], undefined);
  const next = { ...made.copy(), status: { replicas: 2, selector: "app=a" }, spec: { length: 99 } };
  const request = { options: {}, typed: false };
  const updated = await update(backend, adminCall(), oars, {
    body: documentBody(next),
    subresource: "status",
    ...request,
  });
  assert.deepEqual(updated.document["status"], { replicas: 2, selector: "app=a" });
  assert.deepEqual(updated.document["spec"], { length: 3, wood: "ash", replicas: 1 });
  assert.equal(updated.document.metadata?.generation, 1);
  const scale = await getScale(backend, adminCall(), oars, at("a"));
  assert.deepEqual(
    [scale.spec, scale.status],
    [{ replicas: 1 }, { replicas: 2, selector: "app=a" }],
  );
  await updateScale(backend, adminCall(), oars, {
    object: { metadata: at("a"), spec: { replicas: 5 } },
    namespace: "default",
  });
  const { document } = await get(backend, adminCall(), oars, at("a"));
  assert.deepEqual(document["spec"], { length: 3, wood: "ash", replicas: 5 });
  assert.equal(document.metadata?.generation, 2);
});

test("lists select by fields of the definition and show its columns", async () => {
  await using w = await masters();
  const { backend } = w;
  await define(backend, definition());
  const oars = await established(backend);
  await send(backend, oars, oar("a"));
  await send(backend, oars, oar("b", { length: 4, wood: "spruce" }));
  const spruce = await list(backend, adminCall(), oars, { fieldSelector: "spec.wood=spruce" });
  assert.deepEqual(
    spruce.items.map(({ name }) => name),
    ["b"],
  );
  await fails(
    list(backend, adminCall(), oars, { fieldSelector: "spec.length=3" }),
    "invalidArgument",
    "field label not supported: spec.length",
  );
  const now = Date.parse("2026-01-01T01:00:00Z");
  const shown: Document = {
    metadata: { name: "a", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { length: 3 },
    status: {
      conditions: [
        { type: "Seen", status: "False" },
        { type: "Ready", status: "True" },
      ],
    },
  };
  assert.deepEqual(
    oars.columns.map(({ name, type }) => [name, type]),
    [
      ["Name", undefined],
      ["Length", "integer"],
      ["Ready", "string"],
      ["Age", "date"],
    ],
  );
  assert.deepEqual(
    oars.columns.map(({ value }) => value(shown, now)),
    ["a", 3, "True", "60m"],
  );
  assert.deepEqual(
    oars.columns.map(({ value }) => value({ metadata: { name: "b" }, spec: {} }, now)),
    ["b", null, null, null],
  );
});

test("versions show one object; what is stored in an old version is read in the new one", async () => {
  await using w = await masters();
  const { backend } = w;
  const beta = {
    name: "v1beta1",
    served: true,
    storage: true,
    deprecated: true,
    schema: { openAPIV3Schema: oarSchema() },
  };
  const v1 = {
    ...beta,
    name: "v1",
    storage: false,
    deprecated: false,
    schema: { openAPIV3Schema: oarSchema({ grip: { type: "string", default: "cork" } }) },
  };
  await define(backend, definition({}, {}, { versions: [beta, v1] }));
  const newer = await established(backend);
  const older = backend.registry.byPlural(`${group}/v1beta1`, "oars");
  assert.ok(older);
  const call = adminCall();
  const body = jsonBody(
    older,
    Buffer.from(JSON.stringify({ ...oar("a"), apiVersion: `${group}/v1beta1` })),
  );
  const made = await create(backend, call, older, { body, namespace: "default" });
  assert.deepEqual(call.warnings, [`${group}/v1beta1 Oar is deprecated`]);
  assert.deepEqual(made.document["spec"], { length: 3, wood: "ash", replicas: 1 });
  const seen = await get(backend, adminCall(), newer, at("a"));
  assert.equal(seen.document.apiVersion, `${group}/v1`);
  assert.deepEqual(seen.document["spec"], { length: 3, wood: "ash", replicas: 1, grip: "cork" });

  const resource = definitionsOf(backend);
  const present = await get(backend, adminCall(), resource, { name: `oars.${group}` });
  const next = present.copy() as CustomResourceDefinition;
  for (const version of next.spec?.versions ?? []) version.storage = version.name === "v1";
  const changed = await update(backend, adminCall(), resource, {
    body: documentBody(next as Document),
    subresource: "",
    typed: false,
  });
  const { status } = changed.document as CustomResourceDefinition;
  assert.deepEqual(status?.storedVersions, ["v1beta1", "v1"]);
  await backend.catchUp();
  const again = backend.registry.byPlural(`${group}/v1`, "oars");
  assert.ok(again);
  const kept = await get(backend, adminCall(), again, at("a"));
  assert.deepEqual(kept.document["spec"], seen.document["spec"]);
  await patch(backend, adminCall(), again, {
    ...at("a"),
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"spec":{"length":5}}'),
  });
  const stored = await w.store.range({ key: Buffer.from(`/registry/${group}/oars/default/a`) });
  const text = JSON.parse(Buffer.from(stored.kvs[0]?.value ?? "").toString()) as Document;
  assert.equal(text.apiVersion, `${group}/v1`);
  const only = { ...next, spec: { ...next.spec, versions: next.spec?.versions?.slice(1) } };
  if (only.metadata) only.metadata.resourceVersion = changed.document.metadata?.resourceVersion;
  await fails(
    update(backend, adminCall(), resource, {
      body: documentBody(only as Document),
      subresource: "",
      typed: false,
    }),
    "invalidArgument",
    /status\.storedVersions\[0\]: Invalid value: "v1beta1": must appear in spec\.versions/,
  );
});

test("names are granted to the first that wants them", async () => {
  await using w = await masters();
  const { backend } = w;
  await define(backend, definition());
  await established(backend);
  await define(backend, definition({ plural: "paddles", kind: "Oar" }));
  await eventually(
    "the second is looked at",
    () =>
      backend.cache
        .of(definitionsOf(backend))
        .get(`/registry/apiextensions.k8s.io/customresourcedefinitions/paddles.${group}`)?.document[
        "status"
      ] !== undefined,
  );
  const look = () => conditions(backend, `paddles.${group}`);
  while ((await look())["NamesAccepted"] === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(await look(), {
    NamesAccepted: 'False ListKindConflict: "OarList" is already in use',
    Established: "False NotAccepted: not all names are accepted",
  });
  assert.equal(backend.registry.byPlural(`${group}/v1`, "paddles"), undefined);
  await remove(backend, adminCall(), definitionsOf(backend), { name: `oars.${group}` });
  await established(backend, "paddles");
});

test("a deleted definition takes its objects along, and then goes", async () => {
  await using w = await masters();
  const { backend } = w;
  await define(backend, definition());
  const oars = await established(backend);
  await send(backend, oars, oar("a"));
  const held = { ...oar("b"), metadata: { ...at("b"), finalizers: ["example.com/hold"] } };
  await send(backend, oars, held);
  const abort = new AbortController();
  const reader = new Reader(
    watch(backend, adminCall({ signal: abort.signal }), oars, { namespace: "default" }),
    abort,
  );
  await eventually("both are there", () => reader.items.length === 2);
  const resource = definitionsOf(backend);
  const name = `oars.${group}`;
  await remove(backend, adminCall(), resource, { name });
  const began = await get(backend, adminCall(), resource, { name });
  assert.ok(
    began.document.metadata?.finalizers?.includes("customresourcecleanup.apiextensions.k8s.io"),
  );
  const terminating = () => backend.registry.byPlural(`${group}/v1`, "oars");
  await eventually("the masters know", () => terminating() !== oars);
  const present = terminating();
  assert.ok(present);
  await fails(
    send(backend, present, oar("c")),
    "unimplemented",
    "create not allowed while custom resource definition is terminating",
  );
  for (;;) {
    const { items } = await list(backend, adminCall(), present, { namespace: "default" });
    if (items.length === 1 && items[0]?.document.metadata?.deletionTimestamp) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await patch(backend, adminCall(), present, {
    ...at("b"),
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"metadata":{"finalizers":null}}'),
  });
  await eventually("the kind is gone", () => terminating() === undefined);
  await fails(get(backend, adminCall(), resource, { name }), "notFound", /not found/);
  const left = await w.store.range({
    key: Buffer.from(`/registry/${group}/`),
    rangeEnd: Buffer.from(`/registry/${group}0`),
  });
  assert.equal(left.kvs.length, 0);
  await reader.stop();
});
