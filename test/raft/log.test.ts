import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Log } from "../../ha/raft/log.ts";
import { type Entry, EntryKind, type LogIndex, type Term } from "../../ha/raft/types.ts";
import { membershipOf } from "./cluster.ts";

const index = (number: number) => number as LogIndex;
const term = (number: number) => number as Term;

function entry(at: number, of: number, size = 1): Entry {
  const data = new Uint8Array(size);
  return { index: index(at), term: term(of), kind: EntryKind.normal, data };
}

/** A log after `base` whose entries have these terms. */
function logOf(terms: readonly number[], base = 0, baseTerm = 0): Log {
  const entries = terms.map((of, position) => entry(base + 1 + position, of));
  const past = { read: (from: number, to: number) => entries.slice(from - base - 1, to - base) };
  return new Log({ index: index(base), term: term(baseTerm) }, entries, past);
}

test("terms are known from the base to the end", () => {
  const log = logOf([2, 2, 3], 10, 1);
  assert.equal(log.termAt(index(9)), undefined);
  assert.equal(log.termAt(index(10)), 1);
  assert.equal(log.termAt(index(13)), 3);
  assert.equal(log.termAt(index(14)), undefined);
  assert.equal(log.firstIndex, 11);
  assert.equal(log.lastIndex, 13);
  assert.equal(log.lastTerm, 3);
});

test("a log refuses gaps and falling terms", () => {
  const log = logOf([1, 2]);
  assert.throws(() => log.push(entry(4, 2)), /contiguous/);
  assert.throws(() => log.push(entry(3, 1)), /never decrease/);
  assert.throws(() => log.truncateFrom(index(0)), /never truncated/);
});

test("what is not durable is handed out once, and again after a truncation", () => {
  const log = logOf([1, 1]);
  assert.deepEqual(log.takeUnstable(), []);
  log.push(entry(3, 1));
  log.push(entry(4, 1));
  assert.deepEqual(
    log.takeUnstable().map((each) => each.index),
    [3, 4],
  );
  assert.deepEqual(log.takeUnstable(), []);
  log.truncateFrom(index(2));
  log.push(entry(2, 5));
  assert.deepEqual(
    log.takeUnstable().map((each) => [each.index, each.term]),
    [[2, 5]],
  );
  assert.equal(log.lastTerm, 5);
});

test("slices keep to the byte limit but make progress, and are shared", () => {
  const log = logOf([1, 1, 1, 1, 1]);
  const slice = log.slice(index(2), index(5), 2);
  assert.deepEqual(
    slice.map((each) => each.index),
    [2, 3],
  );
  assert.equal(log.slice(index(2), index(5), 2), slice);
  assert.equal(log.slice(index(4), index(9), 0).length, 1);
  assert.deepEqual(log.slice(index(6), index(9), 10), []);
  log.truncateFrom(index(3));
  log.push(entry(3, 2));
  assert.equal(log.slice(index(2), index(3), 2)[1]?.term, 2);
  assert.equal(log.bytes(1, 3), 3);
});

test("compaction keeps the term of the base and the rest of the log", () => {
  const log = logOf([1, 1, 2, 2]);
  log.compactTo(index(3));
  assert.equal(log.termAt(index(3)), 2);
  assert.equal(log.termAt(index(2)), undefined);
  assert.deepEqual(
    log.slice(index(4), index(4), 10).map((each) => each.index),
    [4],
  );
  log.compactTo(index(2));
  assert.equal(log.baseIndex, 3);
  assert.throws(() => log.compactTo(index(9)), /handed to the disk/);
});

test("a restored log begins after the snapshot", () => {
  const log = logOf([1, 1]);
  log.restore({ index: index(7), term: term(3), membership: membershipOf([1]) });
  assert.equal(log.lastIndex, 7);
  assert.equal(log.lastTerm, 3);
  assert.equal(log.compareEnd(index(7), term(3)), 0);
  log.push(entry(8, 3));
  assert.equal(log.takeUnstable().length, 1);
});

test("the end of a log is compared by term first", () => {
  const log = logOf([1, 3, 3]);
  assert.ok(log.compareEnd(index(99), term(2)) > 0);
  assert.ok(log.compareEnd(index(1), term(4)) < 0);
  assert.ok(log.compareEnd(index(2), term(3)) > 0);
});

test("the search for a common past skips terms as a plain walk would", () => {
  const terms = fc
    .array(fc.integer({ min: 1, max: 6 }), { maxLength: 30 })
    .map((list) => list.sort((a, b) => a - b));
  fc.assert(
    fc.property(terms, fc.nat(40), fc.nat(8), (list, from, wanted) => {
      const log = logOf(list);
      let expected = Math.min(from, list.length);
      while (expected > 0 && list[expected - 1]! > wanted) expected--;
      assert.equal(log.lastIndexOfTerm(index(from), term(wanted)), expected);
    }),
  );
});

/** What the disk was asked, and a log that has let go of its entries up to `released`. */
function releasedLog(terms: readonly number[], released: number) {
  const entries = terms.map((of, position) => entry(position + 1, of, 10));
  const asked: (readonly [number, number])[] = [];
  const read = (from: number, to: number) => {
    asked.push([from, to]);
    return entries.slice(from - 1, to);
  };
  const log = new Log({ index: index(0), term: term(0) }, entries, { read });
  log.release(index(released), released, 0, 1);
  return { log, asked };
}

test("what was let go of is read back from the disk, and its terms are known", () => {
  const { log, asked } = releasedLog([1, 1, 2, 2, 4, 4], 4);
  const terms = [0, 1, 2, 3, 4, 5, 6, 7].map((at) => log.termAt(index(at)));
  assert.deepEqual(terms, [0, 1, 1, 2, 2, 4, 4, undefined]);
  assert.equal(log.lastIndexOfTerm(index(6), term(3)), 4);
  assert.equal(log.bytes(1, 6), 20);
  const past = log.slice(index(2), index(6), 1_000);
  assert.deepEqual(
    past.map((each) => each.index),
    [2, 3, 4],
  );
  assert.equal(log.slice(index(5), index(6), 1_000).length, 2);
  assert.deepEqual(asked, [[2, 4]]);
  assert.throws(() => log.truncateFrom(index(4)), /never truncated/);
});

test("a log is compacted before, at and after the end of what was let go of", () => {
  for (const at of [1, 3, 4, 5, 6]) {
    const { log } = releasedLog([1, 1, 2, 2, 4, 4], 4);
    log.compactTo(index(at));
    assert.equal(log.firstIndex, at + 1);
    assert.equal(log.lastIndex, 6);
    const terms = [1, 2, 3, 4, 5, 6].map((each) => log.termAt(index(each)));
    assert.deepEqual(terms, [1, 1, 2, 2, 4, 4].fill(undefined as never, 0, at - 1));
    if (at < 6) assert.equal(log.slice(index(at + 1), index(6), 1_000)[0]?.index, at + 1);
    log.push(entry(7, 5));
    assert.equal(log.termAt(index(7)), 5);
  }
});

test("only what is on the disk is let go of, and what peers lack only beyond the bound", () => {
  const log = logOf([1, 1]);
  for (let at = 3; at <= 8; at++) log.push(entry(at, 1, 10));
  const held = () => log.bytes(1, 8);
  log.release(index(8), 8, 0, 1);
  assert.equal(held(), 60);
  log.takeUnstable();
  log.persisted({ index: index(6), term: term(1) });
  log.release(index(8), 2, 45, 1);
  assert.equal(held(), 40);
  log.release(index(8), 8, 45, 3);
  assert.equal(held(), 40);
  log.release(index(8), 8, 45, 2);
  assert.equal(held(), 20);
  log.truncateFrom(index(7));
  log.push(entry(7, 2, 10));
  log.persisted({ index: index(7), term: term(1) });
  log.release(index(7), 7, 0, 1);
  assert.equal(held(), 10);
  log.persisted({ index: index(7), term: term(2) });
  log.release(index(7), 7, 0, 1);
  assert.equal(held(), 0);
});
