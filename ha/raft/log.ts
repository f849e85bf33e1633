/**
 * The log since the last compaction: its end in memory, and before that, on the disk alone, what
 * all peers have, or one has lacked for long.
 *
 * ```
 *   base        first             held          unstable        last
 *    │ compacted  │ on the disk     │ in memory,   │ in memory,   │
 *    │            │ alone           │ handed out   │ not yet      │
 *    ┴────────────┴─────────────────┴──────────────┴──────────────┘
 * ```
 *
 * Entries are immutable and shared: a slice holds references, and the slice sent to one peer is the
 * very array sent to the next one, so the caller may encode it once.
 */
import { assert } from "../runtime/assert.ts";
import type { Entry, LogIndex, LogPast, SnapshotMeta, Term } from "./types.ts";

/** Entries that are larger on average are let go of in smaller numbers. */
const entryBytesEnough = 1024;

/** From this index on, up to the next one's, entries that were let go of have this term. */
interface TermRun {
  readonly from: number;
  readonly term: Term;
}

export class Log {
  readonly #past: LogPast;
  /** `#entries[i].index === #held + i`. */
  #entries: Entry[];
  /** Index of the first entry in memory. */
  #held: number;
  /** Bytes of data of the entries in memory. */
  #heldBytes = 0;
  /** Up to here the disk can be asked. */
  #durable: number;
  /** Terms of the entries on the disk alone; ascending, and the first begins at their first. */
  #runs: TermRun[] = [];
  #baseIndex: number;
  #baseTerm: Term;
  #lastTerm: Term;
  #unstable: number;
  #shared: readonly Entry[] = [];
  #sharedFrom = 0;
  #sharedTo = 0;

  /** `entries` follow `base` without a gap and are already durable: `past` has them. */
  constructor(
    base: { readonly index: LogIndex; readonly term: Term },
    entries: readonly Entry[],
    past: LogPast,
  ) {
    this.#past = past;
    this.#entries = [];
    this.#held = base.index + 1;
    this.#baseIndex = base.index;
    this.#baseTerm = base.term;
    this.#lastTerm = base.term;
    this.#unstable = base.index + 1;
    for (const entry of entries) this.push(entry);
    this.#durable = this.lastIndex;
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
    return (this.#held + this.#entries.length - 1) as LogIndex;
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
    if (index >= this.#held) return this.#entries[index - this.#held]?.term;
    if (index <= this.#baseIndex) return index === this.#baseIndex ? this.#baseTerm : undefined;
    return this.#runs.findLast(({ from }) => from <= index)?.term;
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
    this.#heldBytes += entry.data.length;
    this.#lastTerm = entry.term;
  }

  /** Forgets `from` and all after it. The caller has made sure that none of it is committed. */
  truncateFrom(from: LogIndex): void {
    assert(from >= this.#held, "what is compacted, or on the disk alone, is never truncated");
    this.#heldBytes -= this.bytes(from, this.lastIndex);
    this.#entries.length = Math.min(this.#entries.length, from - this.#held);
    this.#lastTerm = this.termAt(this.lastIndex) as Term;
    this.#unstable = Math.min(this.#unstable, from);
    this.#durable = Math.min(this.#durable, from - 1);
    this.#sharedTo = 0;
  }

  /** Everything up to this entry, of this term, is on the disk, unless truncated since. */
  persisted({ index, term }: { readonly index: LogIndex; readonly term: Term }): void {
    if (index > this.#durable && this.matches(index, term)) this.#durable = index;
  }

  /**
   * Lets go of what is on the disk, up to `index`, which is applied; `step` entries at a time. Of
   * what lies after `wanted`, for peers that lack it, `bytesMax` are kept.
   */
  release(index: LogIndex, wanted: number, bytesMax: number, step: number): void {
    const last = Math.min(index, this.#durable);
    const bytesEnough = step * entryBytesEnough;
    if (last - this.#held + 1 < step && this.#heldBytes < bytesEnough) return;
    let bytes = 0;
    let count = 0;
    for (; this.#held + count <= last; count++) {
      if (this.#held + count > wanted && this.#heldBytes - bytes <= bytesMax) break;
      bytes += (this.#entries[count] as Entry).data.length;
    }
    if (count < step && bytes < bytesEnough) return;
    for (const { index: from, term } of this.#entries.splice(0, count)) {
      if (this.#runs.at(-1)?.term !== term) this.#runs.push({ from, term });
    }
    this.#held += count;
    this.#heldBytes -= bytes;
    if (this.#sharedFrom < this.#held) {
      this.#shared = [];
      this.#sharedTo = 0;
    }
  }

  /**
   * Entries `from`..`to`, cut after the last one that still fits into `maxBytes` of data; at least
   * one entry when there is any, however large. Those on the disk alone come without the ones that
   * follow in memory. Throws DiskError where the disk does not give them back.
   */
  slice(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] {
    if (from < this.#held) return this.#sliceOfPast(from, Math.min(to, this.#held - 1), maxBytes);
    const end = this.#endWithin(from, Math.min(to, this.lastIndex), maxBytes);
    if (end < from) return [];
    if (from !== this.#sharedFrom || end !== this.#sharedTo) {
      this.#shared = this.#entries.slice(from - this.#held, end - this.#held + 1);
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

  /** Bytes of data in `from`..`to`, of what is in memory. */
  bytes(from: number, to: number): number {
    let bytes = 0;
    const entries = this.#entries;
    const last = Math.min(to, this.lastIndex) - this.#held;
    for (let position = Math.max(from - this.#held, 0); position <= last; position++) {
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
    const count = Math.max(index + 1 - this.#held, 0);
    for (const { data } of this.#entries.splice(0, count)) this.#heldBytes -= data.length;
    this.#held += count;
    // A run that began before still holds where entries of its term are left.
    const first = this.#runs.findLastIndex(({ from }) => from <= index + 1);
    this.#runs = this.#held > index + 1 ? this.#runs.slice(first) : [];
    this.#baseIndex = index;
    this.#baseTerm = term;
    this.#sharedTo = 0;
  }

  /** Begins anew after a snapshot. */
  restore(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.#held = snapshot.index + 1;
    this.#heldBytes = 0;
    this.#durable = snapshot.index;
    this.#runs = [];
    this.#baseIndex = snapshot.index;
    this.#baseTerm = snapshot.term;
    this.#lastTerm = snapshot.term;
    this.#unstable = snapshot.index + 1;
    this.#shared = [];
    this.#sharedTo = 0;
  }

  #sliceOfPast(from: LogIndex, to: number, maxBytes: number): readonly Entry[] {
    assert(from > this.#baseIndex, "the compacted part of the log is not read");
    const entries = this.#past.read(from, to as LogIndex, maxBytes);
    const [first] = entries;
    assert(
      first?.index === from && entries.length <= to - from + 1,
      "the disk has what it was given",
    );
    assert(first.term === this.termAt(from), "an applied entry does not change");
    return entries;
  }

  #endWithin(from: number, to: number, maxBytes: number): number {
    if (maxBytes === Number.POSITIVE_INFINITY) return to;
    let bytes = 0;
    for (let index = from; index <= to; index++) {
      bytes += (this.#entries[index - this.#held] as Entry).data.length;
      if (bytes > maxBytes && index > from) return index - 1;
    }
    return to;
  }
}
