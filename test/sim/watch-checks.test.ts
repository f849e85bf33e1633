import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertAtomic,
  assertBookmarkable,
  assertOrdered,
  assertReliable,
  assertResumable,
  assertUnique,
  assertWatchGuarantees,
  type SeenBatch,
  type SeenEvent,
  type WatchRecord,
} from "../../services/drill/checker/watch-checks.ts";

const put = (revision: number, key = "/a", value = `v${revision}`): SeenEvent => ({
  revision,
  type: "put",
  key,
  value,
});
const batch = (revision: number, ...events: SeenEvent[]): SeenBatch => ({ revision, events });
const watcher = (...sessions: [start: number, ...SeenBatch[]][]): WatchRecord => ({
  name: "w",
  sessions: sessions.map(([start, ...batches]) => ({ start, batches })),
});
/** Revision 4 has two events, and 5 none in this range. */
const reference = [put(2), put(3), put(4), put(4, "/b"), put(6)];

test("a watcher that sees everything, resumes and lists anew is content", () => {
  const whole = watcher(
    [2, batch(2, put(2)), batch(4, put(3), put(4), put(4, "/b"))],
    [5, batch(5)],
    [6, batch(6, put(6))],
  );
  assertWatchGuarantees(whole, reference);
  assertWatchGuarantees(watcher([2, batch(2, put(2))], [6, batch(6, put(6))]), reference);
});

test("ordered: an older event after a newer one", () => {
  const bad = watcher([2, batch(3, put(3), put(2))]);
  assert.throws(() => assertOrdered(bad), /watch ordered/);
});

test("unique: an event again after a resume", () => {
  const bad = watcher([2, batch(2, put(2))], [2, batch(3, put(2), put(3))]);
  assert.throws(() => assertUnique(bad), /watch unique/);
});

test("atomic: a revision in two batches", () => {
  const bad = watcher([4, batch(4, put(4)), batch(4, put(4, "/b"))]);
  assert.throws(() => assertAtomic(bad, reference), /watch atomic/);
});

test("reliable: an event is missing between two others, or is not what was written", () => {
  const hole = watcher([2, batch(2, put(2)), batch(4, put(4), put(4, "/b"))]);
  assert.throws(() => assertReliable(hole, reference), /watch reliable/);
  const wrong = watcher([2, batch(2, put(2, "/a", "other"))]);
  assert.throws(() => assertReliable(wrong, reference), /watch reliable/);
  const madeUp = watcher([5, batch(5, put(5))]);
  assert.throws(() => assertReliable(madeUp, reference), /watch reliable/);
});

test("resumable: the first event after a resume is skipped, or one before it is seen", () => {
  const late = watcher([3, batch(4, put(4), put(4, "/b"))]);
  assert.throws(() => assertResumable(late, reference), /watch resumable/);
  const early = watcher([3, batch(3, put(2), put(3))]);
  assert.throws(() => assertResumable(early, reference), /watch resumable/);
});

test("bookmarkable: progress runs ahead of undelivered events, goes back, or is taken back", () => {
  const ahead = watcher([2, batch(2, put(2)), batch(3)]);
  assert.throws(() => assertBookmarkable(ahead, reference), /watch bookmarkable/);
  const back = watcher([5, batch(5), batch(4)]);
  assert.throws(() => assertBookmarkable(back, reference), /watch bookmarkable/);
  const takenBack = watcher([2, batch(3, put(2), put(3)), batch(4, put(3), put(4), put(4, "/b"))]);
  assert.throws(() => assertBookmarkable(takenBack, reference), /watch bookmarkable/);
});
