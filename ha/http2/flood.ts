import { ConnectionError, ErrorCode } from "./codes.ts";
import type { FloodLimit } from "./limits.ts";

/** Counts what a peer does for free; more than its limit ends the connection. */
export class FloodMeter {
  readonly #what: string;
  readonly #limit: FloodLimit;
  #tokens: number;
  #refilledAt: number | undefined;

  constructor(what: string, limit: FloodLimit) {
    this.#what = what;
    this.#limit = limit;
    this.#tokens = limit.burst;
  }

  /** Throws a ConnectionError (ENHANCE_YOUR_CALM). `now` in milliseconds. */
  count(now: () => number): void {
    this.#refilledAt ??= now();
    if (--this.#tokens >= 0) return;
    const { burst, perSecond } = this.#limit;
    const at = now();
    const earned = Math.floor(((at - this.#refilledAt) * perSecond) / 1_000);
    this.#refilledAt = at;
    this.#tokens = Math.min(burst, earned) - 1;
    if (this.#tokens >= 0) return;
    throw new ConnectionError(ErrorCode.enhanceYourCalm, `too many ${this.#what}`);
  }
}
