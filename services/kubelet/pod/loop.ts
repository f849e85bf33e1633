/** A serialised loop: wakes while a turn runs lead to one more turn, never to two at once. */
import type { Cancel } from "../../../ha/runtime/types.ts";
import { Backoff, type LoopClock } from "../../client/mod.ts";
import { kubeletLimits } from "../limits.ts";

/** The longest that a timer can wait. */
const timerMillisMax = 2 ** 31 - 1;

export class WorkLoop {
  readonly #clock: LoopClock;
  readonly #turn: () => Promise<void>;
  readonly #failed: (error: unknown) => void;
  readonly #retries = new Map<string, Backoff>();
  #dirty = false;
  #active = false;
  #closed = false;
  #timer: Cancel | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** A turn that throws is told to `failed` and taken again after a pause. */
  constructor(clock: LoopClock, turn: () => Promise<void>, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#turn = turn;
    this.#failed = failed;
  }

  get closed(): boolean {
    return this.#closed;
  }

  wake(): void {
    this.#dirty = true;
    if (!this.#active && !this.#closed) void this.#run();
  }

  /** Wakes after so long, unless an earlier wake is set already. */
  wakeAfter(millis: number): void {
    const at = this.#clock.monotonicMillis() + millis;
    if (at >= this.#timerAt) return;
    this.#timer?.();
    this.#timerAt = at;
    this.#timer = this.#clock.after(Math.min(millis, timerMillisMax), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.wake();
    });
  }

  /** The next pause of a named series of retries, in milliseconds. */
  retryMillis(name: string): number {
    let backoff = this.#retries.get(name);
    if (backoff === undefined) {
      const { configRetryFirstMillis, configRetryCeilingMillis } = kubeletLimits;
      backoff = new Backoff(configRetryFirstMillis, configRetryCeilingMillis);
      this.#retries.set(name, backoff);
    }
    return backoff.next();
  }

  retriesOver(name: string): void {
    this.#retries.delete(name);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
  }

  async #run(): Promise<void> {
    this.#active = true;
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      try {
        await this.#turn();
        this.#retries.delete("");
      } catch (error) {
        this.#failed(error);
        this.wakeAfter(this.retryMillis(""));
      }
    }
    this.#active = false;
  }
}
