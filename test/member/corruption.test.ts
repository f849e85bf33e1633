/** Members whose states differ find out by themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { whoDiffers } from "../../ha/member/corruption.ts";
import { limitsWith } from "../../ha/member/limits.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { put } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat } from "./simulated-cluster.ts";

const limits = { corruptCheckMillis: 1_000 };

async function opened(seed: string, size = 3): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(seed, size, {}, { limits });
  await cluster.startAll();
  for (const key of ["a", "b", "c"]) await cluster.run(cluster.leader!.store!.txn(put(key, "1")));
  await cluster.converged();
  return cluster;
}

/** What memory forgot, or an earlier version applied differently. */
function corrupt({ member }: SimulatedSeat): void {
  const entry = member!.machine.history.entries.get("b");
  assert.ok(entry?.current);
  Object.assign(entry.current, { value: "another" });
}

async function alarmed(cluster: SimulatedCluster): Promise<readonly number[]> {
  const store = cluster.stores[0]!;
  const all = () => cluster.seats.every(({ member }) => member!.machine.alarms.active.length > 0);
  await cluster.until(all, "an alarm");
  const alarms = await store.admin.alarms();
  assert.ok(alarms.every(({ kind }) => kind === "corrupt"));
  return alarms.map(({ member }) => member);
}

test("equal members raise no alarm, however often they compare", async () => {
  const cluster = await opened("equal");
  for (let i = 0; i < 20; i++) {
    await cluster.run(cluster.leader!.store!.txn(put("a", `${i}`)));
    await cluster.world.runFor(400);
  }
  assert.deepEqual(await cluster.stores[0]!.admin.alarms(), []);
});

test("a follower that differs is named, and nothing is served until it is replaced", async () => {
  const cluster = await opened("follower");
  const seat = cluster.follower;
  corrupt(seat);
  assert.deepEqual(await alarmed(cluster), [seat.peer.id]);
  const { store } = cluster.leader!;
  await assert.rejects(cluster.run(store!.txn(put("a", "2"))), /corrupt cluster/);
  await assert.rejects(cluster.run(store!.range({ key: Buffer.from("a") })), /corrupt cluster/);
  await cluster.run(store!.admin.memberRemove(seat.peer.id));
  await cluster.run(store!.admin.alarm("deactivate", { member: seat.peer.id, kind: "corrupt" }));
  await cluster.run(store!.txn(put("a", "2")));
});

test("a leader that differs names itself", async () => {
  const cluster = await opened("leader");
  const { leader } = cluster;
  corrupt(leader!);
  assert.deepEqual(await alarmed(cluster), [leader!.peer.id]);
});

test("where no majority agrees nobody is named: member 0", async () => {
  const cluster = await opened("two", 2);
  corrupt(cluster.follower);
  assert.deepEqual(await alarmed(cluster), [0]);
});

test("who differs is who has not the majority's hash", () => {
  const hashes = (...given: number[]) => new Map(given.map((hash, i) => [i as MemberId, hash]));
  assert.deepEqual(whoDiffers(hashes(), 3), []);
  assert.deepEqual(whoDiffers(hashes(7, 7), 5), []);
  assert.deepEqual(whoDiffers(hashes(7, 8, 7), 3), [1]);
  assert.deepEqual(whoDiffers(hashes(7, 8, 7, 9, 7), 5), [1, 3]);
  assert.deepEqual(whoDiffers(hashes(7, 8), 3), [0]);
  assert.deepEqual(whoDiffers(hashes(7, 7, 8), 5), [0]);
});

test("an interval shorter than a heartbeat is refused, 0 means never", () => {
  assert.throws(() => limitsWith({ corruptCheckMillis: 50 }), /corruptCheckMillis >/);
  assert.equal(limitsWith({ corruptCheckMillis: 0 }).corruptCheckMillis, 0);
});
