/** Large answers: of one revision, made a piece at a time, ended with their call. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import fc from "fast-check";
import { wireRange, wireTxn } from "../../ha/etcd/convert-answers.ts";
import { rangeMessage, txnMessage } from "../../ha/etcd/range-message.ts";
import type {
  DirectStore,
  KeyValue,
  OperationResult,
  RangeResponse,
  RangeRow,
  RangeRows,
  Revision,
} from "../../ha/store/mod.ts";
import {
  KVClient,
  RangeResponse as WireRange,
  TxnResponse as WireTxn,
} from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { b, call, type Face, openFace } from "./support.ts";

const all = { key: b("k"), rangeEnd: b("l") };
const keyOf = (index: number) => `k${String(index).padStart(6, "0")}`;

async function fill(
  store: DirectStore,
  keys: number,
  value: (index: number) => string,
  together = 100,
) {
  for (let from = 0; from < keys; from += together) {
    const success = Array.from({ length: Math.min(together, keys - from) }, (_, offset) => ({
      op: "put" as const,
      key: b(keyOf(from + offset)),
      value: b(value(from + offset)),
    }));
    await store.txn({ compares: [], success, failure: [] });
  }
}

/** A face with a client that takes answers of any size. */
async function openLarge(keys: number, value: (index: number) => string, together = 100) {
  let store: DirectStore | undefined;
  const face = await openFace({
    wrap: (opened) => {
      store = opened;
      return opened;
    },
  });
  assert.ok(store);
  await fill(store, keys, value, together);
  const kv = new KVClient(`127.0.0.1:${face.port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
  const close = async () => {
    kv.close();
    await face.close();
  };
  return { face, store, kv, close };
}

test("an answer in pieces has the bytes of the whole one", async () => {
  const text = fc.string({ unit: "binary-ascii", maxLength: 300 });
  const counter = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const row = fc.record({
    key: text,
    value: fc.oneof(
      text,
      fc.integer({ min: 0, max: 200_000 }).map((size) => "v".repeat(size)),
    ),
    create: counter,
    mod: counter,
    version: counter,
    lease: fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  });
  const answers = fc.record({ rows: fc.array(row), more: fc.boolean(), count: fc.nat() });
  await fc.assert(
    fc.asyncProperty(answers, async ({ rows, more, count }) => {
      const revision = 7 as Revision;
      const header = { clusterId: 1n, memberId: 2n, revision: 7n, raftTerm: 3n };
      let closed = 0;
      const source: RangeRows = {
        ...{ revision, more, count, length: rows.length },
        at: (index) => rows[index] as RangeRow,
        effort: () => 100,
        close: () => closed++,
      };
      const whole: RangeResponse = { revision, more, count, kvs: rows.map(keyValueOf) };
      const expected = WireRange.encode(wireRange(header, whole)).finish();
      const message = await rangeMessage(header, source, new AbortController().signal);
      assert.equal(message.length, expected.length);
      assert.ok(message.whole().equals(expected));
      assert.ok(closed > 0);
    }),
    { numRuns: 100 },
  );
});

test("the answer to a txn in pieces has the bytes of the whole one", async () => {
  const row = fc.record({
    key: fc.string({ unit: "binary-ascii", maxLength: 40 }),
    value: fc.nat({ max: 70_000 }).map((size) => "v".repeat(size)),
    create: fc.constant(3),
    mod: fc.nat(),
    version: fc.constant(1),
    lease: fc.constant(0n),
  });
  const revision = 9 as Revision;
  const range = fc.record({ rows: fc.array(row), more: fc.boolean() }).map(
    ({ rows, more }): OperationResult => ({
      ...{ op: "range", revision, more, count: rows.length },
      kvs: rows.map((each) => keyValueOf({ ...each, mod: each.mod + 1 })),
    }),
  );
  const others = fc.constantFrom<OperationResult>(
    { op: "put", previous: undefined },
    { op: "delete", deleted: 2, previous: [] },
  );
  const flat = fc.array(fc.oneof(range, others), { maxLength: 5 });
  const nested = flat.map(
    (results): OperationResult => ({ op: "txn", succeeded: false, revision, results }),
  );
  const results = fc.array(fc.oneof(range, others, nested), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(results, fc.boolean(), async (found, succeeded) => {
      const header = { clusterId: 1n, memberId: 2n, revision: 9n, raftTerm: 3n };
      const answer = { succeeded, revision, results: found };
      const expected = WireTxn.encode(wireTxn(header, answer)).finish();
      const message = await txnMessage(header, answer, new AbortController().signal);
      assert.ok(message.whole().equals(expected));
    }),
    { numRuns: 60 },
  );
});

function keyValueOf(row: RangeRow): KeyValue {
  return {
    key: Buffer.from(row.key, "latin1"),
    value: Buffer.from(row.value, "latin1"),
    createRevision: row.create as Revision,
    modRevision: row.mod as Revision,
    version: row.version,
    lease: row.lease,
  };
}

test("an answer of over 32 MiB is sent", async () => {
  const large = await openLarge(400, (index) => String(index).padEnd(100_000, "."), 10);
  try {
    const { kvs, count } = await call(large.kv, large.kv.range, all);
    assert.equal(count, 400n);
    assert.equal(kvs?.length, 400);
    assert.equal(kvs?.[399]?.value?.toString(), "399".padEnd(100_000, "."));
    const request = { $case: "requestRange" as const, value: all };
    const { responses } = await call(large.kv, large.kv.txn, { success: [{ request }] });
    const response = responses?.[0]?.response;
    assert.ok(response?.$case === "responseRange");
    assert.deepEqual(response.value.kvs, kvs);
  } finally {
    await large.close();
  }
});

test("writes, deletions and a compaction meanwhile are not seen, and not waited for", async () => {
  const keys = 20_000;
  const large = await openLarge(keys, (index) => `old ${(index * 7919) % keys}`);
  try {
    const { store } = large;
    for (const sort of [undefined, { by: "value", order: "descending" } as const]) {
      const expected = await store.range({ ...all, sort });
      let opened = false;
      // A serializable range begins at once, so its revision is known.
      const rows = store.openRange({ ...all, sort }, { serializable: true }).finally(() => {
        opened = true;
      });
      let writes = 0;
      for (let at = keys - 1; !opened; at -= 2) {
        assert.ok(at > 0, "the rows are selected before all keys have been written");
        const { revision } = await store.txn({
          compares: [],
          success: [
            { op: "put", key: b(keyOf(at)), value: b(`new ${at}`) },
            { op: "delete", key: b(keyOf(at - 1)) },
            { op: "put", key: b(`k!${at}`), value: b("added") },
          ],
          failure: [],
        });
        writes++;
        if (writes % 2 === 0) await store.compact(revision);
      }
      assert.ok(writes > 1, `${writes} writes went on`);
      const found = await rows;
      assert.ok(!("kvs" in found));
      assert.equal(found.revision, expected.revision);
      assert.equal(found.count, expected.count);
      assert.equal(found.length, expected.kvs.length);
      for (const [row, kv] of expected.kvs.entries()) {
        assert.deepEqual(keyValueOf(found.at(row)), kv);
      }
      found.close();
    }
  } finally {
    await large.close();
  }
});

test("a past revision is read from history, which is held until the answer has left", async () => {
  const large = await openLarge(5_000, (index) => `first ${index}`);
  try {
    const { store } = large;
    const { revision } = await store.status();
    await fill(store, 5_000, (index) => `second ${index}`);
    const rows = await store.openRange({ ...all, revision });
    assert.ok(!("kvs" in rows));
    await store.compact((await store.status()).revision);
    // Compaction takes a step with every write: enough of them to drop everything that is dead.
    for (let write = 0; write < 20; write++) await fill(store, 1, () => `third ${write}`);
    assert.deepEqual([rows.length, rows.count, rows.more], [5_000, 5_000, false]);
    for (const row of [0, 1, 2_500, 4_999]) assert.equal(rows.at(row).value, `first ${row}`);
    rows.close();
    rows.close();
    await assert.rejects(store.range({ ...all, revision }), /required revision has been compacted/);
  } finally {
    await large.close();
  }
});

test("an answer whose caller does not read is not made, and ends with its call", async () => {
  let opened: { rows: RangeRows; read: Set<number>; closed: boolean }[] = [];
  const watched = (rows: RangeRows): RangeRows => {
    const entry = { rows, read: new Set<number>(), closed: false };
    opened.push(entry);
    return {
      ...{ revision: rows.revision, more: rows.more, count: rows.count, length: rows.length },
      // The first pass reads each row once for the length of the message.
      at: (row) => {
        if (row === rows.length - 1) entry.read.clear();
        else entry.read.add(row);
        return rows.at(row);
      },
      effort: (row) => rows.effort(row),
      close: () => {
        entry.closed = true;
        rows.close();
      },
    };
  };
  const face: Face = await openFace({
    wrap: (store) => {
      const openRange: DirectStore["openRange"] = async (request, options) => {
        const response = await store.openRange(request, options);
        return "kvs" in response ? response : watched(response);
      };
      return Object.assign(Object.create(store) as DirectStore, { openRange });
    },
  });
  const { connect } = await import("node:net");
  const { attachSocket, Connection, encodeHeaders } = await import("../../ha/http2/mod.ts");
  try {
    const value = ".".repeat(10_000);
    for (let from = 0; from < 3_000; from += 100) {
      const success = Array.from({ length: 100 }, (_, offset) => ({
        op: "put" as const,
        key: b(keyOf(from + offset)),
        value: b(value),
      }));
      await face.store.txn({ compares: [], success, failure: [] });
    }
    opened = [];
    const socket = connect(face.port, "127.0.0.1");
    let received = 0;
    // Reads from the socket, and gives no window back.
    const connection = new Connection("client", {
      onHeaders: () => {},
      onData: (_stream, _bytes, start, end) => {
        received += end - start;
      },
      onTrailers: () => {},
      onReset: () => {},
      onWritable: () => {},
      onGoaway: () => {},
      onClose: () => {},
    });
    attachSocket(connection, socket);
    const { RangeRequest } = await import("../../proto/gen/etcd.ts");
    const request = RangeRequest.encode(all).finish();
    const framed = Buffer.alloc(5 + request.length);
    framed.writeUInt32BE(request.length, 1);
    framed.set(request, 5);
    const head = encodeHeaders([
      ...[":method", "POST", ":scheme", "http", ":path", "/etcdserverpb.KV/Range"],
      ...[":authority", "127.0.0.1", "content-type", "application/grpc", "te", "trailers"],
    ]);
    const stream = connection.request(head, false);
    assert.ok(stream);
    connection.data(stream, framed, true);
    const window = connection.limits.streamWindowBytes;
    await eventually("the window is used up", () => received === window);
    const [entry] = opened;
    assert.ok(entry);
    // What has been made is what the window takes, and the piece that waits behind it.
    const made = entry.read.size * value.length;
    assert.ok(made <= window + 2 * 64 * 1024, `${made} bytes were made`);
    assert.ok(!entry.closed);
    connection.reset(stream, 8);
    await eventually("the rows are closed", () => entry.closed);
    socket.destroy();
  } finally {
    await face.close();
  }
});

test("a caller who goes while the rows are selected ends the selection", async () => {
  const large = await openLarge(20_000, () => "v");
  try {
    const { store } = large;
    const controller = new AbortController();
    const first = store.openRange(all, { caller: controller });
    const second = store.openRange(all, { caller: controller });
    controller.abort();
    await assert.rejects(Promise.resolve(first), /the caller has gone/);
    await assert.rejects(Promise.resolve(second), /the caller has gone/);
    const rows = await store.openRange(all);
    assert.ok(!("kvs" in rows), "the next one has its turn");
    assert.equal(rows.length, 20_000);
    rows.close();
  } finally {
    await large.close();
  }
});
