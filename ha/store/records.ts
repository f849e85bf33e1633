/**
 * The revision records on disk, and what has been dropped from them.
 *
 * The changes of one write to the disk lie together in records of about 8 KiB, each under the first
 * revision in it: one checksum and one entry of LevelDB for all of them. Compaction does not write
 * a record anew for each change that dies. It notes the dead beside it, under the same number, and
 * drops the record when none is left alive, or replaces it by one of the survivors when these have
 * become less than half: so no more is ever written again than was written once.
 */
import { assert } from "../runtime/assert.ts";
import type { DiskOperation } from "../runtime/types.ts";
import {
  type Change,
  corruptRecord,
  decodeChanges,
  diskKey,
  openRecord,
  Prefix,
  sealChanges,
} from "./layout.ts";

/** Synchronous point reads from disk; sees every write that was called before. */
export interface HistoryDisk {
  get(key: Uint8Array): Uint8Array | undefined;
}

/** Names a change: its key is changed once in that revision. */
export interface ChangeName {
  readonly key: string;
  readonly mod: number;
}

/** A record takes no further revision once its keys and values are so many bytes. */
const recordBytesEnough = 8 * 1024;
/** Records decoded lately: a page at an old revision often needs the same ones again. */
const cachedRecordsMax = 16;
/** Places of records that are gone are swept when there are so many, and as many as others. */
const sweptTogether = 1024;

export class Records {
  readonly #disk: HistoryDisk;
  /** By place, ascending: the revision a record lies under, its changes, and those not dropped. */
  #firsts: number[] = [];
  #counts: number[] = [];
  #alive: number[] = [];
  #gone = 0;
  /** Changes by revision, from `#pendingFrom` on, that lie in no record yet. */
  #pending: (readonly Change[])[] = [];
  #pendingFrom = 2;
  /** Records, and notes of what was dropped, that the driver has not taken; undefined: deleted. */
  readonly #unwritten = { [Prefix.revision]: newUnwritten(), [Prefix.dropped]: newUnwritten() };
  readonly #cache = new Map<number, readonly Change[]>();

  constructor(disk: HistoryDisk) {
    this.#disk = disk;
  }

  /** The changes of the revision after the last. */
  append(changes: readonly Change[]): void {
    this.#pending.push(changes);
  }

  /** A record found at start, up to `last`: `alive` of its `count` changes are not dropped. */
  restore(first: number, last: number, count: number, alive: number): void {
    this.#add(first, count, alive);
    this.#pendingFrom = last + 1;
  }

  /** The revision under which the record lies that holds `revision`. */
  firstOf(revision: number): number {
    return this.#firsts[this.#placeOf(revision)] ?? revision;
  }

  /**
   * The changes of a revision; undefined when they are in no record. Below the compact revision
   * some that have been dropped may be among them, or missing.
   */
  at(revision: number): readonly Change[] | undefined {
    if (revision >= this.#pendingFrom) return this.#pending[revision - this.#pendingFrom];
    const place = this.#placeOf(revision);
    if (place < 0 || this.#alive[place] === 0) return undefined;
    const changes = this.#changesOf(this.#firsts[place] as number);
    const ofRevision = changes.filter(({ mod }) => mod === revision);
    return ofRevision.length === 0 ? undefined : ofRevision;
  }

  /** Drops changes that no request can read any more. A restart must not bring them back. */
  drop(dead: readonly ChangeName[]): void {
    this.#close();
    const byPlace = Map.groupBy(dead, ({ mod }) => this.#placeOf(mod));
    for (const [place, names] of byPlace) this.#dropFrom(place, names);
    if (this.#gone > sweptTogether && this.#gone * 2 > this.#firsts.length) this.#sweep();
  }

  #dropFrom(place: number, dead: readonly ChangeName[]): void {
    const first = this.#firsts[place] as number;
    const count = this.#counts[place] as number;
    const before = this.#alive[place] as number;
    const alive = before - dead.length;
    assert(alive >= 0, "a change is dropped once");
    if (alive === 0) {
      this.#gone++;
      this.#put(Prefix.revision, first, undefined);
    } else {
      const dropped = [...this.droppedFrom(first), ...dead];
      if (alive * 2 >= count) {
        this.#alive[place] = alive;
        this.#put(Prefix.dropped, first, dropped.map(noteOf));
        return;
      }
      const survivors = survivorsOf(this.#changesOf(first), dropped);
      assert(survivors.length === alive, "what is dropped from a record was in it");
      this.#counts[place] = alive;
      this.#put(Prefix.revision, first, survivors);
    }
    this.#alive[place] = alive;
    if (before < count) this.#put(Prefix.dropped, first, undefined);
    this.#cache.delete(first);
  }

  /** The changes that were dropped from a record that still exists. */
  droppedFrom(first: number): readonly ChangeName[] {
    const place = this.#placeOf(first);
    if (this.#firsts[place] !== first || this.#alive[place] === this.#counts[place]) return [];
    const notes = this.#read(Prefix.dropped, first);
    if (notes === undefined) throw corruptRecord(diskKey(Prefix.dropped, first), "is missing");
    return notes;
  }

  get hasOperations(): boolean {
    const { [Prefix.revision]: records, [Prefix.dropped]: dropped } = this.#unwritten;
    return this.#pending.length > 0 || records.size > 0 || dropped.size > 0;
  }

  takeOperations(into: DiskOperation[]): void {
    this.#close();
    for (const prefix of [Prefix.dropped, Prefix.revision] as const) {
      const unwritten = this.#unwritten[prefix];
      for (const [first, value] of unwritten) {
        const key = diskKey(prefix, first);
        into.push(value === undefined ? { key } : { key, value });
      }
      // A map that is cleared keeps its old tables linked, and with them what was written.
      if (unwritten.size > 0) this.#unwritten[prefix] = newUnwritten();
    }
  }

  /** Makes records of what is pending. */
  #close(): void {
    let record: Change[] = [];
    let first = this.#pendingFrom;
    let bytes = 0;
    for (const changes of this.#pending) {
      this.#pendingFrom++;
      for (const change of changes) {
        record.push(change);
        bytes += change.key.length + change.value.length;
      }
      if (bytes < recordBytesEnough) continue;
      this.#make(first, record);
      record = [];
      first = this.#pendingFrom;
      bytes = 0;
    }
    if (record.length > 0) this.#make(first, record);
    this.#pending = [];
  }

  #make(first: number, changes: readonly Change[]): void {
    this.#add(first, changes.length, changes.length);
    this.#put(Prefix.revision, first, changes);
  }

  #add(first: number, count: number, alive: number): void {
    this.#firsts.push(first);
    this.#counts.push(count);
    this.#alive.push(alive);
  }

  #put(
    prefix: typeof Prefix.revision | typeof Prefix.dropped,
    first: number,
    changes: readonly Change[] | undefined,
  ): void {
    const sealed = changes && sealChanges(diskKey(prefix, first), changes);
    this.#unwritten[prefix].set(first, sealed);
  }

  /** All changes of a record. */
  #changesOf(first: number): readonly Change[] {
    const cached = this.#cache.get(first);
    if (cached !== undefined) return cached;
    const changes = this.#read(Prefix.revision, first);
    if (changes === undefined) throw corruptRecord(diskKey(Prefix.revision, first), "is missing");
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size < cachedRecordsMax) break;
      this.#cache.delete(oldest);
    }
    this.#cache.set(first, changes);
    return changes;
  }

  #read(
    prefix: typeof Prefix.revision | typeof Prefix.dropped,
    first: number,
  ): readonly Change[] | undefined {
    const key = diskKey(prefix, first);
    const unwritten = this.#unwritten[prefix];
    const sealed = unwritten.has(first) ? unwritten.get(first) : this.#disk.get(key);
    return sealed && decodeChanges(key, openRecord(key, sealed));
  }

  /** Index of the last record that begins at or before `revision`; -1: there is none. */
  #placeOf(revision: number): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] as number) <= revision) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #sweep(): void {
    const alive = this.#alive;
    const there = (_: number, place: number) => alive[place] !== 0;
    this.#firsts = this.#firsts.filter(there);
    this.#counts = this.#counts.filter(there);
    this.#alive = alive.filter(there);
    this.#gone = 0;
  }
}

function newUnwritten(): Map<number, Uint8Array | undefined> {
  return new Map();
}

/** The changes of a record without the dropped ones. */
export function survivorsOf(
  changes: readonly Change[],
  dropped: readonly ChangeName[],
): readonly Change[] {
  if (dropped.length === 0) return changes;
  const names = new Set(dropped.map(nameOf));
  return changes.filter((change) => !names.has(nameOf(change)));
}

function nameOf({ key, mod }: ChangeName): string {
  return `${mod} ${key}`;
}

/** As a record says of a deletion: a key and a revision. */
function noteOf({ key, mod }: ChangeName): Change {
  return { key, mod, deleted: true, value: "", create: 0, version: 0, lease: 0n };
}
