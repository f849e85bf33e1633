import type { NodeInfo } from "./node-info.ts";

/** How much a new observation counts beside those before it. */
const newestShare = 0.1;
const ownersMax = 10_000;

/**
 * Learns whose pods fight for CPUs. A node with pods of several owners on which tasks wait longer
 * for a CPU than on the average node speaks against all of these owners, and one on which they wait
 * less speaks for them; over many observations those stand out that are there whenever it is so.
 */
export class Interference {
  readonly #owners = new Map<string, number>();

  /** `measured`: nodes with a new measurement. */
  learn(measured: readonly NodeInfo[], all: readonly NodeInfo[]): void {
    let sum = 0;
    let count = 0;
    for (const { cpuPressure } of all) {
      if (cpuPressure === undefined) continue;
      sum += cpuPressure;
      count++;
    }
    if (count < 2) return;
    for (const { cpuPressure, owners } of measured) {
      if (cpuPressure === undefined) continue;
      const present = [...owners];
      if (present.length < 2) continue;
      for (const owner of present) this.#note(owner, cpuPressure - sum / count);
    }
  }

  /** By how much the share of time is larger in which tasks wait beside such pods; 0 to 1. */
  of(ownerUid: string): number {
    return Math.max(0, this.#owners.get(ownerUid) ?? 0);
  }

  #note(owner: string, excess: number): void {
    const before = this.#owners.get(owner) ?? 0;
    // The least recently seen owner is the first: it is forgotten when there are too many.
    this.#owners.delete(owner);
    this.#owners.set(owner, before + newestShare * (excess - before));
    if (this.#owners.size <= ownersMax) return;
    for (const oldest of this.#owners.keys()) {
      this.#owners.delete(oldest);
      return;
    }
  }
}
