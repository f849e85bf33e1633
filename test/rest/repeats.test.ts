/** A request id over REST: a repeat is answered as the first was, any other use of it is refused. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Ask, type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;

before(async () => {
  world = await restWorld();
});
after(() => world[Symbol.asyncDispose]());

const maps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

interface Row {
  readonly name: string;
  /** Makes what the request is about. */
  readonly make: () => Promise<{ path: string; ask: Ask; other: Ask }>;
}

async function made(path: string, body: object) {
  const { status, json, text } = await world.ask(path, { method: "POST", body });
  assert.equal(status, 201, text);
  return json;
}

const spec = { containers: [{ name: "c", image: "i" }] };
const jsonPatch = { "content-type": "application/json-patch+json" };
const patchOf = (body: object): Ask => ({ method: "PATCH", headers: jsonPatch, body });

const rows: Row[] = [
  {
    name: "create",
    make: async () => ({
      path: maps,
      ask: { method: "POST", body: { metadata: { name: "made" } } },
      other: { method: "POST", body: { metadata: { name: "made" }, data: { a: "b" } } },
    }),
  },
  {
    name: "update",
    make: async () => {
      const map = await made(maps, { metadata: { name: "updated" } });
      const next = (value: string): Ask => ({ method: "PUT", body: { ...map, data: { value } } });
      return { path: `${maps}/updated`, ask: next("1"), other: next("2") };
    },
  },
  {
    name: "JSON patch with a test",
    make: async () => {
      await made(maps, { metadata: { name: "patched" }, data: { k: "1" } });
      const operations = [
        { op: "test", path: "/data/k", value: "1" },
        { op: "replace", path: "/data/k", value: "2" },
      ];
      return {
        path: `${maps}/patched`,
        ask: patchOf(operations),
        other: patchOf(operations.slice(1)),
      };
    },
  },
  {
    name: "delete",
    make: async () => {
      await made(maps, { metadata: { name: "deleted" } });
      const other = { method: "DELETE", body: { propagationPolicy: "Orphan" } };
      return { path: `${maps}/deleted`, ask: { method: "DELETE" }, other };
    },
  },
  {
    name: "evict",
    make: async () => {
      await made(pods, { metadata: { name: "evicted" }, spec });
      const eviction = (seconds: number): Ask => ({
        method: "POST",
        body: {
          ...{ apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "evicted" } },
          deleteOptions: { gracePeriodSeconds: seconds },
        },
      });
      return { path: `${pods}/evicted/eviction`, ask: eviction(0), other: eviction(1) };
    },
  },
  {
    name: "bind",
    make: async () => {
      await made(pods, { metadata: { name: "bound" }, spec });
      const binding = (name: string): Ask => ({
        method: "POST",
        body: {
          ...{ apiVersion: "v1", kind: "Binding", metadata: { name: "bound" } },
          target: { kind: "Node", name },
        },
      });
      return { path: `${pods}/bound/binding`, ask: binding("n1"), other: binding("n2") };
    },
  },
  {
    name: "create a binding",
    make: async () => {
      await made(pods, { metadata: { name: "assigned" }, spec });
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: "assigned" } };
      const binding = (name: string): Ask => ({
        method: "POST",
        body: { ...body, target: { kind: "Node", name } },
      });
      const path = pods.replace(/pods$/, "bindings");
      return { path, ask: binding("n1"), other: binding("n2") };
    },
  },
];

for (const { name, make } of rows) {
  test(`${name}: answered once more as it was, refused for another body or user`, async () => {
    const { path, ask, other } = await make();
    const withId = (of: Ask): Ask => ({
      ...of,
      headers: { ...of.headers, "trireme-request-id": `id-of-${name.replaceAll(" ", "-")}` },
    });
    const first = await world.ask(path, withId(ask));
    assert.ok(first.status === 200 || first.status === 201, first.text);
    const again = await world.ask(path, withId(ask));
    assert.deepEqual([again.status, again.text], [first.status, first.text]);
    const without = await world.ask(path, ask);
    if (name !== "update") assert.ok(without.status >= 400, `${name} without an id is another`);
    const used = /request id "id-of-.*" was used for another request/;
    const refused = await world.ask(path, withId(other));
    assert.match(refused.json?.message ?? refused.text, used, `another body: ${refused.status}`);
    const as = await world.user("second", "system:masters");
    const stolen = await world.ask(path, { ...withId(ask), as });
    assert.match(stolen.json?.message ?? stolen.text, used, `another user: ${stolen.status}`);
    assert.ok(refused.status >= 400 && refused.status < 500 && stolen.status === refused.status);
  });
}

test("ids that are none are refused", async () => {
  const body = { metadata: { name: "none" } };
  for (const id of ["x".repeat(113), "a b", "a\tb"]) {
    const headers = { "trireme-request-id": id };
    const { status, json } = await world.ask(maps, { method: "POST", headers, body });
    assert.equal(status, 400);
    assert.match(json.message, /trireme-request-id: must be 1 to 112 printable characters/);
  }
});
