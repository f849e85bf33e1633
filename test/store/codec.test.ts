/** The store's own codec and the generated one read each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeTxnResponse,
  encodeProposal,
  encodeRangeRequest,
  encodeTxnResponse,
} from "../../ha/store/codec.ts";
import { decodeProposal, decodeRangeQuery } from "../../ha/store/commands.ts";
import * as layout from "../../ha/store/layout.ts";
import type { Compare, KeyValue, Operation, TxnRequest, TxnResponse } from "../../ha/store/mod.ts";
import { WireReader, WireWriter } from "../../ha/store/wire.ts";
import * as generated from "../../proto/gen/store.ts";
import { bytes } from "./harness.ts";

const data = fc.uint8Array({ maxLength: 300 });
const number = fc.oneof(fc.nat(300), fc.nat(Number.MAX_SAFE_INTEGER));
const lease = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const compare = fc.oneof(
  fc.record({
    key: data,
    rangeEnd: fc.option(data, { nil: undefined }),
    operator: fc.constantFrom("=", "!=", "<", ">"),
    target: fc.constantFrom("version", "create", "mod"),
    operand: fc.oneof(number, fc.integer()),
  }),
  fc.record({
    key: data,
    operator: fc.constantFrom("=", "<"),
    target: fc.constant("lease"),
    operand: lease,
  }),
  fc.record({
    key: data,
    operator: fc.constantFrom("=", "<"),
    target: fc.constant("value"),
    operand: data,
  }),
) as fc.Arbitrary<Compare>;
const { operation } = fc.letrec<{ operation: Operation; txn: TxnRequest }>((tie) => ({
  operation: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({
      op: fc.constant("put" as const),
      key: data,
      value: data,
      lease,
      previous: fc.boolean(),
      ignoreValue: fc.boolean(),
      ignoreLease: fc.boolean(),
    }),
    fc.record({
      op: fc.constant("delete" as const),
      key: data,
      rangeEnd: data,
      previous: fc.boolean(),
    }),
    tie("txn").map((txn) => ({ op: "txn" as const, ...txn })),
  ),
  txn: fc.record({
    compares: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie("operation"), { maxLength: 3 }),
    failure: fc.array(tie("operation"), { maxLength: 2 }),
  }),
}));
const txn = fc.record({
  compares: fc.array(compare, { maxLength: 2 }),
  success: fc.array(operation, { maxLength: 3 }),
  failure: fc.array(operation, { maxLength: 2 }),
});

test("a proposal reads back the same by either codec", () => {
  fc.assert(
    fc.property(
      fc.array(txn, { maxLength: 3 }),
      number,
      fc.string(),
      (txns, sequence, requestId) => {
        const encoded = encodeProposal({
          proposer: 3,
          incarnation: 2 ** 32,
          wallMillis: sequence,
          commands: txns.map((txn) => ({ sequence, requestId, command: { kind: "txn", txn } })),
        });
        assert.equal(encoded.buffer.byteLength, encoded.length, "it keeps nothing else");
        const message = generated.Proposal.decode(encoded);
        assert.equal(message.wallMillis, sequence);
        assert.equal(message.commands?.length ?? 0, txns.length);
        const first = message.commands?.[0];
        if (first?.command?.$case === "txn") {
          assert.equal(first.requestId, requestId);
          assert.equal(first.command.value.success?.length ?? 0, txns[0]!.success.length);
        }
        const canonical = generated.Proposal.encode(message).finish();
        assert.deepEqual(Uint8Array.from(canonical), Uint8Array.from(encoded));
        assert.deepEqual(decodeProposal(canonical), decodeProposal(encoded));
      },
    ),
  );
});

test("range requests, key-values and records agree with the generated codec", () => {
  fc.assert(
    fc.property(data, data, number, lease, fc.boolean(), (key, value, mod, id, deleted) => {
      const change = {
        key: Buffer.from(key).toString("latin1"),
        value: deleted ? "" : Buffer.from(value).toString("latin1"),
        deleted,
        create: deleted ? 0 : 5,
        mod,
        version: deleted ? 0 : 3,
        lease: deleted ? 0n : id,
      };
      const sealed = layout.sealChanges(layout.appliedKey, [change, change]);
      const record = layout.openRecord(layout.appliedKey, sealed);
      const message = generated.RevisionRecord.decode(record);
      assert.deepEqual(Uint8Array.from(message.changes![1]!.kv!.key!), key);
      const again = generated.RevisionRecord.encode(message).finish();
      assert.deepEqual(Uint8Array.from(again), Uint8Array.from(record));
      assert.deepEqual(layout.decodeChanges(layout.appliedKey, record), [change, change]);
      const range = encodeRangeRequest({ key, rangeEnd: value, limit: mod, keysOnly: deleted });
      assert.equal(generated.Range.decode(range).limit ?? 0, mod);
      assert.equal(decodeRangeQuery(range).limit, mod);
    }),
  );
});

test("an answer reads back as it was", () => {
  const revision = 9 as never;
  const kv: KeyValue = {
    key: bytes("k"),
    value: bytes("v".repeat(200)),
    createRevision: 3 as never,
    modRevision: 8 as never,
    version: 2,
    lease: -5n,
  };
  const response: TxnResponse = {
    succeeded: true,
    revision,
    results: [
      { op: "put", previous: undefined },
      { op: "put", previous: kv },
      { op: "delete", deleted: 2, previous: [kv, kv] },
      { op: "range", revision, kvs: [kv], more: true, count: 7 },
      { op: "txn", succeeded: false, revision, results: [{ op: "put", previous: undefined }] },
    ],
  };
  const decoded = decodeTxnResponse(encodeTxnResponse(response));
  assert.deepEqual(toArrays(decoded), toArrays(response));
});

/** Buffers print differently from plain byte arrays. */
function toArrays(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(toArrays);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toArrays(item)]));
}

test("bytes that are no proposal are refused, not misread", () => {
  const good = Uint8Array.from(
    encodeProposal({
      proposer: 1,
      incarnation: 1,
      wallMillis: 1,
      commands: [{ sequence: 1, command: { kind: "compact", revision: 5 } }],
    }),
  );
  for (let length = good.length - 1; length > 13; length--) {
    assert.throws(() => decodeProposal(good.subarray(0, length)), RangeError);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (garbage) => {
      try {
        decodeProposal(garbage);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof SyntaxError, String(error));
      }
    }),
  );
});

test("a message that meets the end of a chunk is moved whole", () => {
  for (let gap = 0; gap < 200; gap++) {
    for (const [length, guess] of [
      [3, 3],
      [100, 100],
      [100, 200],
      [140, 20],
      [140, 144],
    ] as const) {
      const writer = new WireWriter();
      writer.raw(new Uint8Array(64 * 1024 - gap));
      writer.finish();
      const mark = writer.begin(4, guess);
      writer.text(1, "k".repeat(length));
      writer.end(mark);
      writer.number(2, gap);
      const reader = new WireReader(writer.finish());
      assert.equal(reader.varint(), 34);
      const end = reader.enter();
      assert.equal(reader.varint(), 10);
      assert.equal(reader.text(), "k".repeat(length), `${length} bytes, ${gap} before the end`);
      assert.equal(reader.position, end);
      assert.deepEqual([reader.varint(), reader.varint()], [16, gap]);
    }
  }
});
