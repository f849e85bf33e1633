import { assert } from "../assert.ts";
import type { Random } from "../types.ts";

/**
 * xoshiro128** (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021), its
 * state spread from a text. Every purpose has a stream of its own, derived from the seed and the
 * purpose's name: one more draw here does not shift the others.
 */
export class SeededRandom implements Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: string) {
    this.#seed = seed;
    let hash = hashText(seed);
    const next = (): number => {
      hash = (hash + 0x9e3779b9) | 0;
      let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      return (mixed ^ (mixed >>> 16)) | 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    // An all-zero state would stay zero for ever.
    this.#d = next() | 1;
  }

  /** An independent stream. */
  stream(purpose: string): SeededRandom {
    return new SeededRandom(`${this.#seed}/${purpose}`);
  }

  below(limit: number): number {
    assert(
      Number.isInteger(limit) && limit >= 1 && limit <= 2 ** 32,
      `limit ${limit} is not an integer in 1..2^32`,
    );
    // Numbers of the last, incomplete stretch would favour the small results.
    const fair = 2 ** 32 - (2 ** 32 % limit);
    let drawn = this.#next();
    while (drawn >= fair) drawn = this.#next();
    return drawn % limit;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = this.#next() >>> 24;
    return bytes;
  }

  /** Uniform integer in `min..max`. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True with this probability, 0..1. */
  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  #next(): number {
    const scrambled = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return scrambled;
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** FNV-1a over UTF-16 units. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash | 0;
}

/** FNV-1a over bytes. */
export function hashBytes(bytes: Uint8Array, start = 0x811c9dc5): number {
  let hash = start;
  for (let index = 0; index < bytes.length; index++) {
    hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  }
  return hash | 0;
}
