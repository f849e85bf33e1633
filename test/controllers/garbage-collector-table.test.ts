/**
 * What becomes of owners and dependents, as upstream documents it: one row a case, each in a
 * namespace of its own.
 *
 * An object is written `name`, `name<owner,other`, with `!owner` where it blocks the deletion of its
 * owner, and `@finalizer` for what holds it. What is left is written the same way, with `~` before
 * what is under deletion.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { ConfigMap } from "../../proto/gen/core.ts";
import type { OwnerReference } from "../../proto/gen/meta.ts";
import { garbageCollector } from "../../services/controllers/garbage-collector/controller.ts";
import { harness } from "./harness.ts";

type Policy = "Background" | "Foreground" | "Orphan";
type World = Awaited<ReturnType<typeof harness>>;

const held = "example.com/held";
const rows: readonly [title: string, given: string, deleted: string, Policy, left: string][] = [
  ["dependents of dependents go", "a b<a c<b", "a", "Background", ""],
  ["whether or not they block their owner", "a b<!a c<!b", "a", "Background", ""],
  ["another owner keeps a dependent", "a x b<a,x", "a", "Background", "b<x x"],
  ["an owner that never was keeps none", "a b<a,ghost", "a", "Background", ""],
  ["a living owner keeps it from one that never was", "a b<a,ghost", "", "Background", "a b<a"],
  ["nothing is left of two ghosts", "b<ghost,phantom", "", "Background", ""],
  ["a held dependent does not hold its owner", "a b<!a@held", "a", "Background", "~b<!a@held"],
  ["an owner that is held still is an owner", "a@held b<a", "a", "Background", "b<a ~a@held"],
  ["orphans stay, and theirs", "a b<a c<b", "a", "Orphan", "b c<b"],
  ["orphans keep their other owners", "a x b<a,!x", "a", "Orphan", "b<!x x"],
  ["orphans that are held", "a b<!a@held", "a", "Orphan", "b@held"],
  ["in the foreground all go", "a b<!a c<!b", "a", "Foreground", ""],
  ["nothing to wait for", "a", "a", "Foreground", ""],
  [
    "a dependent that blocks is waited for",
    "a b<!a@held",
    "a",
    "Foreground",
    "~a@foregroundDeletion ~b<!a@held",
  ],
  ["one that does not block is not", "a b<a@held", "a", "Foreground", "~b<a@held"],
  [
    "a dependent with dependents goes in the foreground too",
    "a b<!a c<!b@held",
    "a",
    "Foreground",
    "~a@foregroundDeletion ~b<!a@foregroundDeletion ~c<!b@held",
  ],
  [
    "a dependent whose dependents do not block is not waited for long",
    "a b<!a c<b@held",
    "a",
    "Foreground",
    "~c<b@held",
  ],
  ["another owner frees it from one that waits", "a x b<!a,x", "a", "Foreground", "b<x x"],
  ["an owner of two waits for both", "a b<!a c<!a", "a", "Foreground", ""],
  ["a dependent of two that go", "a x b<!a,!x", "a x", "Foreground", ""],
  ["the wish to be orphaned outlives an owner", "a b<a@orphan c<b", "a", "Background", "c"],
  [
    "the wish to go in the foreground too",
    "a b<a@foregroundDeletion c<!b@held",
    "a",
    "Background",
    "~b<a@foregroundDeletion ~c<!b@held",
  ],
  [
    "wishes alone delete nothing",
    "a@orphan b<a@foregroundDeletion",
    "",
    "Background",
    "a@orphan b<a@foregroundDeletion",
  ],
];

suite("garbage collector", () => {
  let world: World;
  before(async () => {
    world = await harness(garbageCollector(4));
  });
  after(async () => {
    await world.end();
  });

  for (const [index, [title, given, deleted, propagationPolicy, left]] of rows.entries()) {
    test(`${propagationPolicy}: ${title}`, async () => {
      const { api, client, clock } = world;
      const namespace = `row-${index}`;
      await client.namespaces.create({ metadata: { name: namespace } });
      await make(world, namespace, given.split(" "));
      await clock.advance(100);
      for (const name of deleted.split(" ").filter(Boolean)) {
        await client.configMaps.delete(name, namespace, { propagationPolicy });
      }
      await clock.advance(3_000);
      const found = api
        .all("ConfigMap")
        .filter(({ metadata }) => metadata?.namespace === namespace);
      assert.equal(
        found.map(written).sort(byName).join(" "),
        left.split(" ").sort(byName).join(" "),
      );
      const writes = api.written.length;
      await clock.advance(60_000);
      assert.equal(api.written.length, writes, "nothing is written while nothing changes");
    });
  }

  const orphans: readonly [string, object, object, boolean][] = [
    ["an owner of the cluster is found from a namespace", { kind: "ClusterRole" }, {}, true],
    ["an owner in another namespace is none", { namespace: "default" }, {}, false],
    ["an owner by another name is none", {}, { name: "other" }, false],
    ["an owner of another kind is none", {}, { kind: "Secret" }, false],
    ["an owner of another group is none", {}, { apiVersion: "apps/v1", kind: "Deployment" }, false],
  ];
  for (const [index, [title, owner, change, kept]] of orphans.entries()) {
    test(title, async () => {
      const { client, clock, api } = world;
      const namespace = `coordinates-${index}`;
      await client.namespaces.create({ metadata: { name: namespace } });
      const given = { kind: "ConfigMap", namespace, ...owner };
      const apiVersion = given.kind === "ConfigMap" ? "v1" : "rbac.authorization.k8s.io/v1";
      const made = await client.dynamic.create({
        apiVersion,
        kind: given.kind,
        metadata: {
          name: `owner-${index}`,
          ...(given.kind === "ConfigMap" && { namespace: given.namespace }),
        },
      });
      const { name = "", uid = "" } = made.metadata ?? {};
      const reference = { apiVersion, kind: given.kind, name, uid, ...change };
      const metadata = { name: "child", namespace, ownerReferences: [reference] };
      await client.configMaps.create({ metadata });
      await clock.advance(3_000);
      assert.equal(api.get("ConfigMap", `${namespace}/child`) !== undefined, kept);
      const told = api.all("Event").filter(({ involvedObject }) => {
        return involvedObject?.namespace === namespace;
      });
      const reasons = "namespace" in owner ? ["OwnerRefInvalidNamespace"] : [];
      assert.deepEqual(
        told.map(({ reason }) => reason),
        reasons,
      );
    });
  }

  test("an owner in a namespace is none for an object of the cluster, which stays", async () => {
    const { client, clock, api } = world;
    const owner = await client.configMaps.create({
      metadata: { name: "owner", namespace: "default" },
    });
    const { uid = "" } = owner.metadata ?? {};
    const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid }];
    await client.clusterRoles.create({ metadata: { name: "child", ownerReferences } });
    await clock.advance(3_000);
    assert.ok(api.get("ClusterRole", "child"));
    const told = api
      .all("Event")
      .find(({ involvedObject }) => involvedObject?.kind === "ClusterRole");
    assert.equal(told?.reason, "OwnerRefInvalidNamespace");
    assert.equal(
      told?.message,
      `ownerRef [v1/ConfigMap, namespace: , name: owner, uid: ${uid}] does not exist in namespace ""`,
    );
  });
});

async function make({ client }: World, namespace: string, given: readonly string[]): Promise<void> {
  const uids = new Map<string, string>();
  for (const text of given) {
    const [, name = "", owners, finalizer] = /^(\w+)(?:<([\w,!]+))?(?:@(\w+))?$/.exec(text) ?? [];
    const ownerReferences = (owners?.split(",") ?? []).map((each): OwnerReference => {
      const of = each.replace("!", "");
      return {
        apiVersion: "v1",
        kind: "ConfigMap",
        name: of,
        uid: uids.get(of) ?? `uid-of-${of}`,
        ...(each !== of && { blockOwnerDeletion: true }),
      };
    });
    const finalizers = finalizer === undefined ? [] : [finalizer === "held" ? held : finalizer];
    const metadata = { name, namespace, ownerReferences, finalizers };
    const made = await client.configMaps.create({ metadata });
    uids.set(name, made.metadata?.uid ?? "");
  }
}

function written({ metadata }: ConfigMap): string {
  const { name, deletionTimestamp, ownerReferences = [], finalizers = [] } = metadata ?? {};
  const owners = ownerReferences.map((each) => (each.blockOwnerDeletion ? "!" : "") + each.name);
  const going = deletionTimestamp === undefined ? "" : "~";
  const owned = owners.length === 0 ? "" : `<${owners.join(",")}`;
  return going + name + owned + finalizers.map((each) => `@${each.replace(held, "held")}`).join("");
}

function byName(a: string, b: string): number {
  return a.replace("~", "") < b.replace("~", "") ? -1 : 1;
}
