/**
 * The guarantees of Watch, named as in etcd's API reference, each a function that throws the
 * Violation of its name. What a watcher saw is held against what was committed in its range.
 */
import { Violation } from "./violation.ts";

export interface SeenEvent {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
}

export interface SeenBatch {
  readonly events: readonly SeenEvent[];
  /** Everything up to here has been delivered, says the store. */
  readonly revision: number;
}

/** One stream, from its creation to its end. */
export interface WatchSession {
  /** Events were asked for from this revision on. */
  readonly start: number;
  readonly batches: readonly SeenBatch[];
}

/** All streams of one watcher, each beginning where the last one ended or after a new list. */
export interface WatchRecord {
  readonly name: string;
  readonly sessions: readonly WatchSession[];
}

type Reference = readonly SeenEvent[];

/** Events come in the order of their revisions. */
export function assertOrdered({ name, sessions }: WatchRecord): void {
  for (const { batches } of sessions) {
    let before = 0;
    for (const { revision } of batches.flatMap(({ events }) => events)) {
      if (revision < before) fail("ordered", name, `saw ${revision} after ${before}`);
      before = revision;
    }
  }
}

/** An event is never delivered twice, whatever was resumed in between. */
export function assertUnique({ name, sessions }: WatchRecord): void {
  const seen = new Set<string>();
  for (const { revision, key } of sessions.flatMap(eventsOf)) {
    const event = `${key} at ${revision}`;
    if (seen.has(event)) fail("unique", name, `saw ${event} twice`);
    seen.add(event);
  }
}

/** All events of a revision are in one batch. */
export function assertAtomic({ name, sessions }: WatchRecord, reference: Reference): void {
  const sizes = new Map<number, number>();
  for (const { revision } of reference) sizes.set(revision, (sizes.get(revision) ?? 0) + 1);
  for (const { events } of sessions.flatMap(({ batches }) => batches)) {
    for (const [revision, together] of Map.groupBy(events, (event) => event.revision)) {
      const size = sizes.get(revision) ?? 0;
      if (together.length === size) continue;
      const text = `saw ${together.length} of ${size} events of revision ${revision} in a batch`;
      fail("atomic", name, text);
    }
  }
}

/** Between the first and the last event of a stream none is missing, and none is made up. */
export function assertReliable({ name, sessions }: WatchRecord, reference: Reference): void {
  for (const session of sessions) {
    const seen = eventsOf(session);
    const [first] = seen;
    const last = seen.at(-1);
    if (!first || !last) continue;
    const expected = between(reference, first.revision, last.revision);
    for (let i = 0; i < Math.max(seen.length, expected.length); i++) {
      const [a, b] = [describe(seen[i]), describe(expected[i])];
      if (a !== b) fail("reliable", name, `saw ${a} where the store has ${b}`);
    }
  }
}

/** A stream begins with the first event from the revision on that was asked for. */
export function assertResumable({ name, sessions }: WatchRecord, reference: Reference): void {
  for (const session of sessions) {
    const [first] = eventsOf(session);
    if (!first) continue;
    const owed = reference[firstFrom(reference, session.start)];
    if (owed?.revision === first.revision) continue;
    const text = `started at ${session.start} and saw ${first.revision} first, not ${owed?.revision}`;
    fail("resumable", name, text);
  }
}

/**
 * The revision of a batch never runs ahead of what was delivered: all events up to it have been,
 * and none follows; and it never decreases.
 */
export function assertBookmarkable({ name, sessions }: WatchRecord, reference: Reference): void {
  for (const { start, batches } of sessions) {
    let before = 0;
    let delivered = 0;
    const from = firstFrom(reference, start);
    for (const { events, revision } of batches) {
      if (revision < before) fail("bookmarkable", name, `came to ${revision} after ${before}`);
      const late = events.find((event) => event.revision <= before || event.revision > revision);
      if (late) fail("bookmarkable", name, `was at ${before}, then saw ${describe(late)}`);
      delivered += events.length;
      const owed = firstFrom(reference, revision + 1) - from;
      if (delivered < owed) {
        const text = `came to ${revision} with ${delivered} of ${owed} events since ${start}`;
        fail("bookmarkable", name, text);
      }
      before = revision;
    }
  }
}

export function assertWatchGuarantees(record: WatchRecord, reference: Reference): void {
  assertOrdered(record);
  assertUnique(record);
  assertAtomic(record, reference);
  assertReliable(record, reference);
  assertResumable(record, reference);
  assertBookmarkable(record, reference);
}

function eventsOf({ batches }: WatchSession): SeenEvent[] {
  return batches.flatMap(({ events }) => events);
}

function between(reference: Reference, first: number, last: number): Reference {
  return reference.slice(firstFrom(reference, first), firstFrom(reference, last + 1));
}

/** Index of the first event at or after the revision. */
function firstFrom(reference: Reference, revision: number): number {
  let low = 0;
  let high = reference.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((reference[middle]?.revision ?? 0) < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}

function describe(event: SeenEvent | undefined): string {
  if (!event) return "nothing";
  const { revision, type, key, value } = event;
  return type === "put" ? `${revision}: ${key} = ${value}` : `${revision}: ${key} deleted`;
}

function fail(guarantee: string, name: string, text: string): never {
  throw new Violation(`watch ${guarantee}: ${name} ${text}`);
}
