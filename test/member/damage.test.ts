/**
 * A record's bits flip and the disk does not notice: the member that reads the record stops and
 * names it, and a new member replaces it. No caller is ever given what the record says.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../../ha/runtime/crc32c.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { DiskError } from "../../ha/runtime/types.ts";
import type { Revision } from "../../ha/store/mod.ts";
import { bytes, put, textAt } from "./requests.ts";
import { SimulatedCluster, type SimulatedSeat } from "./simulated-cluster.ts";

function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

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
    const key = content.keys().find((each) => each.startsWith(prefix));
    assert.ok(key, `there is a record ${prefix}`);
    content.flip(key);
    const error = await cluster.run(failureOf(cluster.start(seat)));
    assert.ok(error instanceof DiskError && error.kind === "corrupt", String(error));
    assert.match(error.message, name);
  });
}

test("what an older version wrote is told from damage, and what to do about it", async () => {
  const cluster = new SimulatedCluster("older version", 3);
  await cluster.startAll();
  const seat = cluster.follower;
  await cluster.world.runFor(1_000);
  cluster.crash(seat);
  const { entries } = cluster.world.disk(seat.peer.id);
  const sealed = Buffer.from(entries.get("M") ?? []);
  const content = sealed.subarray(0, -4);
  sealed.writeUInt32LE(
    crc32c(content, 0, content.length, crc32c(Buffer.from("M"))),
    content.length,
  );
  entries.set("M", sealed);
  const error = await cluster.run(failureOf(cluster.start(seat)));
  assert.ok(error instanceof DiskError, String(error));
  assert.match(error.message, /an older version of Trireme wrote this data: .*backup/);
});

/** The platter, by keys as texts. */
function contentOf(cluster: SimulatedCluster, seat: SimulatedSeat) {
  const { entries } = cluster.world.disk(seat.peer.id);
  const keys = () => Array.from({ length: entries.size }, (_, i) => entries.keyAt(i) ?? "");
  const flip = (key: string) => {
    const value = entries.get(key)!.slice();
    value[value.length >> 1]! ^= 4;
    entries.set(key, value);
  };
  return { content: { keys, flip } };
}

/** A cluster in which one member's record of an old value of "k" is damaged. */
async function damagedHistory(seed: string, pick: (cluster: SimulatedCluster) => SimulatedSeat) {
  const limits = { logEntriesKept: 4, logEntriesKeptMin: 2, logEntriesSlack: 4 };
  const cluster = new SimulatedCluster(seed, 3, {}, { limits });
  await cluster.startAll();
  const { store } = cluster.leader!;
  const { revision } = await cluster.run(store!.txn(put("k", "old")));
  await cluster.run(store!.txn(put("k", "new")));
  await cluster.converged();
  await cluster.world.runFor(500);
  const seat = pick(cluster);
  const { content } = contentOf(cluster, seat);
  content.flip(`R${"\0".repeat(7)}${String.fromCharCode(revision)}`);
  return { cluster, seat, revision };
}

const named = /store record R \d+ does not match its checksum/;

async function assertStopped(cluster: SimulatedCluster, seat: SimulatedSeat): Promise<void> {
  await cluster.until(() => seat.member!.failure !== undefined, "the member to stop");
  assert.match(seat.member!.failure!.message, named);
  assert.equal(seat.member!.failure!.code, Code.unavailable);
  cluster.crash(seat);
  const error = await cluster.run(failureOf(cluster.start(seat)));
  assert.ok(error instanceof DiskError && error.kind === "corrupt", String(error));
  assert.match(error.message, named);
}

test("a read of damaged history stops the member, which is replaced by a new one", async () => {
  const { cluster, seat, revision } = await damagedHistory("read", ({ follower }) => follower);
  const error = await cluster.run(
    failureOf(seat.store!.range({ key: bytes("k"), revision }, { serializable: true })),
  );
  assert.ok(error instanceof StatusError && error.code === Code.unavailable, String(error));
  assert.match(error.message, named);
  await assertStopped(cluster, seat);
  cluster.seats.splice(cluster.seats.indexOf(seat), 1);
  await cluster.untilLed();
  const { admin } = cluster.leader!.store!;
  await cluster.run(admin.memberRemove(seat.peer.id));
  const fresh = cluster.addSeat(4);
  const peerUrls = [`http://${fresh.peer.addresses[0]}?p2p=${fresh.peer.identity}`];
  await cluster.run(admin.memberAdd({ peerUrls, learner: false }));
  await cluster.start(fresh);
  await cluster.converged();
  const past = await cluster.run(fresh.store!.range({ key: bytes("k"), revision }));
  assert.equal(Buffer.from(past.kvs[0]!.value).toString(), "old");
});

test("a watch that catches up over damaged history stops the member", async () => {
  const { cluster, seat } = await damagedHistory("watch", ({ follower }) => follower);
  const watch = seat.store!.watch({ key: bytes("k"), startRevision: 2 as Revision });
  const error = await cluster.run(failureOf(watch[Symbol.asyncIterator]().next()));
  assert.ok(error instanceof StatusError && error.code === Code.unavailable, String(error));
  assert.match(error.message, named);
  await assertStopped(cluster, seat);
});

test("hashing or backing up damaged history stops the member", async () => {
  for (const ask of ["hash", "backup"] as const) {
    const { cluster, seat, revision } = await damagedHistory(ask, ({ follower }) => follower);
    const { admin } = seat.store!;
    const backUp = async () => {
      for await (const piece of admin.snapshot()) assert.ok(piece.length > 0);
    };
    const asked = ask === "hash" ? admin.hashKv(revision) : backUp();
    assert.match(String(await cluster.run(failureOf(asked))), named);
    await assertStopped(cluster, seat);
  }
});

test("a leader sends no damaged history to a laggard: it stops, and another one does", async () => {
  const { cluster, seat } = await damagedHistory("send", ({ leader }) => leader!);
  const laggard = cluster.follower;
  cluster.crash(laggard);
  for (let i = 0; i < 30; i++) await cluster.run(cluster.leader!.store!.txn(put("n", `${i}`)));
  await cluster.start(laggard);
  await assertStopped(cluster, seat);
  cluster.seats.splice(cluster.seats.indexOf(seat), 1);
  await cluster.converged();
  assert.equal(await cluster.run(textAt(laggard.store!, "n")), "29");
});

test("a leader whose log is damaged stops when a laggard needs it, and names a successor", async () => {
  const limits = { logBytesHeld: 0, logReleaseStep: 1 };
  const cluster = new SimulatedCluster("damaged log", 3, {}, { limits });
  await cluster.startAll();
  const leader = cluster.leader!;
  const laggard = cluster.follower;
  cluster.crash(laggard);
  for (let i = 0; i < 9; i++) await cluster.run(leader.store!.txn(put("n", `${i}`)));
  await cluster.world.runFor(200);
  const { content } = contentOf(cluster, leader);
  const batches = content.keys().filter((key) => key.startsWith("L"));
  content.flip(batches[batches.length >> 1]!);
  const starting = cluster.start(laggard);
  await cluster.until(() => leader.member!.failure !== undefined, "the leader to stop");
  assert.match(leader.member!.failure!.message, /log's batch at index \d+ does not match/);
  await starting;
  cluster.crash(leader);
  await cluster.untilLed();
  assert.equal(await cluster.run(textAt(laggard.store!, "n")), "8");
});

test("a staged snapshot that was damaged is not put in place unnoticed", async () => {
  const limits = { logEntriesKept: 4, logEntriesKeptMin: 2, logEntriesSlack: 4 };
  const cluster = new SimulatedCluster("staged", 3, {}, { limits });
  await cluster.startAll();
  const laggard = cluster.follower;
  cluster.crash(laggard);
  for (let i = 0; i < 30; i++) await cluster.run(cluster.leader!.store!.txn(put("n", `${i}`)));
  await cluster.start(laggard);
  const { content } = contentOf(cluster, laggard);
  const installing = () =>
    cluster.world.logs(laggard.peer.id).some((l) => l.includes("installing"));
  while (!installing()) await cluster.world.step();
  const staged = content.keys().filter((key) => key.startsWith("TR"));
  assert.ok(staged.length > 0);
  content.flip(staged[0]!);
  await assertStopped(cluster, laggard);
});

test("remains of a transfer that cannot be read stop the receiver, not every later transfer", async () => {
  const limits = {
    logEntriesKept: 4,
    logEntriesKeptMin: 2,
    logEntriesSlack: 4,
    snapshotChunkBytes: 2_048,
    snapshotChunksInflight: 1,
  };
  const cluster = new SimulatedCluster("remains", 3, {}, { limits });
  await cluster.startAll();
  const laggard = cluster.follower;
  cluster.crash(laggard);
  const value = new Uint8Array(1_000);
  for (let i = 0; i < 40; i++) {
    await cluster.run(cluster.leader!.store!.txn(put(`k${i}`, value)));
  }
  await cluster.start(laggard);
  const { content } = contentOf(cluster, laggard);
  const staged = () => content.keys().filter((key) => key.startsWith("T")).length;
  while (staged() < 4) await cluster.world.step();
  assert.ok(cluster.world.disk(laggard.peer.id).flipBit({ noticed: true, prefix: 0x54 }));
  cluster.world.network.cut(cluster.leader!.peer.id, laggard.peer.id);
  await cluster.until(() => laggard.member!.failure !== undefined, "the member to stop");
  assert.match(laggard.member!.failure!.message, /is damaged: move it away/);
});
