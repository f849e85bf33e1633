/** What a member does when its disk fails or is full, and what alarms do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { bytes, put, remove, textAt } from "./requests.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

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
  const status = await cluster.run(failed.store!.status());
  assert.equal(status.name, failed.peer.name);
  assert.match(status.failure ?? "", /^etcdserver: /);
  const told: (string | undefined)[] = [];
  failed.store!.onStatus(({ failure }) => told.push(failure))();
  assert.deepEqual(told, [status.failure]);
  cluster.world.disk(failed.peer.id).repair();
  await cluster.start(failed);
  await cluster.converged();
  assert.equal(await cluster.run(textAt(failed.store!, "k")), "3");
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
