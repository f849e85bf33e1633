/** Keys as Latin-1 text compare as the bytes do. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

export function keyBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** An ordered map from bytes to bytes: a sorted array of keys beside a hash map. */
export class SortedBytes {
  readonly #values = new Map<string, Uint8Array>();
  readonly #keys: string[] = [];

  get size(): number {
    return this.#keys.length;
  }

  keyAt(index: number): string | undefined {
    return this.#keys[index];
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  /** Undefined deletes. Gives what was there before. */
  set(key: string, value: Uint8Array | undefined): Uint8Array | undefined {
    const previous = this.#values.get(key);
    if (value) {
      if (!previous) this.#keys.splice(this.lowerBound(key), 0, key);
      this.#values.set(key, value);
    } else if (previous) {
      this.#keys.splice(this.lowerBound(key), 1);
      this.#values.delete(key);
    }
    return previous;
  }

  /** Index of the first key that is not below `key`. */
  lowerBound(key: string): number {
    const keys = this.#keys;
    const last = keys.at(-1);
    // Appending is the common case: logs grow at their end.
    if (last === undefined || last < key) return keys.length;
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((keys[middle] ?? "") < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
