/**
 * A map in key order. Keys live in chunks of bounded length, so that an insertion moves a few
 * hundred of them, not all; a chunk that grows too long is split.
 */
export class SortedMap<V> {
  readonly #values = new Map<string, V>();
  #chunks: string[][] = [];

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    if (!this.#values.has(key)) this.#insert(key);
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index];
    if (chunk !== undefined) {
      chunk.splice(lowerBound(chunk, key), 1);
      if (chunk.length === 0) this.#chunks.splice(index, 1);
    }
    return true;
  }

  clear(): void {
    this.#values.clear();
    this.#chunks = [];
  }

  /** Entries whose key is at or after `start` and begins with `prefix`, in order. */
  *from(start: string, prefix: string): Generator<V> {
    for (let index = this.#chunkOf(start); index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] ?? [];
      for (let at = lowerBound(chunk, start); at < chunk.length; at++) {
        const key = chunk[at];
        if (key === undefined || !key.startsWith(prefix)) return;
        const value = this.#values.get(key);
        if (value !== undefined) yield value;
      }
    }
  }

  /** How many keys at or after `start` begin with `prefix`; counts whole chunks at a time. */
  countFrom(start: string, prefix: string): number {
    let count = 0;
    for (let index = this.#chunkOf(start); index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] ?? [];
      const from = lowerBound(chunk, start);
      if (chunk.at(-1)?.startsWith(prefix)) {
        count += chunk.length - from;
        continue;
      }
      // The prefix ends in this chunk, so few keys are looked at one by one.
      for (let at = from; chunk[at]?.startsWith(prefix); at++) count += 1;
      return count;
    }
    return count;
  }

  #insert(key: string): void {
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index] ?? this.#chunks[index - 1];
    if (chunk === undefined) {
      this.#chunks.push([key]);
      return;
    }
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > chunkLengthMax) {
      const half = chunk.splice(chunk.length >> 1);
      this.#chunks.splice(this.#chunks.indexOf(chunk) + 1, 0, half);
    }
  }

  /** The first chunk whose last key is at or after `key`; the number of chunks if none is. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const last = this.#chunks[middle]?.at(-1) ?? "";
      if (last < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const chunkLengthMax = 512;

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
