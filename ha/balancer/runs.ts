import type { Master } from "./master.ts";

/** While no more than so many calls have been under way at once, each is dealt on its own. */
const dealtAlone = 8;
/** Beyond, a run may have so many calls, … */
const runCalls = 16;
/** … or so large a part of those under way at once. */
const runPart = 1 / 4;
/** Counts as concurrent the most calls under way in this window or in the previous one. */
const windowMillis = 1_000;

/**
 * Which single calls follow one another to the same master: those that come in one read leave in
 * one write. A write to a socket, and the wake-up at its other end, cost more than the calls in
 * them; and since the replies come back together too, and with them the client's next calls, a run
 * that is never cut stays whole all the way. It is kept too short to make a real difference to the
 * levels.
 */
export class Runs {
  readonly #now: () => number;
  #master: Master | undefined;
  #left = 0;
  #peak = 0;
  #peakBefore = 0;
  #windowEnd = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The master that gets the next call; undefined: the run is over. */
  get master(): Master | undefined {
    return this.#left > 0 ? this.#master : undefined;
  }

  /** The run's master has got one more. */
  step(): void {
    this.#left--;
  }

  /**
   * The master gets a call, and those that follow in the same read. `underWay`: with all masters.
   */
  begin(master: Master, underWay: number): void {
    if (this.#master === undefined) process.nextTick(this.#readIsOver);
    this.#master = master;
    const peak = this.#recentPeak(underWay);
    this.#left = peak <= dealtAlone ? 0 : Math.max(runCalls, Math.floor(peak * runPart)) - 1;
  }

  #recentPeak(underWay: number): number {
    const now = this.#now();
    if (now >= this.#windowEnd) {
      this.#peakBefore = now < this.#windowEnd + windowMillis ? this.#peak : 0;
      this.#peak = 0;
      this.#windowEnd = now + windowMillis;
    }
    this.#peak = Math.max(this.#peak, underWay);
    return Math.max(this.#peak, this.#peakBefore);
  }

  /** A socket's callback has returned: ticks run before the next one. */
  readonly #readIsOver = (): void => {
    this.#master = undefined;
    this.#left = 0;
  };
}
