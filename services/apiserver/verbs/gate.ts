import { tooManyRequests } from "../errors.ts";
import { limits } from "../limits.ts";

/** Bounds how many requests are under way at once (upstream `--max-requests-inflight`). */
export class Gate {
  readonly #readsMax: number;
  readonly #writesMax: number;
  #reads = 0;
  #writes = 0;

  constructor(readsMax: number = limits.readsInFlight, writesMax: number = limits.writesInFlight) {
    this.#readsMax = readsMax;
    this.#writesMax = writesMax;
  }

  /** Throws TooManyRequests at the limit. Every `enter` is followed by one `leave`. */
  enter(write: boolean): void {
    const [under, limit] = write ? [this.#writes, this.#writesMax] : [this.#reads, this.#readsMax];
    if (under >= limit) {
      const what = write ? "writes" : "reads";
      throw tooManyRequests(
        `Too many requests, please try again later: ${limit} ${what} are under way`,
        limits.retryAfterSeconds,
      );
    }
    if (write) this.#writes += 1;
    else this.#reads += 1;
  }

  leave(write: boolean): void {
    if (write) this.#writes -= 1;
    else this.#reads -= 1;
  }
}
