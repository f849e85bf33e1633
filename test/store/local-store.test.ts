import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultWatchLimits, openLocalStore } from "../../ha/store/mod.ts";
import { storeContract } from "../contract/store/mod.ts";
import { bytes, does, put, text } from "./harness.ts";
import { MemoryDisk, memoryRuntime } from "./memory-runtime.ts";

async function open(watchLimits = defaultWatchLimits) {
  const store = await openLocalStore(memoryRuntime(), { watchLimits });
  return { store, close: () => store.close() };
}

storeContract("the in-thread store", () => open());
storeContract("the in-thread store with tiny watch queues and pages", () =>
  open({
    maxWatchers: 10,
    maxQueuedEvents: 2,
    maxQueuedBytes: 300,
    maxHeldBytes: 1000,
    catchUpPageRecords: 3,
  }),
);

test("a store that is opened again goes on where it was", async () => {
  const disk = new MemoryDisk();
  const first = await openLocalStore(memoryRuntime(disk));
  const { id } = await first.leaseGrant(0n, 600);
  await first.txn(does(put("a", "1", id), put("b", "1")), { requestId: "r" });
  const { revision } = await first.txn(does(put("b", "2")));
  await first.close();
  await assert.rejects(first.txn(does(put("b", "3"))), /server stopped/);
  const second = await openLocalStore(memoryRuntime(disk));
  assert.equal(await second.readRevision(), revision);
  const { kvs } = await second.range({ key: bytes("b"), revision: (revision - 1) as never });
  assert.equal(text(kvs[0]!.value), "1");
  assert.deepEqual((await second.leaseTimeToLive(id)).keys.map(text), ["a"]);
  assert.equal((await second.txn(does(put("a", "x")), { requestId: "r" })).replayed, true);
  await second.close();
});

test("a disk that fails ends the store, and callers are told", async () => {
  const disk = new MemoryDisk();
  const store = await openLocalStore(memoryRuntime(disk));
  const watch = store.watch({ key: bytes("a") });
  await disk.close();
  await assert.rejects(store.txn(does(put("a", "1"))), /disk is closed/);
  await assert.rejects(watch[Symbol.asyncIterator]().next(), /disk is closed/);
  await assert.rejects(store.range({ key: bytes("a") }), /disk is closed/);
  await store.close();
});
