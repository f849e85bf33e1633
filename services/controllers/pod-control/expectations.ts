import type { LoopClock } from "../../client/mod.ts";

/** After this an expectation is taken to have been missed (upstream `ExpectationsTimeout`). */
const millisMax = 5 * 60_000;

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  readonly atMillis: number;
}

/**
 * What a controller has done that its cache does not show yet. While anything is expected it must
 * not count, or it would create or delete twice.
 */
export class Expectations {
  readonly #clock: LoopClock;
  readonly #expected = new Map<string, Expected>();

  constructor(clock: LoopClock) {
    this.#clock = clock;
  }

  fulfilled(key: string): boolean {
    const expected = this.#expected.get(key);
    if (!expected) return true;
    if (expected.creations <= 0 && expected.deletions.size === 0) return true;
    return this.#clock.monotonicMillis() - expected.atMillis > millisMax;
  }

  /** Adds to what is expected already. */
  expectCreations(key: string, count: number): void {
    const { creations, deletions } = this.#pending(key);
    const atMillis = this.#clock.monotonicMillis();
    this.#expected.set(key, { creations: creations + count, deletions, atMillis });
  }

  /** Adds to what is expected already. */
  expectDeletions(key: string, uids: Iterable<string>): void {
    const { creations, deletions } = this.#pending(key);
    for (const uid of uids) deletions.add(uid);
    this.#expected.set(key, { creations, deletions, atMillis: this.#clock.monotonicMillis() });
  }

  #pending(key: string): { readonly creations: number; readonly deletions: Set<string> } {
    const known = this.fulfilled(key) ? undefined : this.#expected.get(key);
    return known ?? { creations: 0, deletions: new Set() };
  }

  /** Seen, or known not to come. */
  created(key: string, count = 1): void {
    const expected = this.#expected.get(key);
    if (expected) expected.creations -= count;
  }

  deleted(key: string, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  forget(key: string): void {
    this.#expected.delete(key);
  }
}
