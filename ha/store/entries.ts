/**
 * The keys in order: blocks of at most 512 entries under one array, which at a million keys is
 * 4,000 blocks long. Two binary searches find a place, an insertion moves at most 512 references,
 * and every block knows how many of its keys exist, so that counting a range adds up blocks.
 */
import { assert } from "../runtime/assert.ts";
import type { RangeEnd } from "./text.ts";
import type { LeaseId } from "./types.ts";

const maxBlockEntries = 512;
/** Leaves room for keys to come. */
const loadedBlockEntries = 384;

/** One value that a key had; immutable. */
export class Version {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: LeaseId;

  constructor(value: string, create: number, mod: number, version: number, lease: LeaseId) {
    this.value = value;
    this.create = create;
    this.mod = mod;
    this.version = version;
    this.lease = lease;
  }
}

export class Block {
  readonly entries: Entry[];
  /** How many of the entries exist now. */
  live: number;
  constructor(entries: Entry[], live: number) {
    this.entries = entries;
    this.live = live;
  }
}

/** A key that exists now or existed at a revision that can still be read. */
export class Entry {
  readonly key: string;
  /** Undefined: deleted. */
  current: Version | undefined = undefined;
  /**
   * The older modifications that can still be read, ascending by revision; a deletion at revision
   * r is written -r. Their values are on disk.
   */
  history: number[] | undefined = undefined;
  block: Block;

  constructor(key: string, block: Block) {
    this.key = key;
    this.block = block;
  }
}

export class Entries {
  private readonly byKey = new Map<string, Entry>();
  private readonly blocks: Block[] = [new Block([], 0)];
  private liveEntries = 0;
  /** Entries in any order, while loading. */
  private loading: Entry[] | undefined;

  /** Keys that exist now. */
  get live(): number {
    return this.liveEntries;
  }

  get(key: string): Entry | undefined {
    return this.byKey.get(key);
  }

  /** Until `endLoad` keys are only collected: sorting them once is cheaper than finding places. */
  beginLoad(): void {
    assert(this.byKey.size === 0, "only an empty set of keys is loaded");
    this.loading = [];
  }

  endLoad(): void {
    const entries = this.loading ?? [];
    this.loading = undefined;
    if (entries.length === 0) return;
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    this.blocks.length = 0;
    for (let from = 0; from < entries.length; from += loadedBlockEntries) {
      const block = new Block(entries.slice(from, from + loadedBlockEntries), 0);
      for (const entry of block.entries) {
        entry.block = block;
        if (entry.current !== undefined) block.live++;
      }
      this.blocks.push(block);
    }
  }

  /** The entry of a key, made when there is none. */
  obtain(key: string): Entry {
    const found = this.byKey.get(key);
    if (found !== undefined) return found;
    if (this.loading !== undefined) {
      const entry = new Entry(key, this.blocks[0] as Block);
      this.byKey.set(key, entry);
      this.loading.push(entry);
      return entry;
    }
    const index = this.blockOf(key);
    let block = this.blocks[index] as Block;
    let { entries } = block;
    let position = lowerBound(entries, key);
    if (entries.length >= maxBlockEntries) {
      const next = this.split(index, position);
      if (position >= entries.length && next.entries !== entries) {
        position -= entries.length;
        block = next;
        entries = next.entries;
      }
    }
    const entry = new Entry(key, block);
    if (position === entries.length) entries.push(entry);
    else entries.splice(position, 0, entry);
    this.byKey.set(key, entry);
    return entry;
  }

  /** Makes room in a full block; keys that come in order leave full blocks behind. */
  private split(index: number, position: number): Block {
    const block = this.blocks[index] as Block;
    const appending = position === block.entries.length && index === this.blocks.length - 1;
    const moved = block.entries.splice(appending ? block.entries.length : maxBlockEntries / 2);
    const next = new Block(moved, 0);
    for (const entry of moved) {
      entry.block = next;
      if (entry.current !== undefined) next.live++;
    }
    block.live -= next.live;
    this.blocks.splice(index + 1, 0, next);
    return next;
  }

  /** Sets what a key has now. */
  set(entry: Entry, current: Version | undefined): void {
    if (entry.current === undefined) {
      if (current !== undefined) {
        entry.block.live++;
        this.liveEntries++;
      }
    } else if (current === undefined) {
      entry.block.live--;
      this.liveEntries--;
    }
    entry.current = current;
  }

  /** Forgets a key that does not exist and has no history. */
  remove(entry: Entry): void {
    assert(entry.current === undefined, "a key that exists may not be forgotten");
    const { block, key } = entry;
    const position = lowerBound(block.entries, key);
    assert(block.entries[position] === entry, "an entry is where its key says");
    const index = block.entries.length === 1 ? this.blockOf(key) : 0;
    block.entries.splice(position, 1);
    this.byKey.delete(key);
    if (block.entries.length === 0 && this.blocks.length > 1) this.blocks.splice(index, 1);
  }

  /** The last block whose first key is not after `key`. */
  private blockOf(key: string): number {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const first = blocks[middle]?.entries[0];
      if (first !== undefined && first.key <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** How many keys of the range exist now. */
  count(start: string, end: RangeEnd): number {
    if (end === undefined) return this.byKey.get(start)?.current === undefined ? 0 : 1;
    if (end <= start) return 0;
    const { blocks } = this;
    const first = this.blockOf(start);
    const last = this.blockOf(end);
    if (first === last) return countIn(blocks[first] as Block, start, end);
    let count = countIn(blocks[first] as Block, start, end);
    for (let index = first + 1; index < last; index++) count += (blocks[index] as Block).live;
    return count + countIn(blocks[last] as Block, start, end);
  }

  /** Calls `visit` with the entries of a range in order, until it answers false. */
  visit(start: string, end: RangeEnd, visit: (entry: Entry) => boolean): void {
    if (end === undefined) {
      const entry = this.byKey.get(start);
      if (entry !== undefined) visit(entry);
      return;
    }
    const { blocks } = this;
    for (let index = this.blockOf(start); index < blocks.length; index++) {
      const { entries } = blocks[index] as Block;
      const first = entries[0];
      const at = first !== undefined && first.key >= start ? 0 : lowerBound(entries, start);
      for (let position = at; position < entries.length; position++) {
        const entry = entries[position] as Entry;
        if (entry.key >= end || !visit(entry)) return;
      }
    }
  }
}

function countIn({ entries, live }: Block, start: string, end: string): number {
  const from = lowerBound(entries, start);
  const to = lowerBound(entries, end);
  if (from === 0 && to === entries.length) return live;
  let count = 0;
  for (let at = from; at < to; at++) if ((entries[at] as Entry).current !== undefined) count++;
  return count;
}

function lowerBound(entries: readonly Entry[], key: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle] as Entry).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
