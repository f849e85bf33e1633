/** Many objects of a kind that goes, and many kinds that come at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CustomResourceDefinition } from "../../proto/gen/apiextensions.ts";
import { jsonBody } from "../../services/apiserver/verbs/body.ts";
import { type Backend, create, list, patch, remove } from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, isConditionTrue, type Resource } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, world } from "./harness.ts";

const group = "fleet.example.com";
const objects = 1_000;
const kinds = 200;

const definitionsOf = ({ registry }: Backend) =>
  registry.required("apiextensions.k8s.io/v1", "CustomResourceDefinition");

function stored(backend: Backend, plural: string): CustomResourceDefinition | undefined {
  const key = `/registry/apiextensions.k8s.io/customresourcedefinitions/${plural}.${group}`;
  return backend.cache.of(definitionsOf(backend)).get(key)?.document as CustomResourceDefinition;
}

function post(backend: Backend, resource: Resource, document: object, namespace = "") {
  const body = jsonBody(resource, Buffer.from(JSON.stringify(document)));
  return create(backend, adminCall(), resource, { body, namespace });
}

function define(backend: Backend, plural: string) {
  const names = { plural, kind: plural.toUpperCase() };
  const schema = {
    openAPIV3Schema: { type: "object", properties: { spec: { type: "object" } } },
  };
  const versions = [{ name: "v1", served: true, storage: true, schema }];
  return post(backend, definitionsOf(backend), {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: { group, scope: "Namespaced", names, versions },
  });
}

async function established(backend: Backend, plural: string): Promise<Resource> {
  await eventually(`${plural} are established`, () =>
    isConditionTrue(stored(backend, plural)?.status?.conditions, "Established"),
  );
  await backend.catchUp();
  const served = backend.registry.byPlural(`${group}/v1`, plural);
  assert.ok(served);
  return served;
}

function send(backend: Backend, resource: Resource, name: string, finalizers: string[] = []) {
  const { kind } = resource;
  const metadata = { name, finalizers };
  return post(backend, resource, { apiVersion: `${group}/v1`, kind, metadata }, "default");
}

test("a thousand objects go with their definition, which comes back empty at once", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  await define(backend, "oars");
  const oars = await established(backend, "oars");
  const numbers = Array.from({ length: objects }, (_, index) => index).values();
  const work = async () => {
    for (const index of numbers) {
      await send(backend, oars, `o${index}`, index % 100 === 0 ? ["example.com/hold"] : []);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  const definitions = definitionsOf(backend);
  await remove(backend, adminCall(), definitions, { name: `oars.${group}` });
  await eventually(
    "it is terminating",
    () => backend.registry.byPlural(`${group}/v1`, "oars") !== oars,
  );
  const terminating = backend.registry.byPlural(`${group}/v1`, "oars");
  assert.ok(terminating);
  const at = { namespace: "default" };
  for (;;) {
    const { items } = await list(backend, adminCall(), terminating, at);
    const held = items.filter(({ document }) => document.metadata?.finalizers?.length === 1);
    assert.equal(held.length, objects / 100, "those that are held stay");
    if (items.length === objects / 100) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await fails(define(backend, "oars"), "alreadyExists", /already exists/);
  for (let index = 0; index < objects; index += 100) {
    await patch(backend, adminCall(), terminating, {
      ...{ namespace: "default", name: `o${index}` },
      patchType: "application/merge-patch+json",
      patch: Buffer.from('{"metadata":{"finalizers":null}}'),
    });
  }
  await eventually("the definition is gone", () => stored(backend, "oars") === undefined);
  await define(backend, "oars");
  const again = await established(backend, "oars");
  assert.deepEqual((await list(backend, adminCall(), again, at)).items, []);
  await send(backend, again, "o1");
  assert.equal((await list(backend, adminCall(), again, at)).items.length, 1);
});

test("two hundred definitions at once are all established and served", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const plurals = Array.from({ length: kinds }, (_, index) => `oar${index}s`);
  await Promise.all(plurals.map((plural) => define(backend, plural)));
  for (const plural of plurals) await send(backend, await established(backend, plural), "a");
});
