/** What watches tell, from now on and from the past. */
import assert from "node:assert/strict";
import { Code } from "../../../ha/runtime/status-error.ts";
import type { Revision, Store, WatchRequest } from "../../../ha/store/types.ts";
import {
  bytes,
  checkOrder,
  collect,
  does,
  eventsOf,
  put,
  refused,
  remove,
  showEvents,
  soon,
  text,
  type WithStore,
} from "./helpers.ts";

export function watchCases(withStore: WithStore): void {
  withStore("a watch delivers what changes in its range, ordered and atomic", async (store) => {
    await store.txn(does(put("k/0", "before")));
    const watch = store.watch({ key: bytes("k/"), rangeEnd: bytes("k0") });
    const exact = store.watch({ key: bytes("k/2") });
    const created = await soon(watch.created, "created watch");
    await soon(exact.created, "created watch");
    const first = await store.txn(does(put("k/1", "a"), put("k/2", "a"), put("other", "x")));
    await store.txn(does(put("other", "y")));
    const third = await store.txn(does(remove("k/1"), put("k/2", "b")));
    assert.ok(created < first.revision);
    const batches = await collect(watch[Symbol.asyncIterator](), (events) => events.length >= 4);
    checkOrder(batches);
    assert.equal(showEvents(eventsOf(batches)), "k/1=a k/2=a -k/1 k/2=b");
    const gone = eventsOf(batches)[2]!;
    assert.deepEqual([gone.kv.modRevision, gone.kv.value.length], [third.revision, 0]);
    const one = await collect(exact[Symbol.asyncIterator](), (events) => events.length >= 2);
    assert.equal(showEvents(eventsOf(one)), "k/2=a k/2=b");
    watch.close();
    exact.close();
  });

  withStore("a closed watch ends", async (store) => {
    const watch = store.watch({ key: bytes("a") });
    await soon(watch.created, "created watch");
    const iterator = watch[Symbol.asyncIterator]();
    const pending = iterator.next();
    watch.close();
    watch.close();
    assert.equal((await soon(pending, "end")).done, true);
    assert.equal((await soon(iterator.next(), "end")).done, true);
  });

  withStore("a watch tells the previous value and leaves out what is filtered", async (store) => {
    await store.txn(does(put("a", "1")));
    const full = store.watch({ key: bytes("a"), previous: true });
    const puts = store.watch({ key: bytes("a"), filters: ["delete"] });
    const deletes = store.watch({ key: bytes("a"), filters: ["put"] });
    for (const watch of [full, puts, deletes]) await soon(watch.created, "created watch");
    await store.txn(does(put("a", "2")));
    await store.txn(does(remove("a")));
    await store.txn(does(put("a", "3")));
    const events = async (watch: typeof full, count: number) =>
      eventsOf(await collect(watch[Symbol.asyncIterator](), (all) => all.length >= count));
    const seen = await events(full, 3);
    assert.deepEqual(
      seen.map(({ previous }) => previous && text(previous.value)),
      ["1", "2", undefined],
    );
    assert.equal(showEvents(await events(puts, 2)), "a=2 a=3");
    assert.equal(showEvents(await events(deletes, 1)), "-a");
    for (const watch of [full, puts, deletes]) watch.close();
  });

  withStore("a watch with progress learns how far the store is", async (store) => {
    const watch = store.watch({ key: bytes("quiet"), progress: true });
    await soon(watch.created, "created watch");
    const { revision } = await store.txn(does(put("elsewhere", "1")));
    const batches = await collect(
      watch[Symbol.asyncIterator](),
      (_events, seen) => (seen[seen.length - 1]?.revision ?? 0) >= revision,
    );
    assert.deepEqual(eventsOf(batches), []);
    watch.close();
  });
}

export function watchHistoryCases(withStore: WithStore): void {
  const writes = 40;
  const write = async (store: Store): Promise<Revision> => {
    const first = await store.txn(does(put("k", "0"), put("twin", "0")));
    for (let index = 1; index < writes; index++) {
      await store.txn(does(put("k", `${index}`), put("twin", `${index}`)));
    }
    return first.revision;
  };
  const read = async (store: Store, request: WatchRequest, count: number) => {
    const watch = store.watch(request);
    const seen = await collect(watch[Symbol.asyncIterator](), (all) => all.length >= count);
    watch.close();
    checkOrder(seen);
    return eventsOf(seen);
  };

  withStore("a watch resumes from any revision, without gap or duplicate", async (store) => {
    const first = await write(store);
    const startRevision = (first + 10) as Revision;
    const later = store.txn(does(put("k", "last")));
    const events = await read(store, { key: bytes("k"), startRevision, previous: true }, 31);
    await later;
    const expected = Array.from({ length: 30 }, (_, index) => `k=${index + 10}`);
    assert.equal(showEvents(events), [...expected, "k=last"].join(" "));
    assert.equal(text(events[0]!.previous!.value), "9");
    assert.equal(text(events[30]!.previous!.value), "39");
  });

  withStore(
    "a watch from a compacted revision fails, from the compacted on it works",
    async (store) => {
      const first = await write(store);
      const compact = (first + 5) as Revision;
      await store.compact(compact);
      const lost = store.watch({ key: bytes("k"), startRevision: first });
      await refused(
        soon(lost[Symbol.asyncIterator]().next(), "error"),
        Code.outOfRange,
        /required revision has been compacted$/,
      );
      const request = { key: bytes("k"), startRevision: compact, previous: true };
      const events = await read(store, request, writes - 5);
      assert.equal(text(events[0]!.kv.value), "5");
      assert.equal(text(events[1]!.previous!.value), "5");
    },
  );

  withStore("a watch from a revision to come waits for it", async (store) => {
    const { revision } = await store.txn(does(put("k", "0")));
    const startRevision = (revision + 3) as Revision;
    const watch = store.watch({ key: bytes("k"), startRevision });
    await soon(watch.created, "created watch");
    for (const value of ["1", "2", "3", "4"]) await store.txn(does(put("k", value)));
    const seen = await collect(watch[Symbol.asyncIterator](), (all) => all.length >= 2);
    assert.equal(showEvents(eventsOf(seen)), "k=3 k=4");
    watch.close();
  });

  withStore("a slow consumer gets everything, and the present again after it", async (store) => {
    const watch = store.watch({ key: bytes("k") });
    await soon(watch.created, "created watch");
    await write(store);
    const iterator = watch[Symbol.asyncIterator]();
    const seen = await collect(iterator, (all) => all.length >= writes);
    await store.txn(does(put("k", "now")));
    const present = await collect(iterator, (all) => all.length >= 1);
    const expected = Array.from({ length: writes }, (_, index) => `k=${index}`);
    checkOrder([...seen, ...present]);
    assert.equal(showEvents(eventsOf([...seen, ...present])), [...expected, "k=now"].join(" "));
    watch.close();
  });
}
