/** What a member does when its disk fails, lies, or is full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { DiskError } from "../../ha/runtime/types.ts";
import { bytes, put, remove, textAt } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat } from "./simulated-cluster.ts";

async function opened(seed: string, quotaBytes?: number): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(seed, 3, {}, { quotaBytes });
  await cluster.startAll();
  await cluster.run(cluster.leader!.store!.txn(put("k", "1")));
  return cluster;
}

function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test("a leader whose disk fails says so, and the others elect at once", async () => {
  const cluster = await opened("failing");
  const failed = cluster.leader!;
  cluster.world.disk(failed.peer.id).failFrom("io");
  const error = await cluster.run(failureOf(failed.store!.txn(put("k", "2"))));
  assert.ok(error instanceof StatusError && error.code === Code.unavailable, String(error));
  const since = cluster.world.now;
  await cluster.until(() => cluster.leader !== undefined && cluster.leader !== failed, "a leader");
  assert.ok(cluster.world.now - since < 500, "sooner than the shortest election timeout");
  await cluster.run(cluster.leader!.store!.txn(put("k", "3")));
  for (const ask of [
    failed.store!.range({ key: bytes("k") }, { serializable: true }),
    failed.store!.readRevision(),
    failed.store!.leaseKeepAlive(1n),
    failed.store!.admin.defragment(),
  ].map(failureOf)) {
    const answer = await cluster.run(ask);
    assert.ok(answer instanceof StatusError && answer.code === Code.unavailable, String(answer));
  }
  assert.equal((await cluster.run(failed.store!.status())).name, failed.peer.name);
  cluster.world.disk(failed.peer.id).repair();
  await cluster.start(failed);
  await cluster.converged();
  assert.equal(await cluster.run(textAt(failed.store!, "k")), "3");
});

/** The records of each kind end in a checksum: damage to any of them keeps the member from starting. */
for (const [prefix, name] of [
  ["A", /store record A does not match its checksum/],
  ["B", /the raft log's start does not match its checksum/],
  ["H", /the raft hard state does not match its checksum/],
  ["L", /the raft log's batch at index \d+ does not match its checksum: .* new learner/],
  ["M", /the member's identity does not match its checksum/],
  ["R", /store record R \d+ does not match its checksum/],
] as const) {
  test(`a damaged record ${prefix} is named, and the member does not start`, async () => {
    const limits = { logEntriesKept: 2, logEntriesKeptMin: 1, logEntriesSlack: 1 };
    const cluster = new SimulatedCluster(`damage ${prefix}`, 3, {}, { limits });
    await cluster.startAll();
    for (let i = 0; i < 12; i++) await cluster.run(cluster.leader!.store!.txn(put("k", `${i}`)));
    await cluster.converged();
    const seat = cluster.follower;
    await cluster.world.runFor(1_000);
    cluster.crash(seat);
    const { content } = contentOf(cluster, seat);
    const key = content.keys.find((each) => each.startsWith(prefix));
    assert.ok(key, `there is a record ${prefix}`);
    content.flip(key);
    const error = await cluster.run(failureOf(cluster.start(seat)));
    assert.ok(error instanceof DiskError && error.kind === "corrupt", String(error));
    assert.match(error.message, name);
  });
}

/** The platter, by keys as texts. */
function contentOf(cluster: SimulatedCluster, seat: SimulatedSeat) {
  const { entries } = cluster.world.disk(seat.peer.id);
  const keys = Array.from({ length: entries.size }, (_, i) => entries.keyAt(i) ?? "");
  const flip = (key: string) => {
    const value = entries.get(key)!.slice();
    value[value.length >> 1]! ^= 4;
    entries.set(key, value);
  };
  return { content: { keys, flip } };
}

test("damage to history that is read later stops the member, and it never answers wrongly", async () => {
  const cluster = await opened("history");
  const { store } = cluster.leader!;
  const { revision } = await cluster.run(store!.txn(put("k", "old")));
  await cluster.run(store!.txn(put("k", "new")));
  await cluster.converged();
  await cluster.world.runFor(500);
  const seat = cluster.follower;
  const { content } = contentOf(cluster, seat);
  const old = `R${"\0".repeat(7)}${String.fromCharCode(revision)}`;
  content.flip(old);
  const read = seat.store!.range({ key: bytes("k"), revision });
  const error = await cluster.run(failureOf(read));
  assert.match(String(error), /store record R \d+ does not match its checksum/);
});

test("beyond its quota a member raises an alarm, and puts are refused until it is disarmed", async () => {
  const cluster = await opened("quota", 40_000);
  const { store } = cluster.leader!;
  const large = new Uint8Array(10_000);
  const refusal = async () => {
    for (let i = 0; i < 30; i++) {
      const error = await cluster.run(failureOf(store!.txn(put(`k${i}`, large))));
      if (error) return error;
      await cluster.world.runFor(300);
    }
    return undefined;
  };
  const error = await refusal();
  assert.ok(error instanceof StatusError && error.code === Code.resourceExhausted);
  assert.equal(error.message, "etcdserver: mvcc: database space exceeded");
  const follower = cluster.follower.store!;
  const again = await cluster.run(failureOf(follower.txn(put("k", "v"))));
  assert.match(String(again), /database space exceeded/);
  const lease = await cluster.run(failureOf(follower.leaseGrant(0n, 60)));
  assert.match(String(lease), /database space exceeded/);
  // Reading, deleting and compacting go on.
  assert.equal(await cluster.run(textAt(follower, "k")), "1");
  for (let i = 0; i < 30; i++) await cluster.run(follower.txn(remove(`k${i}`)));
  const revision = await cluster.run(follower.readRevision());
  await cluster.run(follower.compact(revision));
  const alarms = await follower.admin.alarms();
  assert.ok(alarms.length > 0 && alarms.every(({ kind }) => kind === "noSpace"));
  await cluster.run(
    (async () => {
      for (const alarm of alarms) await follower.admin.alarm("deactivate", alarm);
    })(),
  );
  await cluster.converged();
});

test("alarms are replicated, survive a restart, and CORRUPT refuses everything", async () => {
  const cluster = await opened("alarms");
  const { id } = cluster.seats[0]!.peer;
  const alarm = { member: id, kind: "corrupt" } as const;
  const { admin } = cluster.follower.store!;
  assert.deepEqual(await cluster.run(admin.alarm("activate", alarm)), alarm);
  assert.equal(await cluster.run(admin.alarm("activate", alarm)), undefined);
  await cluster.converged();
  for (const seat of cluster.seats) cluster.crash(seat);
  for (const seat of cluster.seats) await cluster.start(seat);
  await cluster.untilLed();
  const { store } = cluster.leader!;
  const write = await cluster.run(failureOf(store!.txn(put("k", "v"))));
  assert.match(String(write), /corrupt cluster/);
  const read = await cluster.run(failureOf(store!.range({ key: bytes("k") })));
  assert.match(String(read), /corrupt cluster/);
  assert.deepEqual(await store!.admin.alarms(), [alarm]);
  await cluster.run(store!.admin.alarm("deactivate", alarm));
  await cluster.run(store!.txn(put("k", "v")));
});

test("hashes are the same on all members, now and at an old revision", async () => {
  const cluster = await opened("hashes");
  const { revision } = await cluster.run(cluster.leader!.store!.txn(put("k", "2")));
  const hashes = async () => {
    const all = cluster.stores.map(({ admin }) =>
      Promise.all([admin.hashKv(undefined), admin.hashKv(revision), admin.hash()]),
    );
    return await cluster.run(Promise.all(all));
  };
  const [first, ...others] = await hashes();
  for (const other of others) assert.deepEqual(other, first);
  await cluster.run(cluster.leader!.store!.txn(put("k", "3")));
  const [later] = await hashes();
  assert.equal(later![1].hash, first![1].hash);
  assert.notEqual(later![0].hash, first![0].hash);
});
