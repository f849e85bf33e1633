import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionError } from "../../ha/runtime/assert.ts";
import { DiskError } from "../../ha/runtime/types.ts";
import { byRevision, decodeChanges, openRecord, Prefix } from "../../ha/store/layout.ts";
import {
  defaultStoreLimits,
  LeaseClock,
  pageReader,
  Snapshot,
  SnapshotReader,
  StateMachine,
  seal,
  unseal,
} from "../../ha/store/mod.ts";
import { bytes, does, Machine, put, remove, self } from "./harness.ts";

test("sessions are forgotten by count and by replicated age, and survive a restart", async () => {
  const limits = {
    ...defaultStoreLimits,
    maxSessions: 3,
    maxSessionResultBytes: 100,
    maxClockStepMillis: defaultStoreLimits.sessionMillis,
  };
  const machine = new Machine(undefined, { self, limits });
  for (const id of ["a", "b", "c", "d"]) machine.txn(does(put("k", id)), id);
  assert.equal(machine.machine.recall("a"), undefined);
  assert.equal(machine.txn(does(put("k", "again")), "b").replayed, true);
  machine.wallMillis += limits.sessionMillis - 1;
  machine.txn(does(put("k", "e")), "e");
  assert.equal(machine.machine.recall("b"), undefined, "the fourth pushed it out");
  assert.notEqual(machine.machine.recall("c"), undefined);
  machine.wallMillis -= 50_000;
  machine.put("k", "a clock that went back changes nothing");
  const loaded = await Machine.load(machine.disk, { self, limits });
  assert.equal(loaded.machine.hash(), machine.machine.hash());
  loaded.wallMillis = machine.wallMillis + 50_001;
  loaded.put("k", "later");
  assert.equal(loaded.machine.recall("d"), undefined, "too old");
  assert.notEqual(loaded.machine.recall("e"), undefined);
  loaded.put("large", "x".repeat(200));
  const read = { op: "range", key: bytes("large") } as const;
  assert.equal(loaded.txn(does(read), "large").results.length, 1);
  const cut = loaded.txn(does(read), "large");
  assert.deepEqual([cut.replayed, cut.succeeded, cut.results.length], [true, true, 0]);
});

test("a wall clock that is set forward makes nobody forget a request id", () => {
  const machine = new Machine(undefined, { self });
  const first = machine.txn(does(put("k", "once")), "id");
  machine.wallMillis += 10 * defaultStoreLimits.sessionMillis;
  const again = machine.txn(does(put("k", "once")), "id");
  assert.deepEqual([again.replayed, again.revision], [true, first.revision]);
});

test("only those who wait get results, but all members remember sessions alike", () => {
  const foreign = new Machine(undefined, { self: { ...self, incarnation: 8 } });
  const read = { op: "range", key: bytes("a") } as const;
  assert.equal(foreign.txn(does(put("a", "1"), read)).results.length, 0);
  assert.equal(foreign.txn(does(put("a", "2"), read), "id").results.length, 2);
});

test("entries are applied in order and must be decodable; no-ops only advance", () => {
  const machine = new StateMachine({ get: () => undefined });
  assert.deepEqual(machine.apply(3, 2, new Uint8Array(0)), []);
  assert.deepEqual([machine.appliedIndex, machine.appliedTerm, machine.revision], [3, 2, 1]);
  assert.throws(() => machine.apply(3, 2, new Uint8Array(0)), AssertionError);
  assert.throws(() => machine.apply(4, 2, Uint8Array.of(0x22, 5)), AssertionError);
});

test("a compaction in small steps loses nothing on the way", async () => {
  const machine = new Machine();
  for (let index = 0; index < 30; index++) {
    machine.txn(does(put(`k${index % 7}`, `${index}`), put(`m${index % 3}`, `${index}`)));
    if (index % 5 === 4) machine.txn(does(remove(`k${index % 7}`)));
  }
  const outcome = machine.apply({ kind: "compact", revision: machine.machine.revision - 4 });
  assert.equal(outcome.kind, "compact");
  const hash = machine.machine.hash();
  const records = () =>
    [...machine.disk.content.keys()].filter((key) => key.startsWith("R")).length;
  const before = records();
  let steps = 0;
  for (let more = true; more; steps++) {
    more = machine.machine.compactStep(2);
    machine.write();
    const loaded = await Machine.load(machine.disk);
    assert.equal(loaded.machine.hash(), hash, `after step ${steps}`);
    for (let back = 0; back <= 4; back++) {
      const at = machine.machine.revision - back;
      assert.equal(loaded.machine.hashKv(at), machine.machine.hashKv(at));
    }
  }
  assert.ok(steps > 10 && records() < before);
});

test("a snapshot is of one moment, whatever is written and compacted meanwhile", async () => {
  const machine = new Machine();
  machine.apply({ kind: "leaseGrant", id: 5n, seconds: 9 });
  for (let index = 0; index < 300; index++) machine.put(`k${index % 9}`, `${index}`, 5n);
  const hash = machine.machine.hash();
  const snapshot = new Snapshot(machine.machine);
  const reader = new SnapshotReader();
  const copy = new Machine();
  const chunks: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks(pageReader(machine.disk), 600)) {
    assert.ok(chunk.length <= 600);
    chunks.push(chunk);
    machine.put("k1", "later");
    machine.apply({ kind: "compact", revision: machine.machine.revision });
    assert.equal(machine.machine.compactStep(1000), false, "held back");
    machine.write();
    copy.disk.write(reader.read(chunk), { sync: true }, () => undefined);
  }
  const restored = await Machine.load(copy.disk);
  assert.equal(restored.machine.hash(), hash);
  machine.machine.compactStep(1000);
  machine.write();
  await Machine.load(machine.disk);

  const damaged = Uint8Array.from(chunks[1]!);
  damaged[20]! ^= 1;
  const fresh = new SnapshotReader();
  fresh.read(chunks[0]!);
  assert.throws(() => fresh.read(damaged), /damaged chunk/);
  const short = new SnapshotReader();
  short.read(chunks[0]!);
  assert.equal(short.complete, undefined);
  assert.throws(() => short.read(chunks[chunks.length - 1]!), /where 1 is due/);
});

test("what follows a revision in the middle of a record is told without what came before", async () => {
  const machine = new Machine();
  machine.commandsPerWrite = 100;
  for (let index = 0; index < 9; index++) machine.put(`k${index % 3}`, `${index}`);
  machine.write();
  assert.equal([...machine.disk.content.keys()].filter((key) => key.startsWith("R")).length, 1);
  const told = async (since: number) => {
    const reader = new SnapshotReader(since);
    const revisions: number[] = [];
    const snapshot = new Snapshot(machine.machine);
    for await (const chunk of snapshot.chunks(pageReader(machine.disk), 1000, since)) {
      for (const { key, value } of reader.read(chunk)) {
        if (key[0] !== Prefix.revision || value === undefined) continue;
        for (const [revision] of byRevision(decodeChanges(key, openRecord(key, value)))) {
          revisions.push(revision);
        }
      }
    }
    assert.equal(reader.complete?.revision, 10);
    return revisions;
  };
  assert.deepEqual(await told(6), [7, 8, 9, 10]);
  machine.compact(8);
  machine.write();
  assert.deepEqual(await told(0), [6, 7, 8, 9, 10]);
  assert.deepEqual(await told(7), [8, 9, 10]);
});

test("a disk that does not fit together is refused, and the record named", async () => {
  const spoilt = async (spoil: (machine: Machine) => void, message: RegExp) => {
    const machine = new Machine();
    machine.apply({ kind: "leaseGrant", id: 5n, seconds: 9 });
    for (let index = 0; index < 9; index++) machine.put("k", `${index}`, 5n);
    machine.compact(4);
    spoil(machine);
    await assert.rejects(Machine.load(machine.disk), (error: unknown) => {
      assert.ok(error instanceof DiskError && error.kind === "corrupt");
      assert.match(error.message, message);
      return true;
    });
  };
  const name = (revision: number) => `R\0\0\0\0\0\0\0${String.fromCharCode(revision)}`;
  await spoilt(({ disk }) => disk.content.delete(name(7)), /record R 7 is missing/);
  await spoilt(({ disk }) => disk.content.delete(name(4)), /record R 4 is missing/);
  await spoilt(({ disk }) => disk.content.delete(name(10)), /record R 10 is missing/);
  const sealed = (revision: number, content: Uint8Array) => seal(bytes(name(revision)), content);
  const contentOf = ({ content }: Machine["disk"], revision: number) =>
    unseal(bytes(name(revision)), content.get(name(revision))!)!;
  const move = (from: number, to: number) => (machine: Machine) => {
    const { disk } = machine;
    disk.content.set(name(to), sealed(to, contentOf(disk, from)));
  };
  await spoilt(move(10, 11), /beyond/);
  await spoilt(move(9, 8), /record R 8 is missing/);
  const garbage = sealed(8, Uint8Array.of(10, 9));
  await spoilt(({ disk }) => disk.content.set(name(8), garbage), /be decoded/);
  const misplaced = /record R 8 does not match its checksum/;
  await spoilt(({ disk }) => disk.content.set(name(8), disk.content.get(name(9))!), misplaced);
  await spoilt(({ disk }) => disk.content.delete("A"), /restore was interrupted/);
  await spoilt(({ disk }) => disk.content.delete("E\0\0\0\0\0\0\0\u0005"), /lease 5/);
});

test("the lease clock: full time at promotion, kept alive, asked again", () => {
  const machine = new Machine();
  const clock = new LeaseClock(machine.machine.leases);
  machine.apply({ kind: "leaseGrant", id: 1n, seconds: 10 });
  machine.apply({ kind: "leaseGrant", id: 2n, seconds: 3 });
  assert.deepEqual(clock.expired(1e9, 9), [], "a follower expires nothing");
  assert.throws(() => clock.remaining(1n, 0), /not leader/);
  clock.promote(50_000);
  assert.equal(clock.remaining(1n, 50_000), 10);
  machine.apply({ kind: "leaseGrant", id: 3n, seconds: 4 });
  assert.equal(clock.remaining(3n, 51_500), 4, "a grant counts from when it is first looked at");
  assert.deepEqual(clock.expired(53_000, 9), [2n]);
  assert.throws(() => clock.keepAlive(2n, 53_000), /lease not found/);
  assert.deepEqual(clock.expired(53_001, 9), [], "asked for once");
  assert.equal(clock.keepAlive(3n, 55_000), 4);
  assert.deepEqual(clock.expired(55_500, 9), [2n], "and again after a while");
  machine.apply({ kind: "leaseRevoke", id: 2n });
  assert.deepEqual(clock.expired(58_999, 9), []);
  assert.deepEqual(clock.expired(60_000, 1), [3n]);
  assert.deepEqual(clock.expired(60_000, 9), [1n]);
  clock.demote();
  assert.deepEqual(clock.expired(90_000, 9), []);
  clock.promote(90_000);
  assert.equal(clock.remaining(3n, 90_000), 4);
});
