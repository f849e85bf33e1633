/** What every store promises (`ha/store/types.ts`), as a suite that every implementation runs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  Compare,
  KeyValue,
  Operation,
  Revision,
  Store,
  TxnRequest,
  WatchBatch,
  WatchEvent,
  WatchRequest,
} from "../../ha/store/types.ts";

export interface OpenedStore {
  readonly store: Store;
  close(): Promise<void>;
}

export interface StoreContractOptions {
  /** False: request ids mean nothing to this store (an external etcd). */
  readonly sessions?: boolean;
}

const deadlineMillis = 10_000;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);
const all = Uint8Array.of(0);

const put = (key: string, value: string, lease?: bigint): Operation => ({
  op: "put",
  key: bytes(key),
  value: bytes(value),
  lease,
});
const remove = (key: string, end?: string): Operation => ({
  op: "delete",
  key: bytes(key),
  rangeEnd: end === undefined ? undefined : bytes(end),
  previous: true,
});
const does = (...success: Operation[]): TxnRequest => ({ compares: [], success, failure: [] });
const when = (compare: Compare, success: Operation[], failure: Operation[] = []): TxnRequest => ({
  compares: [compare],
  success,
  failure,
});

const show = (kvs: readonly KeyValue[]): string =>
  kvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`).join(" ");
const showEvents = (events: readonly WatchEvent[]): string =>
  events
    .map(({ type, kv }) =>
      type === "put" ? `${text(kv.key)}=${text(kv.value)}` : `-${text(kv.key)}`,
    )
    .join(" ");

async function refused(promise: Promise<unknown>, code: Code, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

/** The promise, or an error that says what did not come. */
function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in time`)), deadlineMillis);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Collects batches of a watch until its events satisfy `enough`. */
async function collect(
  iterator: AsyncIterator<WatchBatch>,
  enough: (events: readonly WatchEvent[], batches: readonly WatchBatch[]) => boolean,
): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  while (
    !enough(
      batches.flatMap((batch) => batch.events),
      batches,
    )
  ) {
    const next = await soon(iterator.next(), "watch batch");
    assert.equal(next.done, false, "the watch goes on");
    batches.push(next.value);
  }
  return batches;
}

const eventsOf = (batches: readonly WatchBatch[]): WatchEvent[] =>
  batches.flatMap((batch) => [...batch.events]);

/** Ordered, unique, atomic: events ascend, and no revision is split between batches. */
function checkOrder(batches: readonly WatchBatch[]): void {
  let last = 0;
  for (const batch of batches) {
    for (const { kv } of batch.events) {
      assert.ok(kv.modRevision > last, `event at ${kv.modRevision} after a batch to ${last}`);
      assert.ok(kv.modRevision <= batch.revision, "a batch covers its events");
    }
    const revisions = batch.events.map(({ kv }) => kv.modRevision);
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
      "events ascend",
    );
    assert.ok(batch.revision >= last, "batches ascend");
    last = batch.revision;
  }
}

export function storeContract(
  name: string,
  open: () => Promise<OpenedStore>,
  options: StoreContractOptions = {},
): void {
  const withStore = (title: string, body: (store: Store) => Promise<void>): void => {
    test(title, async () => {
      const opened = await open();
      try {
        await body(opened.store);
      } finally {
        await opened.close();
      }
    });
  };
  describe(`${name} is a store`, () => {
    rangeCases(withStore);
    txnCases(withStore);
    compareCases(withStore);
    compactionCases(withStore);
    leaseCases(withStore);
    watchCases(withStore);
    watchHistoryCases(withStore);
    if (options.sessions !== false) sessionCases(withStore);
  });
}

type WithStore = (title: string, body: (store: Store) => Promise<void>) => void;

function rangeCases(withStore: WithStore): void {
  withStore("ranges: one key, from-to, from on, limit, count, keys only", async (store) => {
    await store.txn(does(put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4")));
    const range = (key: string, rangeEnd?: Uint8Array) =>
      store.range({ key: bytes(key), rangeEnd });
    assert.equal(show((await range("b")).kvs), "b=2");
    assert.equal(show((await range("x")).kvs), "");
    assert.equal(show((await range("a", bytes("c"))).kvs), "a=1 b=2");
    assert.equal(show((await range("b", all)).kvs), "b=2 c=3 d=4");
    assert.equal(show((await range("c", bytes("a"))).kvs), "");
    const limited = await store.range({ key: bytes("a"), rangeEnd: all, limit: 2 });
    assert.equal(show(limited.kvs), "a=1 b=2");
    assert.deepEqual([limited.more, limited.count], [true, 4]);
    const exact = await store.range({ key: bytes("a"), rangeEnd: all, limit: 4 });
    assert.equal(exact.more, false);
    const counted = await store.range({ key: bytes("b"), rangeEnd: all, countOnly: true });
    assert.deepEqual([counted.count, counted.kvs.length], [3, 0]);
    const keys = await store.range({ key: bytes("b"), rangeEnd: bytes("d"), keysOnly: true });
    assert.equal(show(keys.kvs), "b= c=");
    await refused(range(""), Code.invalidArgument, /^etcdserver: key is not provided$/);
  });

  withStore("ranges: sorted and selected by revision", async (store) => {
    const first = (await store.txn(does(put("b", "z")))).revision;
    const second = (await store.txn(does(put("a", "y")))).revision;
    await store.txn(does(put("b", "x")));
    const shown = async (more: object) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, ...more })).kvs);
    assert.equal(await shown({ sort: { by: "key", order: "descending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "value", order: "ascending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "create", order: "descending" }, limit: 1 }), "a=y");
    assert.equal(await shown({ sort: { by: "mod", order: "descending" } }), "b=x a=y");
    assert.equal(await shown({ sort: { by: "version", order: "ascending" } }), "a=y b=x");
    assert.equal(await shown({ maxModRevision: second }), "a=y");
    assert.equal(await shown({ minModRevision: second + 1 }), "b=x");
    assert.equal(await shown({ maxCreateRevision: first }), "b=x");
    assert.equal(await shown({ minCreateRevision: second }), "a=y");
  });

  withStore("ranges read any revision, but none to come", async (store) => {
    const first = (await store.txn(does(put("a", "1"), put("b", "1")))).revision;
    const second = (await store.txn(does(remove("a"), put("b", "2")))).revision;
    const third = (await store.txn(does(put("a", "3")))).revision;
    const at = async (revision: Revision) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, revision })).kvs);
    assert.equal(await at(first), "a=1 b=1");
    assert.equal(await at(second), "b=2");
    assert.equal(await at(third), "a=3 b=2");
    await refused(
      at((third + 1) as Revision),
      Code.outOfRange,
      /^etcdserver: mvcc: required revision is a future revision$/,
    );
  });

  withStore("a read revision is at or above every acknowledged write", async (store) => {
    const { revision } = await store.txn(does(put("a", "1")));
    assert.ok((await store.readRevision()) >= revision);
    const status = await store.status();
    assert.ok(status.revision >= revision);
  });
}

function txnCases(withStore: WithStore): void {
  withStore("revisions: one per writing txn, none for one that changes nothing", async (store) => {
    const before = await store.readRevision();
    const wrote = await store.txn(does(put("a", "1"), put("b", "1")));
    assert.equal(wrote.revision, before + 1);
    const nothing = await store.txn(does(remove("x", "z")));
    assert.equal(nothing.revision, before + 1);
    assert.deepEqual(nothing.results, [{ op: "delete", deleted: 0, previous: [] }]);
    const again = await store.txn(does(put("a", "1")));
    assert.equal(again.revision, before + 2);
    const [kv] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual(
      [kv?.createRevision, kv?.modRevision, kv?.version],
      [before + 1, before + 2, 2],
    );
    await store.txn(does(remove("a")));
    const reborn = await store.txn(does(put("a", "2")));
    const [young] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([young?.createRevision, young?.version], [reborn.revision, 1]);
  });

  withStore("a txn answers each operation and reads its own writes", async (store) => {
    await store.txn(does(put("a", "0"), put("b", "0")));
    const answer = await store.txn(
      does(
        { op: "put", key: bytes("a"), value: bytes("1"), previous: true },
        { op: "range", key: bytes("a"), rangeEnd: all },
        remove("b"),
        { op: "range", key: bytes("a"), rangeEnd: all },
        { op: "put", key: bytes("c"), value: bytes("1"), previous: true },
      ),
    );
    const [first, second, third, fourth, fifth] = answer.results;
    assert.ok(first?.op === "put" && first.previous !== undefined);
    assert.equal(text(first.previous.value), "0");
    assert.ok(second?.op === "range" && fourth?.op === "range");
    assert.equal(show(second.kvs), "a=1 b=0");
    assert.ok(third?.op === "delete");
    assert.equal(third.deleted, 1);
    assert.equal(show(third.previous), "b=0");
    assert.equal(show(fourth.kvs), "a=1");
    assert.deepEqual(fifth, { op: "put", previous: undefined });
  });

  withStore("nested txns are decided on the state before all", async (store) => {
    const inner: Operation = {
      op: "txn",
      ...when(
        { key: bytes("a"), target: "version", operator: "=", operand: 0 },
        [put("b", "absent")],
        [put("b", "present")],
      ),
    };
    const answer = await store.txn(does(put("a", "1"), inner));
    const nested = answer.results[1];
    assert.ok(nested?.op === "txn");
    assert.equal(nested.succeeded, true);
    assert.equal(show((await store.range({ key: bytes("b") })).kvs), "b=absent");
  });

  withStore("a key is written once in a txn", async (store) => {
    const duplicate = /^etcdserver: duplicate key given in txn request$/;
    const twice = store.txn(does(put("a", "1"), put("a", "2")));
    await refused(twice, Code.invalidArgument, duplicate);
    const covered = store.txn(does(put("b", "1"), remove("a", "c")));
    await refused(covered, Code.invalidArgument, duplicate);
    const nested: Operation = { op: "txn", ...does(put("a", "2")) };
    await refused(store.txn(does(put("a", "1"), nested)), Code.invalidArgument, duplicate);
    const either: Operation = {
      op: "txn",
      compares: [],
      success: [put("a", "1")],
      failure: [put("a", "2")],
    };
    assert.equal((await store.txn(does(either))).succeeded, true);
  });

  withStore("a txn that is refused changes nothing", async (store) => {
    const { revision } = await store.txn(does(put("a", "1")));
    const lost: Operation = { op: "put", key: bytes("b"), value: bytes(""), lease: 12345n };
    await refused(
      store.txn(does(put("a", "2"), lost)),
      Code.notFound,
      /requested lease not found$/,
    );
    const late: Operation = {
      op: "range",
      key: bytes("a"),
      revision: (revision + 50) as Revision,
    };
    await refused(store.txn(does(put("a", "2"), late)), Code.outOfRange, /future revision$/);
    const keep: Operation = { op: "put", key: bytes("x"), value: bytes(""), ignoreValue: true };
    await refused(store.txn(does(put("a", "2"), keep)), Code.invalidArgument, /key not found$/);
    assert.equal(show((await store.range({ key: bytes("a"), rangeEnd: all })).kvs), "a=1");
    assert.equal(await store.readRevision(), revision);
    const many = Array.from({ length: 129 }, (_, index) => put(`k${index}`, ""));
    await refused(store.txn(does(...many)), Code.invalidArgument, /too many operations in txn/);
  });

  withStore("puts may keep the value or the lease", async (store) => {
    const { id } = await store.leaseGrant(0n, 60);
    await store.txn(does(put("a", "1", id)));
    await store.txn(does({ op: "put", key: bytes("a"), value: bytes("2"), ignoreLease: true }));
    const [kept] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([text(kept!.value), kept?.lease], ["2", id]);
    await store.txn(does({ op: "put", key: bytes("a"), value: bytes(""), ignoreValue: true }));
    const [bare] = (await store.range({ key: bytes("a") })).kvs;
    assert.deepEqual([text(bare!.value), bare?.lease], ["2", 0n]);
  });

  withStore("keys and values are any bytes", async (store) => {
    const key = Uint8Array.of(0xff, 0, 0x80, 0xc3);
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    await store.txn({ compares: [], success: [{ op: "put", key, value }], failure: [] });
    const [kv] = (await store.range({ key })).kvs;
    assert.deepEqual([Uint8Array.from(kv!.key), Uint8Array.from(kv!.value)], [key, value]);
  });
}

function compareCases(withStore: WithStore): void {
  withStore("compares: every target and operator", async (store) => {
    const { revision } = await store.txn(does(put("a", "m")));
    const holds = async (compare: Compare) => (await store.txn(when(compare, []))).succeeded;
    const key = bytes("a");
    assert.equal(await holds({ key, target: "mod", operator: "=", operand: revision }), true);
    assert.equal(await holds({ key, target: "mod", operator: "!=", operand: revision }), false);
    assert.equal(await holds({ key, target: "create", operator: "<", operand: revision }), false);
    assert.equal(await holds({ key, target: "version", operator: ">", operand: 0 }), true);
    assert.equal(await holds({ key, target: "lease", operator: "=", operand: 0n }), true);
    const value = (operator: Compare["operator"], operand: string) =>
      holds({ key, target: "value", operator, operand: bytes(operand) });
    assert.equal(await value("=", "m"), true);
    assert.equal(await value("<", "n"), true);
    assert.equal(await value(">", "n"), false);
    const absent = bytes("x");
    assert.equal(await holds({ key: absent, target: "mod", operator: "=", operand: 0 }), true);
    const nothing = bytes("");
    const never: Compare = { key: absent, target: "value", operator: "=", operand: nothing };
    assert.equal(await holds(never), false);
  });

  withStore("compares: a range holds when every key of it does", async (store) => {
    await store.txn(does(put("a", "1"), put("b", "1")));
    const range = { key: bytes("a"), rangeEnd: bytes("c") };
    const once: Compare = { ...range, target: "version", operator: "=", operand: 1 };
    assert.equal((await store.txn(when(once, [put("b", "2")]))).succeeded, true);
    assert.equal((await store.txn(when(once, [put("b", "3")]))).succeeded, false);
    assert.equal(show((await store.range(range)).kvs), "a=1 b=2");
  });

  withStore("compare-and-set: of two that expect the same, one wins", async (store) => {
    const { revision } = await store.txn(does(put("a", "0")));
    const mine: Compare = { key: bytes("a"), target: "mod", operator: "=", operand: revision };
    const answers = await Promise.all(
      ["x", "y", "z"].map((value) => store.txn(when(mine, [put("a", value)]))),
    );
    assert.equal(answers.filter(({ succeeded }) => succeeded).length, 1);
  });
}

function compactionCases(withStore: WithStore): void {
  withStore("compaction forgets what is older and keeps what is current", async (store) => {
    const first = (await store.txn(does(put("a", "1"), put("b", "1")))).revision;
    const second = (await store.txn(does(put("a", "2")))).revision;
    const third = (await store.txn(does(put("a", "3"), remove("b")))).revision;
    await store.compact(second);
    const at = async (revision: Revision) =>
      show((await store.range({ key: bytes("a"), rangeEnd: all, revision })).kvs);
    await refused(
      at(first),
      Code.outOfRange,
      /^etcdserver: mvcc: required revision has been compacted$/,
    );
    assert.equal(await at(second), "a=2 b=1");
    assert.equal(await at(third), "a=3");
    await refused(store.compact(second), Code.outOfRange, /has been compacted$/);
    await refused(store.compact((third + 9) as Revision), Code.outOfRange, /future revision$/);
    assert.equal(await store.readRevision(), third, "compaction uses no revision");
  });
}

function leaseCases(withStore: WithStore): void {
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

function watchCases(withStore: WithStore): void {
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

function watchHistoryCases(withStore: WithStore): void {
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

function sessionCases(withStore: WithStore): void {
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
