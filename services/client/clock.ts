import type { Clock } from "../../ha/runtime/types.ts";

/** What a control loop needs of time; tests hand in one that they turn by hand. */
export type LoopClock = Pick<Clock, "monotonicMillis" | "wallMillis" | "after">;

/** Resolves after `millis`, or at once when the signal aborts: the caller looks at the signal. */
export function sleep(clock: LoopClock, millis: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(millis, end);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** A duration spread over ±`share` of itself, so that many clients do not move in step. */
export function jittered(millis: number, share = 0.2): number {
  return millis * (1 - share + 2 * share * Math.random());
}

/** Exponential backoff with a ceiling; `reset` after a success. Durations in milliseconds. */
export class Backoff {
  readonly #first: number;
  readonly #ceiling: number;
  #next: number;

  constructor(first: number, ceiling: number) {
    this.#first = first;
    this.#ceiling = ceiling;
    this.#next = first;
  }

  next(): number {
    const now = this.#next;
    this.#next = Math.min(this.#ceiling, now * 2);
    return now;
  }

  reset(): void {
    this.#next = this.#first;
  }
}
