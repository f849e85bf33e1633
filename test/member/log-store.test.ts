/** The log on disk: batches that replace tails, compaction, and what damage is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { foundation } from "../../ha/member/data-directory.ts";
import { LogStore, scanAll } from "../../ha/member/log-store.ts";
import { Writer } from "../../ha/member/writer.ts";
import type { Entry, LogIndex, Term } from "../../ha/raft/mod.ts";
import type { DiskOperation } from "../../ha/runtime/types.ts";
import { MemoryDisk } from "../store/memory-runtime.ts";
import { simulatedPeer } from "./simulated-cluster.ts";

const initial = foundation({ cluster: [simulatedPeer(1)] });
const entry = (index: number, term: number): Entry => ({
  index: index as LogIndex,
  term: term as Term,
  kind: 0,
  data: Uint8Array.of(index, term),
});
const entries = (from: number, to: number, term: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));
const state = (term: number, commit: number) =>
  ({ term: term as Term, vote: undefined, commit: commit as LogIndex }) as const;

function setUp() {
  const disk = new MemoryDisk();
  const store = new LogStore();
  const write = (operations: DiskOperation[]) => disk.write(operations, { sync: true }, () => {});
  const load = () => new LogStore().load(disk, initial, 2);
  return { disk, store, write, load };
}

const shown = (all: readonly Entry[]) => all.map(({ index, term }) => `${index}.${term}`).join(" ");

test("a batch replaces the tail of older ones, wherever it begins", async () => {
  const { store, write, load } = setUp();
  write(store.persist(entries(1, 3, 1), state(1, 0)));
  write(store.persist(entries(4, 6, 1), undefined));
  write(store.persist(entries(5, 5, 2), state(2, 3)));
  const { entries: loaded, hardState } = await load();
  assert.equal(shown(loaded), "1.1 2.1 3.1 4.1 5.2");
  assert.deepEqual(hardState, state(2, 3));
  write(store.persist(entries(2, 2, 3), state(3, 1)));
  assert.equal(shown((await load()).entries), "1.1 2.3");
  write(store.persist(entries(1, 4, 4), state(4, 0)));
  assert.equal(shown((await load()).entries), "1.4 2.4 3.4 4.4");
});

test("compaction drops whole batches only, and what is before the start is not loaded", async () => {
  const { store, write, load, disk } = setUp();
  for (let first = 1; first <= 10; first += 3)
    write(store.persist(entries(first, first + 2, 1), state(1, 9)));
  const start = { ...initial, index: 5 as LogIndex, term: 1 as Term };
  write(store.compact(start));
  const batches = [];
  for await (const [key] of scanAll(disk, 0x4c, 10)) batches.push(key[8]);
  assert.deepEqual(batches, [4, 7, 10]);
  const loaded = await load();
  assert.equal(shown(loaded.entries), "6.1 7.1 8.1 9.1 10.1 11.1 12.1");
  assert.deepEqual([loaded.start.index, loaded.start.term], [5, 1]);
  assert.equal(loaded.start.roster.peers[0]?.name, "m1");
  write(store.reset({ ...start, index: 40 as LogIndex }));
  assert.equal((await load()).entries.length, 0);
});

test("a gap and a damaged batch are corruption, and what to do is said", async () => {
  const { store, write, load, disk } = setUp();
  write(store.persist(entries(1, 2, 1), state(1, 0)));
  write(store.persist(entries(3, 4, 1), undefined));
  write(store.persist(entries(5, 6, 1), undefined));
  const key = `L${"\0".repeat(7)}\u0003`;
  const whole = disk.content.get(key)!;
  disk.content.set(
    key,
    Uint8Array.from(whole, (byte, i) => (i === 4 ? byte ^ 1 : byte)),
  );
  await assert.rejects(load(), /raft log's batch at index 3 does not match its checksum: remove/);
  write([{ key: Buffer.from(key, "latin1") }]);
  await assert.rejects(load(), /the raft log lacks entries 3 to 4: remove this member/);
});

/** A writer whose disk is in the test's hand. */
function heldWriter() {
  const written: string[] = [];
  const dones: (() => void)[] = [];
  const disk = {
    write: (
      operations: readonly DiskOperation[],
      { sync }: { sync: boolean },
      done: () => void,
    ) => {
      written.push(`${operations.map(({ key }) => key[0]).join(",")}${sync ? " sync" : ""}`);
      dones.push(done);
    },
  };
  const applied = { appliedIndex: 0, operations: [] as DiskOperation[] };
  const machine = {
    get appliedIndex() {
      return applied.appliedIndex;
    },
    get hasOperations() {
      return applied.operations.length > 0;
    },
    takeOperations: () => applied.operations.splice(0),
  };
  const done: string[] = [];
  const writer = new Writer(disk as never, machine, 0 as LogIndex, {
    failed: () => {},
    idle: () => writer.issue(),
  });
  const log = (key: number, lastIndex: number) =>
    writer.log({
      operations: [{ key: Uint8Array.of(key) }],
      lastIndex: lastIndex as LogIndex,
      sync: true,
      done: () => done.push(`log ${lastIndex}`),
    });
  const apply = (key: number, index: number) => {
    applied.operations.push({ key: Uint8Array.of(key) });
    applied.appliedIndex = index;
  };
  return { writer, log, apply, written, dones, done };
}

test("a log write that gathers while another is under way is not done with that one", () => {
  const { writer, log, dones, done } = heldWriter();
  log(1, 1);
  writer.issue();
  log(2, 2);
  log(3, 3);
  dones.shift()!();
  assert.deepEqual(done, ["log 1"]);
  writer.issue();
  log(4, 4);
  dones.shift()!();
  assert.deepEqual(done, ["log 1", "log 2", "log 3"]);
});

test("the writer never writes state before the log it came from, and keeps the order", () => {
  const { writer, log, apply, written, dones, done } = heldWriter();
  log(1, 1);
  apply(101, 1);
  writer.issue();
  apply(102, 2);
  writer.issue();
  assert.deepEqual(written, ["1,101 sync"], "one write at a time");
  dones.shift()!();
  assert.deepEqual(written, ["1,101 sync"], "entry 2 is not in the log yet, so its effect waits");
  assert.equal(writer.writtenIndex, 1);
  log(2, 2);
  log(3, 3);
  writer.issue();
  assert.deepEqual(written[1], "2,3,102 sync", "what gathered shares a write, log first");
  dones.shift()!();
  assert.deepEqual(done, ["log 1", "log 2", "log 3"]);
  assert.equal(writer.writtenIndex, 2);
  assert.ok(writer.settled);
  apply(103, 3);
  writer.issue();
  assert.equal(written.length, 2, "applied state waits for a log write");
  writer.issue(true);
  assert.equal(written[2], "103", "or until it is due by itself");
});

test("applied entries are read back, from whichever batch holds them", async () => {
  const { store, write, disk } = setUp();
  write(store.persist(entries(1, 3, 1), state(1, 0)));
  write(store.persist(entries(4, 6, 1), undefined));
  write(store.persist(entries(5, 8, 2), state(2, 8)));
  const read = (from: number, to: number, most = 100) =>
    shown(store.read(disk, from as LogIndex, to as LogIndex, most));
  assert.equal(read(1, 8), "1.1 2.1 3.1");
  assert.equal(read(2, 8, 2), "2.1");
  assert.equal(read(4, 4), "4.1");
  assert.equal(read(6, 8, 4), "6.2 7.2");
  assert.equal(read(8, 8, 0), "8.2");
  const lacks = /the raft log lacks entry 9: remove this member/;
  assert.throws(() => read(9, 9), { name: "DiskError", message: lacks });
  disk.content.delete(`L${"\0".repeat(7)}\u0001`);
  assert.throws(() => read(2, 3), { message: /lacks entry 2: / });
});
