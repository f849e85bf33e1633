/** What heartbeats report: measured use, smoothed, and who fights for CPUs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import type { NodeUsageSummary } from "../../proto/gen/node.ts";
import { ClusterCache } from "../../services/scheduler/cache.ts";
import { Cycle } from "../../services/scheduler/framework/mod.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { cpu, frameworkOf, node, pod } from "./world.ts";

const owned = (owner: string): Pod => {
  const ownerReferences = [{ kind: "ReplicaSet", name: owner, uid: owner, controller: true }];
  return pod({ app: owner }, cpu("100m"), { metadata: { ownerReferences } });
};

function world(names: readonly string[]) {
  const cache = new ClusterCache();
  for (const name of names) cache.setNode(node(name).node ?? {});
  let beats = 0;
  const beat = (usages: Readonly<Record<string, NodeUsageSummary>>) => {
    const lastHeartbeatTime = new Date(++beats * 1_000).toISOString();
    const nodes = Object.entries(usages).map(([name, usage]) => [
      name,
      { lastHeartbeatTime, usage },
    ]);
    cache.setLiveness({ metadata: { name: "master" }, nodes: Object.fromEntries(nodes) });
  };
  return { cache, beat };
}

test("one burst of use does not make a node busy; a lasting one does", () => {
  const { cache, beat } = world(["a"]);
  const usage = () => Math.round(cache.snapshot.node("a")?.usage?.cpu ?? 0);
  beat({ a: { cpuMillis: 100, memoryBytes: 0 } });
  assert.equal(usage(), 100);
  beat({ a: { cpuMillis: 1_100, memoryBytes: 0 } });
  assert.equal(usage(), 400);
  for (let round = 0; round < 20; round++) beat({ a: { cpuMillis: 1_100, memoryBytes: 0 } });
  assert.ok(usage() > 1_090);
});

test("the same heartbeat seen twice counts once", () => {
  const { cache, beat } = world(["a"]);
  beat({ a: { cpuMillis: 100, memoryBytes: 0 } });
  const liveness = {
    metadata: { name: "other" },
    nodes: {
      a: { lastHeartbeatTime: new Date(500).toISOString(), usage: { cpuMillis: 900 } },
    },
  };
  cache.setLiveness(liveness);
  cache.setLiveness(liveness);
  assert.equal(cache.snapshot.node("a")?.usage?.cpu, 100);
});

const pressed = (share: number): NodeUsageSummary => ({ cpuPressurePermille: share * 1_000 });

test("owners on nodes where tasks wait longer are learnt, and kept apart", () => {
  const { cache, beat } = world(["a", "b", "c"]);
  // Noisy ones fight on a; on b quiet ones share a node in peace.
  for (const [name, owner] of [
    ["a", "noisy"],
    ["a", "loud"],
    ["b", "quiet"],
    ["b", "calm"],
  ] as const) {
    cache.assume(podInfo(owned(owner)), name);
  }
  for (let round = 0; round < 30; round++) {
    beat({ a: pressed(0.6), b: pressed(0), c: pressed(0) });
  }
  const learnt = (owner: string) => cache.snapshot.interference.of(owner);
  assert.ok(learnt("noisy") > 0.3);
  assert.ok(learnt("loud") > 0.3);
  assert.equal(learnt("quiet"), 0);
  const points = (wanted: Pod) => {
    const explained = frameworkOf().explain(new Cycle(podInfo(wanted), cache.snapshot));
    const rows = explained.nodes.map(({ node: name, scores }) => [
      name,
      scores.find(({ plugin }) => plugin === "Interference")?.points,
    ]);
    return Object.fromEntries(rows) as Record<string, number | undefined>;
  };
  assert.deepEqual(points(owned("noisy")), { a: 0, b: 100, c: 100 });
  // Pods that have not been seen to fight are not asked.
  assert.deepEqual(points(owned("quiet")), { a: undefined, b: undefined, c: undefined });
});

test("one owner alone on a busy node fights with no other", () => {
  const { cache, beat } = world(["a", "b"]);
  cache.assume(podInfo(owned("busy")), "a");
  for (let round = 0; round < 30; round++) beat({ a: pressed(0.9), b: pressed(0) });
  assert.equal(cache.snapshot.interference.of("busy"), 0);
});

test("what is learnt fades when the pressure has gone", () => {
  const { cache, beat } = world(["a", "b"]);
  for (const owner of ["noisy", "loud"]) cache.assume(podInfo(owned(owner)), "a");
  for (let round = 0; round < 30; round++) beat({ a: pressed(0.6), b: pressed(0) });
  assert.ok(cache.snapshot.interference.of("noisy") > 0.2);
  for (let round = 0; round < 60; round++) beat({ a: pressed(0), b: pressed(0) });
  assert.ok(cache.snapshot.interference.of("noisy") < 0.01);
});
