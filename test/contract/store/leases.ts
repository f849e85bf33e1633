/** What leases and request ids do. */
import assert from "node:assert/strict";
import { Code } from "../../../ha/runtime/status-error.ts";
import type { Revision } from "../../../ha/store/types.ts";
import {
  all,
  bytes,
  collect,
  does,
  eventsOf,
  put,
  refused,
  show,
  showEvents,
  text,
  type WithStore,
} from "./helpers.ts";

export function leaseCases(withStore: WithStore): void {
  withStore("a revoked lease takes its keys along, in one revision", async (store) => {
    const { id, seconds } = await store.leaseGrant(0n, 60);
    assert.ok(id !== 0n && seconds >= 60);
    await store.txn(does(put("a", "1", id), put("b", "1", id), put("c", "1", id)));
    await store.txn(does(put("c", "2"), put("d", "1")));
    const status = await store.leaseTimeToLive(id);
    assert.deepEqual(status.keys.map(text), ["a", "b"]);
    assert.ok(status.remainingSeconds > 30 && status.grantedSeconds === seconds);
    assert.ok((await store.leases()).includes(id));
    const before = await store.readRevision();
    assert.equal(await store.leaseRevoke(id), before + 1);
    assert.equal(show((await store.range({ key: bytes("a"), rangeEnd: all })).kvs), "c=2 d=1");
    assert.equal((await store.leaseTimeToLive(id)).remainingSeconds, -1);
    assert.ok(!(await store.leases()).includes(id));
  });

  withStore("leases: chosen ids, and those that do not exist", async (store) => {
    const large = 2n ** 62n + 7n;
    assert.equal((await store.leaseGrant(large, 30)).id, large);
    const again = store.leaseGrant(large, 30);
    await refused(again, Code.failedPrecondition, /^etcdserver: lease already exists$/);
    assert.ok((await store.leaseKeepAlive(large)) >= 30);
    const missing = /^etcdserver: requested lease not found$/;
    await refused(store.leaseRevoke(99n), Code.notFound, missing);
    await refused(store.leaseKeepAlive(99n), Code.notFound, missing);
    await refused(store.txn(does(put("a", "1", 99n))), Code.notFound, missing);
    await refused(store.leaseGrant(0n, 9_000_000_001), Code.outOfRange, /too large lease TTL$/);
    await store.leaseRevoke(large);
  });

  withStore("a lease that is not kept alive expires", async (store) => {
    const { id } = await store.leaseGrant(0n, 1);
    const { revision } = await store.txn(does(put("gone", "1", id)));
    const startRevision = (revision + 1) as Revision;
    const watch = store.watch({ key: bytes("gone"), startRevision });
    const batches = await collect(watch[Symbol.asyncIterator](), (events) => events.length > 0);
    assert.equal(showEvents(eventsOf(batches)), "-gone");
    watch.close();
    await refused(store.leaseKeepAlive(id), Code.notFound, /requested lease not found$/);
  });
}

export function sessionCases(withStore: WithStore): void {
  withStore("a repeated request id is answered from memory", async (store) => {
    const request = does({ op: "put", key: bytes("a"), value: bytes("1"), previous: true });
    const first = await store.txn(request, { requestId: "one" });
    assert.notEqual(first.replayed, true);
    await store.txn(does(put("a", "2")));
    const again = await store.txn(request, { requestId: "one" });
    assert.equal(again.replayed, true);
    assert.equal(again.revision, first.revision);
    assert.deepEqual(again.results, first.results);
    assert.equal(show((await store.range({ key: bytes("a") })).kvs), "a=2");
    const recalled = await store.recall("one");
    assert.equal(recalled?.revision, first.revision);
    assert.equal(await store.recall("never"), undefined);
    const other = does(put("a", "3"));
    const said = await store.txn(other, { requestId: "three this" });
    assert.equal((await store.txn(other, { requestId: "three this" })).revision, said.revision);
    assert.equal((await store.recall("three"))?.revision, said.revision);
    const reused = /request id "three" was used for another request/;
    const that = store.txn(does(put("a", "4")), { requestId: "three that" });
    await refused(that, Code.failedPrecondition, reused);
    await refused(store.recall("three that"), Code.failedPrecondition, reused);
    assert.equal(show((await store.range({ key: bytes("a") })).kvs), "a=3");
    const long = store.txn(request, { requestId: "x".repeat(161) });
    await refused(long, Code.invalidArgument, /requestId/);
  });

  withStore("a request that was refused is not remembered", async (store) => {
    const leased = does(put("a", "1", 77n));
    await refused(store.txn(leased, { requestId: "two" }), Code.notFound, /lease not found$/);
    await store.leaseGrant(77n, 60);
    const done = await store.txn(leased, { requestId: "two" });
    assert.equal(done.replayed ?? false, false);
    assert.equal((await store.txn(leased, { requestId: "two" })).revision, done.revision);
  });
}
