/** The store's history goes when it is old, once for all apiservers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, type StatusError } from "../../ha/runtime/status-error.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Revision, Store } from "../../ha/store/types.ts";
import {
  type CompactorOptions,
  compactionMillis,
  keepCompacting,
} from "../../services/apiserver/storage/compactor.ts";
import { FakeClock, settle } from "../client/fake-clock.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { quietLog } from "./harness.ts";

const intervalMillis = 300_000;
const key = Buffer.from("/registry/a");

async function world(apiservers: number) {
  const store = await openLocalStore(memoryRuntime());
  const clock = new FakeClock();
  const compacted: Revision[] = [];
  const stop = new AbortController();
  const warnings: string[] = [];
  const counting: CompactorOptions["store"] = {
    txn: (request) => store.txn(request),
    compact: (revision) => {
      compacted.push(revision);
      return store.compact(revision);
    },
  };
  const log = { ...quietLog, warn: (text: string) => void warnings.push(text) };
  for (let n = 0; n < apiservers; n++) {
    keepCompacting({ store: counting, clock, log, intervalMillis }, stop.signal);
  }
  return {
    ...{ store, clock, compacted, stop, warnings, counting },
    /** So many intervals, and what they lead to. */
    async pass(intervals: number): Promise<void> {
      for (let n = 0; n < intervals; n++) {
        await clock.advance(intervalMillis);
        // The store answers in the order in which it is asked: a look asks twice.
        for (let round = 0; round < 3; round++) await store.readRevision();
        await settle();
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await store.close();
    },
  };
}

async function put(store: Store, text: string): Promise<Revision> {
  const value = Buffer.from(text);
  const { revision } = await store.txn({
    ...{ compares: [], failure: [] },
    success: [{ op: "put", key, value }],
  });
  return revision;
}

const readAt = async (store: Store, revision: Revision) =>
  Buffer.from((await store.range({ key, revision })).kvs[0]?.value ?? []).toString();

const isCompacted = ({ code, message }: StatusError) =>
  code === Code.outOfRange && /has been compacted/.test(message);

test("what is older than two looks goes, what is younger than one stays", async () => {
  await using w = await world(3);
  const { store, compacted } = w;
  const old = await put(store, "old");
  await put(store, "newer");
  await w.pass(1);
  assert.deepEqual(compacted, []);
  const young = await put(store, "young");
  await put(store, "youngest");
  await w.pass(1);
  assert.equal(compacted.length, 1, "three apiservers compact once");
  await assert.rejects(readAt(store, old), isCompacted);
  assert.equal(await readAt(store, young), "young");
  await w.pass(3);
  assert.equal(compacted.length, 4);
  assert.deepEqual(
    compacted,
    compacted.toSorted((a, b) => a - b),
  );
  await assert.rejects(readAt(store, young), isCompacted);
  w.stop.abort();
  assert.equal(w.clock.timers, 0);
});

test("one that comes later takes turns with the others", async () => {
  await using w = await world(1);
  await w.pass(4);
  assert.equal(w.compacted.length, 3);
  await w.clock.advance(intervalMillis / 2);
  const { counting: store, clock, stop } = w;
  keepCompacting({ store, clock, log: quietLog, intervalMillis }, stop.signal);
  await w.pass(6);
  assert.ok(w.compacted.length >= 8, `${w.compacted.length} times in 10 intervals`);
  assert.deepEqual(
    w.compacted,
    w.compacted.toSorted((a, b) => a - b),
  );
  assert.deepEqual(w.warnings, []);
});

test("a store that does not answer is asked again after an interval", async () => {
  await using w = await world(1);
  const { txn } = w.store;
  w.store.txn = () => Promise.reject(new Error("etcdserver: no leader"));
  await w.pass(1);
  assert.equal(w.warnings.length, 1);
  w.store.txn = txn;
  await w.pass(2);
  assert.equal(w.compacted.length, 1);
});

test("the interval is a duration within bounds, or 0", () => {
  assert.equal(compactionMillis("5m0s"), 300_000);
  assert.equal(compactionMillis("0"), 0);
  for (const text of ["5", "-5m", "1ms", "25h", ""]) {
    assert.throws(() => compactionMillis(text), /--etcd-compaction-interval .*must be 0 or/);
  }
});
