/**
 * The log since the last compaction, all of it in memory.
 *
 * ```
 *   base        first                      unstable        last
 *    │ compacted  │  handed out to the disk   │  not yet      │
 *    ┴────────────┴───────────────────────────┴───────────────┘
 * ```
 *
 * Entries are immutable and shared: a slice holds references, and the slice sent to one peer is the
 * very array sent to the next one, so the caller may encode it once.
 */
import { assert } from "../runtime/assert.ts";
import type { Entry, LogIndex, SnapshotMeta, Term } from "./types.ts";

export class Log {
  /** `#entries[i].index === #baseIndex + 1 + i`. */
  #entries: Entry[];
  #baseIndex: number;
  #baseTerm: Term;
  #lastTerm: Term;
  #unstable: number;
  #shared: readonly Entry[] = [];
  #sharedFrom = 0;
  #sharedTo = 0;

  /** `entries` follow `base` without a gap and are already durable. */
  constructor(base: { readonly index: LogIndex; readonly term: Term }, entries: readonly Entry[]) {
    this.#entries = [];
    this.#baseIndex = base.index;
    this.#baseTerm = base.term;
    this.#lastTerm = base.term;
    this.#unstable = base.index + 1;
    for (const entry of entries) this.push(entry);
    this.#unstable = this.lastIndex + 1;
  }

  /** Position of the last compacted entry; its term is still known. */
  get baseIndex(): LogIndex {
    return this.#baseIndex as LogIndex;
  }

  get firstIndex(): LogIndex {
    return (this.#baseIndex + 1) as LogIndex;
  }

  get lastIndex(): LogIndex {
    return (this.#baseIndex + this.#entries.length) as LogIndex;
  }

  get lastTerm(): Term {
    return this.#lastTerm;
  }

  /** The first index that has not been handed out to be made durable. */
  get unstableIndex(): LogIndex {
    return this.#unstable as LogIndex;
  }

  /** Undefined when the entry is compacted away or not there yet. */
  termAt(index: LogIndex): Term | undefined {
    if (index === this.#baseIndex) return this.#baseTerm;
    return this.#entries[index - this.#baseIndex - 1]?.term;
  }

  /** The log holds `term` at `index`; by log matching it then agrees on everything before, too. */
  matches(index: LogIndex, term: Term): boolean {
    return this.termAt(index) === term;
  }

  /** Positive when this log is more up to date than one that ends so; 0 when they end alike. */
  compareEnd(index: LogIndex, term: Term): number {
    return this.#lastTerm - term || this.lastIndex - index;
  }

  push(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, "log entries are contiguous");
    assert(entry.term >= this.#lastTerm, "terms in the log never decrease");
    this.#entries.push(entry);
    this.#lastTerm = entry.term;
  }

  /** Forgets `from` and all after it. The caller has made sure that none of it is committed. */
  truncateFrom(from: LogIndex): void {
    assert(from > this.#baseIndex, "the compacted part of the log is never truncated");
    this.#entries.length = Math.min(this.#entries.length, from - this.#baseIndex - 1);
    this.#lastTerm = this.#entries.at(-1)?.term ?? this.#baseTerm;
    this.#unstable = Math.min(this.#unstable, from);
    this.#sharedTo = 0;
  }

  /**
   * Entries `from`..`to`, cut after the last one that still fits into `maxBytes` of data; at least
   * one entry when there is any, however large.
   */
  slice(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] {
    const end = this.#endWithin(from, Math.min(to, this.lastIndex), maxBytes);
    if (end < from) return [];
    if (from !== this.#sharedFrom || end !== this.#sharedTo) {
      this.#shared = this.#entries.slice(from - this.#baseIndex - 1, end - this.#baseIndex);
      this.#sharedFrom = from;
      this.#sharedTo = end;
    }
    return this.#shared;
  }

  /** Hands out, once, what is not yet durable. */
  takeUnstable(): readonly Entry[] {
    const from = this.#unstable as LogIndex;
    if (from > this.lastIndex) return [];
    this.#unstable = this.lastIndex + 1;
    return this.slice(from, this.lastIndex, Number.POSITIVE_INFINITY);
  }

  /** Bytes of data in `from`..`to`. */
  bytes(from: number, to: number): number {
    let bytes = 0;
    const entries = this.#entries;
    const last = Math.min(to, this.lastIndex) - this.#baseIndex - 1;
    for (let position = Math.max(from - this.#baseIndex - 1, 0); position <= last; position++) {
      bytes += (entries[position] as Entry).data.length;
    }
    return bytes;
  }

  /**
   * The last index at or before `index` whose term is at most `term`: where two logs may agree
   * again. Skips whole terms, since terms in a log never decrease. Not before the base.
   */
  lastIndexOfTerm(index: LogIndex, term: Term): LogIndex {
    let low = this.#baseIndex;
    let high = Math.min(index, this.lastIndex) as number;
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if ((this.termAt(middle as LogIndex) as number) <= term) low = middle;
      else high = middle - 1;
    }
    return Math.min(low, index) as LogIndex;
  }

  /** Forgets entries up to and including `index`. */
  compactTo(index: LogIndex): void {
    if (index <= this.#baseIndex) return;
    assert(index < this.#unstable, "only what was handed to the disk is compacted");
    const term = this.termAt(index);
    assert(term !== undefined, "the log is compacted within its bounds");
    this.#entries = this.#entries.slice(index - this.#baseIndex);
    this.#baseIndex = index;
    this.#baseTerm = term;
    this.#sharedTo = 0;
  }

  /** Begins anew after a snapshot. */
  restore(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.#baseIndex = snapshot.index;
    this.#baseTerm = snapshot.term;
    this.#lastTerm = snapshot.term;
    this.#unstable = snapshot.index + 1;
    this.#shared = [];
    this.#sharedTo = 0;
  }

  #endWithin(from: number, to: number, maxBytes: number): number {
    if (maxBytes === Number.POSITIVE_INFINITY) return to;
    let bytes = 0;
    for (let index = from; index <= to; index++) {
      bytes += (this.#entries[index - this.#baseIndex - 1] as Entry).data.length;
      if (bytes > maxBytes && index > from) return index - 1;
    }
    return to;
  }
}
