/**
 * Every key at every revision since the last compaction.
 *
 * Current values are in memory; older ones are known by their revision only and read from disk
 * (`records.ts`).
 * Compaction sets a number at once and drops what no request can read any more in bounded steps: a
 * queue holds, in order, from which compact revision on each superseded modification is dead.
 */
import { assert } from "../runtime/assert.ts";
import { Entries, type Entry, Version } from "./entries.ts";
import { Fifo } from "./fifo.ts";
import { type Change, corruptRecord, diskKey, Prefix } from "./layout.ts";
import { type ChangeName, type HistoryDisk, Records } from "./records.ts";

/** A change with what it replaced; what watchers are told. */
export class AppliedChange implements Change {
  readonly key: string;
  /** Undefined: deleted. */
  readonly current: Version | undefined;
  readonly previous: Version | undefined;
  readonly mod: number;

  constructor(
    key: string,
    current: Version | undefined,
    previous: Version | undefined,
    mod: number,
  ) {
    this.key = key;
    this.current = current;
    this.previous = previous;
    this.mod = mod;
  }
  get deleted(): boolean {
    return this.current === undefined;
  }
  get value(): string {
    return this.current === undefined ? "" : this.current.value;
  }
  get create(): number {
    return this.current === undefined ? 0 : this.current.create;
  }
  get version(): number {
    return this.current === undefined ? 0 : this.current.version;
  }
  get lease(): bigint {
    return this.current === undefined ? 0n : this.current.lease;
  }
}

export class History {
  readonly entries = new Entries();
  readonly records: Records;
  /** An empty store is at 1, as in etcd. */
  revision = 1;
  /** 0: never compacted. Revisions below it cannot be read. */
  compactRevision = 0;
  /** Superseded modifications, and the compact revision from which each is dead. */
  private readonly superseded = new Fifo<Entry>();
  private readonly deadFrom = new Fifo<number>();

  constructor(disk: HistoryDisk) {
    this.records = new Records(disk);
  }

  /** Sets a key at `revision` and answers what that changed. */
  put(entry: Entry, value: string, lease: bigint, revision: number): AppliedChange {
    const previous = entry.current;
    const current =
      previous === undefined
        ? new Version(value, revision, revision, 1, lease)
        : new Version(value, previous.create, revision, previous.version + 1, lease);
    this.replace(entry, current, revision);
    return new AppliedChange(entry.key, current, previous, revision);
  }

  delete(entry: Entry, revision: number): AppliedChange {
    const previous = entry.current;
    this.replace(entry, undefined, revision);
    return new AppliedChange(entry.key, undefined, previous, revision);
  }

  private replace(entry: Entry, current: Version | undefined, revision: number): void {
    const previous = entry.current;
    if (previous !== undefined) {
      if (entry.history === undefined) entry.history = [previous.mod];
      else entry.history.push(previous.mod);
      this.superseded.push(entry);
      this.deadFrom.push(revision);
    }
    this.entries.set(entry, current);
  }

  /** Ends a revision: its changes are now to be written. */
  commit(revision: number, changes: readonly AppliedChange[]): void {
    assert(revision === this.revision + 1, "revisions follow each other");
    this.revision = revision;
    this.records.append(changes);
    this.settle(revision, changes);
  }

  /**
   * Deletions are entered after all else of the revision: a deletion at r can be read until r + 1
   * is compacted, and the queue must ascend.
   */
  private settle(revision: number, changes: readonly Change[]): void {
    for (const change of changes) {
      if (!change.deleted) continue;
      const entry = this.entries.obtain(change.key);
      if (entry.history === undefined) entry.history = [-revision];
      else entry.history.push(-revision);
      this.superseded.push(entry);
      this.deadFrom.push(revision + 1);
    }
  }

  /** Replays a revision at start, as far as it has not been dropped; in ascending order. */
  replay(revision: number, changes: readonly Change[]): void {
    for (const change of changes) {
      const entry = this.entries.obtain(change.key);
      const { value, create, version, lease } = change;
      const current = change.deleted
        ? undefined
        : new Version(value, create, revision, version, lease);
      this.replace(entry, current, revision);
    }
    this.revision = revision;
    this.settle(revision, changes);
  }

  /** The modification of a key that is current at `revision`, or undefined. */
  modAt(entry: Entry, revision: number): number | undefined {
    const { current, history } = entry;
    if (current !== undefined && current.mod <= revision) return current.mod;
    if (history === undefined) return undefined;
    for (let index = history.length - 1; index >= 0; index--) {
      const mod = history[index] as number;
      if (mod < 0 ? -mod <= revision : mod <= revision) return mod < 0 ? undefined : mod;
    }
    return undefined;
  }

  /** The version of the key at `mod`, a revision that modified it. */
  versionOf(entry: Entry, mod: number): Version {
    if (entry.current?.mod === mod) return entry.current;
    for (const change of this.records.at(mod) ?? []) {
      if (change.key !== entry.key || change.deleted) continue;
      return new Version(change.value, change.create, mod, change.version, change.lease);
    }
    throw corruptRecord(diskKey(Prefix.revision, mod), "does not hold a key that it changed");
  }

  /** Whether there is more to drop. */
  get hasGarbage(): boolean {
    return (this.deadFrom.first ?? Number.POSITIVE_INFINITY) <= this.compactRevision;
  }

  /** Drops at most `limit` dead modifications; answers how many. */
  collect(limit: number): number {
    const dead: ChangeName[] = [];
    /** How many of its oldest modifications each key loses: an array's front is cut off once. */
    const losses = new Map<Entry, number>();
    while (dead.length < limit && this.hasGarbage) {
      const entry = this.superseded.shift();
      this.deadFrom.shift();
      assert(entry !== undefined, "the queues go together");
      const lost = losses.get(entry) ?? 0;
      const oldest = entry.history?.[lost];
      assert(oldest !== undefined, "what is superseded has a history");
      losses.set(entry, lost + 1);
      dead.push({ key: entry.key, mod: Math.abs(oldest) });
    }
    for (const [entry, lost] of losses) this.forget(entry, lost);
    if (dead.length > 0) this.records.drop(dead);
    return dead.length;
  }

  private forget(entry: Entry, oldest: number): void {
    if (entry.history?.length !== oldest) {
      entry.history?.splice(0, oldest);
      return;
    }
    entry.history = undefined;
    if (entry.current === undefined) this.entries.remove(entry);
  }
}
