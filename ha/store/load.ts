/** Reading the state back from disk at start. */
import { assert } from "../runtime/assert.ts";
import type { DiskError, DiskRange } from "../runtime/types.ts";
import {
  type Applied,
  appliedKey,
  byRevision,
  corruptRecord,
  decodeApplied,
  decodeChanges,
  decodeLease,
  decodeSession,
  diskKey,
  openRecord,
  type PageReader,
  Prefix,
  positionOf,
  storeRanges,
} from "./layout.ts";
import { type HistoryDisk, survivorsOf } from "./records.ts";
import type { StateMachine } from "./state-machine.ts";

const pageEntries = 1000;

/**
 * Fills a new state machine from its disk; an empty disk is an empty store. Throws
 * `DiskError("corrupt")` that names the record where what is there does not fit together, also
 * after a restore that was interrupted.
 */
export async function loadStateMachine(
  machine: StateMachine,
  disk: HistoryDisk,
  read: PageReader,
): Promise<void> {
  const bytes = disk.get(appliedKey);
  if (bytes === undefined) return checkEmpty(read);
  const applied = decodeApplied(openRecord(appliedKey, bytes));
  const { revision } = applied;
  await eachRecord(read, Prefix.lease, (key, value) => {
    const { id, seconds } = decodeLease(key, value);
    if (id === 0n || machine.leases.get(id) !== undefined) {
      throw corruptRecord(key, `holds lease ${id}`);
    }
    machine.leases.restore(id, seconds);
  });
  await eachRecord(read, Prefix.session, (key, value) => {
    const follows = machine.sessions.restore(decodeSession(key, value), positionOf(key));
    if (!follows) throw corruptRecord(key, "does not follow the one before it");
  });
  machine.history.entries.beginLoad();
  const last = await loadHistory(machine, read, applied);
  machine.history.entries.endLoad();
  if (last !== revision) {
    throw corruptRecord(diskKey(Prefix.revision, revision), "is missing, but was applied");
  }
  machine.restore(applied);
  attachLeases(machine);
}

/** Answers the last revision. */
async function loadHistory(
  { history }: StateMachine,
  read: PageReader,
  { revision, compactRevision }: Applied,
): Promise<number> {
  const dropped = new Map<number, Uint8Array>();
  await eachRecord(read, Prefix.dropped, (key, value) => {
    dropped.set(positionOf(key), Uint8Array.from(value));
  });
  let last = 1;
  // Every revision is there from here on; below, what compaction has left.
  const wholeFrom = Math.max(compactRevision, 2);
  await eachRecord(read, Prefix.revision, (key, value) => {
    const first = positionOf(key);
    if (first > revision) throw corruptRecord(key, `is beyond the applied revision ${revision}`);
    if (first <= last) throw corruptRecord(key, `follows revision ${last}`);
    const changes = decodeChanges(key, value);
    const notes = dropped.get(first);
    const survivors = survivorsOf(
      changes,
      notes === undefined ? [] : decodeChanges(diskKey(Prefix.dropped, first), notes),
    );
    dropped.delete(first);
    if (survivors.length === 0) throw corruptRecord(key, "holds no change");
    let due = first;
    for (const [at, ofRevision] of byRevision(survivors)) {
      if (at < due) throw corruptRecord(key, `holds a change of revision ${at}`);
      if (at > revision) throw corruptRecord(key, `goes beyond the applied revision ${revision}`);
      const expected = Math.max(last + 1, wholeFrom);
      if (at >= wholeFrom && at !== expected) {
        throw corruptRecord(diskKey(Prefix.revision, expected), "is missing");
      }
      history.replay(at, ofRevision);
      last = at;
      due = at + 1;
    }
    history.records.restore(first, last, changes.length, survivors.length);
  });
  for (const first of dropped.keys()) {
    throw corruptRecord(
      diskKey(Prefix.revision, first),
      "is missing, but something was dropped from it",
    );
  }
  return last;
}

async function checkEmpty(read: PageReader): Promise<void> {
  for (const { start, end } of storeRanges) {
    const [entry] = await read({ start, end, limit: 1 });
    if (entry === undefined) continue;
    throw corruptRecord(entry[0], "is there without an applied index: a restore was interrupted");
  }
}

function attachLeases(machine: StateMachine): void {
  machine.history.entries.visit("", "\u{ffff}", (entry) => {
    const lease = entry.current?.lease ?? 0n;
    if (lease === 0n) return true;
    if (machine.leases.get(lease) === undefined) {
      const key = diskKey(Prefix.revision, entry.current?.mod ?? 0);
      throw corruptRecord(key, `attaches a key to lease ${lease}, which was not granted`);
    }
    machine.leases.move(entry.key, 0n, lease);
    return true;
  });
}

async function eachRecord(
  read: PageReader,
  prefix: Prefix,
  each: (key: Uint8Array, value: Uint8Array) => void,
): Promise<void> {
  let range: DiskRange = {
    start: Uint8Array.of(prefix),
    end: Uint8Array.of(prefix + 1),
    limit: pageEntries,
  };
  for (;;) {
    const page = await read(range);
    for (const [key, value] of page) {
      if (key.length !== 9) throw corruptRecord(key, "has a key of a wrong length");
      each(key, openRecord(key, value));
    }
    const last = page[page.length - 1]?.[0];
    if (page.length < pageEntries || last === undefined) return;
    range = { ...range, start: after(last) };
  }
}

/** The first key after this one. */
export function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** A page reader over a disk. */
export function pageReader(disk: {
  scan(
    range: Parameters<PageReader>[0],
    done: (error: DiskError | undefined, page: Awaited<ReturnType<PageReader>>) => void,
  ): void;
}): PageReader {
  return (range) =>
    new Promise((resolve, reject) => {
      assert(range.limit > 0, "a page has a limit");
      disk.scan(range, (error, page) => {
        if (error === undefined) resolve(page);
        else reject(error);
      });
    });
}
