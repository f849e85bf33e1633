/** The frames written by hand read back as the generated code reads them, and the other way round. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeFrame,
  decodeLogBatch,
  encodeFrame,
  newOutgoing,
  sealLogBatch,
} from "../../ha/member/frames.ts";
import type { Message } from "../../ha/raft/mod.ts";
import { unseal } from "../../ha/store/mod.ts";
import { Frame, LogBatch, type Message as WireMessage } from "../../proto/gen/raft.ts";

const count = fc.maxSafeNat();
const data = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 120, maxLength: 300 }),
);
const entry = fc.record({ term: count, index: count, kind: fc.nat(1), data });
const meta = fc.record({
  index: count,
  term: count,
  membership: fc.record({
    voters: fc.array(count, { maxLength: 3 }),
    outgoing: fc.array(count, { maxLength: 3 }),
    learners: fc.array(count, { maxLength: 3 }),
    learnersNext: fc.array(count, { maxLength: 3 }),
  }),
});
const message = fc
  .record({
    type: fc.integer({ min: 1, max: 14 }),
    from: count,
    to: count,
    term: count,
    index: count,
    logTerm: count,
    entries: fc.array(entry, { maxLength: 4 }),
    commit: count,
    reject: fc.boolean(),
    rejectHint: count,
    rejectTerm: count,
    context: count,
    snapshot: fc.option(meta, { nil: undefined }),
    force: fc.boolean(),
  })
  // Of what was not rejected there is no hint.
  .map((all) =>
    all.reject ? all : { ...all, rejectHint: 0, rejectTerm: 0 },
  ) as fc.Arbitrary<unknown> as fc.Arbitrary<Message>;

const plain = (bytes: Uint8Array) => Uint8Array.from(bytes);
const comparable = (from: Message) => ({
  ...from,
  snapshot: from.snapshot && { ...from.snapshot, membership: { ...from.snapshot.membership } },
  entries: from.entries.map((each) => ({ ...each, data: plain(each.data) })),
});

test("frames", () => {
  fc.assert(
    fc.property(
      count,
      fc.array(message, { maxLength: 4 }),
      fc.boolean(),
      (cluster, messages, more) => {
        const outgoing = { ...newOutgoing(), messages };
        if (more) {
          outgoing.calls.push({ id: 7, kind: 1, lease: "12" });
          outgoing.answers.push({ id: 8, leads: true, hash: 5 });
          outgoing.chunks.push({ term: 3, sequence: 4, data: Buffer.of(1, 2) });
        }
        const bytes = encodeFrame(cluster, outgoing);
        const generated = Frame.decode(bytes);
        assert.equal(generated.cluster, cluster);
        for (const [index, { type, from, index: at, entries, context }] of messages.entries()) {
          const other = generated.messages?.[index];
          assert.deepEqual([other?.type, other?.from, other?.index], [type, from, at]);
          assert.deepEqual(
            (other?.entries ?? []).map((each) => [
              each.term,
              each.index,
              plain(each.data ?? Uint8Array.of()),
            ]),
            entries.map((each) => [each.term, each.index, plain(each.data)]),
          );
          assert.equal(other?.context ?? 0, context);
        }
        for (const form of [bytes, Frame.encode(generated).finish()]) {
          const read = decodeFrame(form);
          assert.equal(read.cluster, cluster);
          assert.deepEqual(read.messages.map(comparable), messages.map(comparable));
          assert.deepEqual(
            [read.calls.length, read.answers.length, read.chunks.length],
            Array(3).fill(more ? 1 : 0),
          );
          assert.equal(read.calls[0]?.lease, more ? "12" : undefined);
        }
      },
    ),
  );
});

test("batches of the log", () => {
  const key = Uint8Array.of(1);
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
      const bytes = unseal(key, sealLogBatch(key, entries as never)) ?? Uint8Array.of();
      const again = LogBatch.encode(LogBatch.decode(bytes)).finish();
      assert.deepEqual(plain(again), plain(bytes));
      assert.deepEqual(
        decodeLogBatch(again).map((each) => ({ ...each, data: plain(each.data) })),
        entries.map((each) => ({ ...each, data: plain(each.data) })),
      );
    }),
  );
});

test("bytes that are no frame are refused", () => {
  const frame = encodeFrame(1, { ...newOutgoing(), calls: [{ id: 7, lease: "12" }] });
  assert.throws(() => decodeFrame(frame.subarray(0, frame.length - 1)), RangeError);
  const wire: WireMessage = { type: 1, from: 2 };
  const short = Frame.encode({ messages: [wire] }).finish();
  assert.throws(() => decodeFrame(short.subarray(0, short.length - 1)), RangeError);
});
