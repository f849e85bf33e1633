/**
 * Every key at every revision since the last compaction.
 *
 * Current values are in memory; older ones are known by their revision only and read from disk.
 * Compaction sets a number at once and drops what nobody can read any more in bounded steps: a
 * queue holds, in order, from which compact revision on each superseded modification is dead.
 */
import { assert } from "../runtime/assert.ts";
import type { DiskOperation } from "../runtime/types.ts";
import { seal } from "./checksum.ts";
import { Entries, type Entry, Version } from "./entries.ts";
import { Fifo } from "./fifo.ts";
import {
  type Change,
  corruptRecord,
  decodeRevision,
  diskKey,
  encodeRevision,
  openRecord,
  Prefix,
} from "./layout.ts";

/** Synchronous point reads from disk; sees every write that was called before. */
export interface HistoryDisk {
  get(key: Uint8Array): Uint8Array | undefined;
}

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

/** Records decoded lately; a page at an old revision often needs the same ones again. */
const maxCachedRecords = 16;

export class History {
  readonly entries = new Entries();
  /** An empty store is at 1, as in etcd. */
  revision = 1;
  /** 0: never compacted. Revisions below it cannot be read. */
  compactRevision = 0;
  private readonly disk: HistoryDisk;
  /** Records of revisions that the driver has not been given yet, from `pendingFrom` on. */
  private pending: Uint8Array[] = [];
  private pendingFrom = 2;
  /** Records that compaction has trimmed (undefined: dropped) since the driver took operations. */
  private readonly trimmed = new Map<number, Uint8Array | undefined>();
  /** Superseded modifications, and the compact revision from which each is dead. */
  private readonly superseded = new Fifo<Entry>();
  private readonly deadFrom = new Fifo<number>();
  /** How many changes of a record are not dropped, where that is not 1. */
  private readonly references = new Map<number, number>();
  private readonly cache = new Map<number, readonly Change[]>();

  constructor(disk: HistoryDisk) {
    this.disk = disk;
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

  /** Ends a revision: its record is now to be written. */
  commit(revision: number, changes: readonly AppliedChange[]): void {
    assert(revision === this.revision + 1, "revisions follow each other");
    this.revision = revision;
    this.pending.push(encodeRevision(changes));
    this.settle(revision, changes);
  }

  /**
   * Deletions are entered after all else of the revision: a deletion at r can be read until r + 1
   * is compacted, and the queue must ascend.
   */
  private settle(revision: number, changes: readonly Change[]): void {
    if (changes.length !== 1) this.references.set(revision, changes.length);
    for (const change of changes) {
      if (!change.deleted) continue;
      const entry = this.entries.obtain(change.key);
      if (entry.history === undefined) entry.history = [-revision];
      else entry.history.push(-revision);
      this.superseded.push(entry);
      this.deadFrom.push(revision + 1);
    }
  }

  /** Replays a record at start; records come in ascending order. */
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
    this.pendingFrom = revision + 1;
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

  /** What the key was at `mod`, a revision that modified it. */
  versionOf(entry: Entry, mod: number): Version {
    if (entry.current?.mod === mod) return entry.current;
    const changes = this.record(mod);
    for (const change of changes ?? []) {
      if (change.key !== entry.key || change.deleted) continue;
      return new Version(change.value, change.create, mod, change.version, change.lease);
    }
    throw corruptRecord(diskKey(Prefix.revision, mod), "does not hold a key that it changed");
  }

  /** The changes of a revision, as far as they can still be read. */
  record(revision: number): readonly Change[] | undefined {
    const cached = this.cache.get(revision);
    if (cached !== undefined) return cached;
    const key = diskKey(Prefix.revision, revision);
    const bytes = this.recordBytes(revision, key);
    if (bytes === undefined) return undefined;
    const changes = decodeRevision(key, bytes);
    for (const oldest of this.cache.keys()) {
      if (this.cache.size < maxCachedRecords) break;
      this.cache.delete(oldest);
    }
    this.cache.set(revision, changes);
    return changes;
  }

  private recordBytes(revision: number, key: Uint8Array): Uint8Array | undefined {
    if (this.trimmed.has(revision)) return this.trimmed.get(revision);
    if (revision >= this.pendingFrom) return this.pending[revision - this.pendingFrom];
    const sealed = this.disk.get(key);
    return sealed && openRecord(key, sealed);
  }

  /** Whether there is more to drop. */
  get hasGarbage(): boolean {
    return (this.deadFrom.first ?? Number.POSITIVE_INFINITY) <= this.compactRevision;
  }

  /** Drops at most `limit` dead modifications; answers how many. */
  collect(limit: number): number {
    const dead = new Map<number, Set<string>>();
    let dropped = 0;
    while (dropped < limit && this.hasGarbage) {
      const entry = this.superseded.shift();
      this.deadFrom.shift();
      const oldest = entry?.history?.shift();
      assert(entry !== undefined && oldest !== undefined, "what is superseded has a history");
      if (entry.history?.length === 0) {
        entry.history = undefined;
        if (entry.current === undefined) this.entries.remove(entry);
      }
      const revision = Math.abs(oldest);
      const keys = dead.get(revision);
      if (keys === undefined) dead.set(revision, new Set([entry.key]));
      else keys.add(entry.key);
      dropped++;
    }
    for (const [revision, keys] of dead) this.trim(revision, keys);
    return dropped;
  }

  /** Takes dead changes out of a record; at a restart they must not come to life again. */
  private trim(revision: number, keys: ReadonlySet<string>): void {
    const left = (this.references.get(revision) ?? 1) - keys.size;
    assert(left >= 0, "a change is dropped once");
    let bytes: Uint8Array | undefined;
    if (left === 0) this.references.delete(revision);
    else {
      const changes = this.record(revision);
      if (changes === undefined) {
        throw corruptRecord(diskKey(Prefix.revision, revision), "is missing");
      }
      bytes = encodeRevision(changes.filter((change) => !keys.has(change.key)));
      if (left === 1) this.references.delete(revision);
      else this.references.set(revision, left);
    }
    this.cache.delete(revision);
    this.trimmed.set(revision, bytes);
  }

  get hasOperations(): boolean {
    return this.pending.length > 0 || this.trimmed.size > 0;
  }

  takeOperations(into: DiskOperation[]): void {
    let revision = this.pendingFrom;
    for (const value of this.pending) {
      const key = diskKey(Prefix.revision, revision);
      into.push({ key, value: seal(key, value) });
      revision++;
    }
    this.pendingFrom = revision;
    this.pending = [];
    if (this.trimmed.size === 0) return;
    for (const [trimmed, value] of this.trimmed) {
      const key = diskKey(Prefix.revision, trimmed);
      into.push(value === undefined ? { key } : { key, value: seal(key, value) });
    }
    this.trimmed.clear();
  }
}
