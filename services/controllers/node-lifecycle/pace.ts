import type { LoopClock } from "../../client/mod.ts";

export interface PaceOptions {
  /** Nodes per second that may be emptied while the cluster is healthy. */
  readonly rate: number;
  /** The same while a large part of the nodes is unready. */
  readonly secondaryRate: number;
  /** Share of unready nodes from which the disruption counts as a large one. */
  readonly unhealthyThreshold: number;
}

/**
 * How fast nodes may be emptied (kubernetes node-lifecycle `zoneStates`). When many nodes fall silent
 * at once the fault is likelier in the network or here than in the nodes: then slowly, and not at
 * all when every node seems lost.
 */
export class EvictionPace {
  readonly #options: PaceOptions;
  readonly #clock: LoopClock;
  #tokens = 1;
  #atMillis: number;

  constructor(options: PaceOptions, clock: LoopClock) {
    this.#options = options;
    this.#clock = clock;
    this.#atMillis = clock.monotonicMillis();
  }

  /** True when one more node may be emptied now. */
  take(unready: number, total: number): boolean {
    const now = this.#clock.monotonicMillis();
    const rate = this.rate(unready, total);
    this.#tokens = Math.min(1, this.#tokens + ((now - this.#atMillis) / 1000) * rate);
    this.#atMillis = now;
    if (rate === 0 || this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  rate(unready: number, total: number): number {
    const { rate, secondaryRate, unhealthyThreshold } = this.#options;
    // A cluster of one node has nowhere else to run, but its pods are gone all the same.
    if (total > 1 && unready >= total) return 0;
    return total > 2 && unready / total >= unhealthyThreshold ? secondaryRate : rate;
  }
}
