/** Neighbouring entries, in key order. While it is shared with a view it stays as it is. */
interface Chunk<V> {
  readonly keys: string[];
  readonly values: V[];
  shared: boolean;
}

/** All entries of a map at one moment, in key order. */
export class SortedView<V> {
  readonly #chunks: readonly Chunk<V>[];

  constructor(chunks: readonly Chunk<V>[]) {
    this.#chunks = chunks;
  }

  /**
   * Values whose key is at or after `start` and begins with `prefix`, in order: a few hundred
   * neighbours at a time.
   */
  *runs(start: string, prefix: string): Generator<readonly V[]> {
    for (let index = chunkOf(this.#chunks, start); index < this.#chunks.length; index++) {
      const { keys, values } = this.#chunks[index] as Chunk<V>;
      const from = lowerBound(keys, start);
      if (keys.at(-1)?.startsWith(prefix)) {
        yield from === 0 ? values : values.slice(from);
        continue;
      }
      let to = from;
      while (keys[to]?.startsWith(prefix)) to += 1;
      if (to > from) yield values.slice(from, to);
      return;
    }
  }

  /** How many keys at or after `start` begin with `prefix`; counts whole chunks at a time. */
  countFrom(start: string, prefix: string): number {
    let count = 0;
    for (let index = chunkOf(this.#chunks, start); index < this.#chunks.length; index++) {
      const { keys } = this.#chunks[index] as Chunk<V>;
      const from = lowerBound(keys, start);
      if (keys.at(-1)?.startsWith(prefix)) {
        count += keys.length - from;
        continue;
      }
      // The prefix ends in this chunk, so few keys are looked at one by one.
      for (let at = from; keys[at]?.startsWith(prefix); at++) count += 1;
      return count;
    }
    return count;
  }
}

/**
 * A map in key order. Entries live in chunks of bounded length, so that an insertion moves a few
 * hundred of them, not all; a chunk that grows too long is split. A view of all entries shares the
 * chunks: it costs nothing per entry, and what is changed later is copied a chunk at a time.
 */
export class SortedMap<V> {
  readonly #values = new Map<string, V>();
  #chunks: Chunk<V>[] = [];
  /** Of the present entries. */
  #view: SortedView<V> | undefined;

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    this.#view = undefined;
    if (this.#values.has(key)) {
      const chunk = this.#own(chunkOf(this.#chunks, key));
      chunk.values[lowerBound(chunk.keys, key)] = value;
    } else {
      this.#insert(key, value);
    }
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    this.#view = undefined;
    const index = chunkOf(this.#chunks, key);
    const chunk = this.#own(index);
    const at = lowerBound(chunk.keys, key);
    chunk.keys.splice(at, 1);
    chunk.values.splice(at, 1);
    if (chunk.keys.length === 0) this.#chunks.splice(index, 1);
    return true;
  }

  clear(): void {
    this.#values.clear();
    this.#chunks = [];
    this.#view = undefined;
  }

  /** The entries as they are now; equal until something changes. */
  view(): SortedView<V> {
    if (this.#view === undefined) {
      for (const chunk of this.#chunks) chunk.shared = true;
      this.#view = new SortedView([...this.#chunks]);
    }
    return this.#view;
  }

  /** Entries whose key is at or after `start` and begins with `prefix`, in order. */
  *from(start: string, prefix: string): Generator<V> {
    for (const run of new SortedView(this.#chunks).runs(start, prefix)) yield* run;
  }

  #insert(key: string, value: V): void {
    if (this.#chunks.length === 0) {
      this.#chunks.push({ keys: [key], values: [value], shared: false });
      return;
    }
    const index = Math.min(chunkOf(this.#chunks, key), this.#chunks.length - 1);
    const { keys, values } = this.#own(index);
    const at = lowerBound(keys, key);
    keys.splice(at, 0, key);
    values.splice(at, 0, value);
    if (keys.length <= chunkLengthMax) return;
    // A chunk that grows at its end is left full: keys often come in order.
    const half = at === keys.length - 1 ? at : keys.length >> 1;
    const rest = { keys: keys.splice(half), values: values.splice(half), shared: false };
    this.#chunks.splice(index + 1, 0, rest);
  }

  /** The chunk, which no view shares. */
  #own(index: number): Chunk<V> {
    const chunk = this.#chunks[index] as Chunk<V>;
    if (!chunk.shared) return chunk;
    const own = { keys: [...chunk.keys], values: [...chunk.values], shared: false };
    this.#chunks[index] = own;
    return own;
  }
}

const chunkLengthMax = 512;

/** The first chunk whose last key is at or after `key`; the number of chunks if none is. */
function chunkOf(chunks: readonly Chunk<unknown>[], key: string): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const last = chunks[middle]?.keys.at(-1) ?? "";
    if (last < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
