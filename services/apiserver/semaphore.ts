import { Code, StatusError } from "../../ha/runtime/status-error.ts";

/** Lets a number of tasks run at once; the others wait, up to a number of them. */
export class Semaphore {
  readonly #what: string;
  readonly #runningMax: number;
  readonly #waitingMax: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** `what`: as errors call the tasks, e.g. "calls of webhooks". */
  constructor(what: string, runningMax: number, waitingMax: number) {
    this.#what = what;
    this.#runningMax = runningMax;
    this.#waitingMax = waitingMax;
  }

  /** Throws unavailable when too many wait. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#runningMax) {
      if (this.#waiting.length >= this.#waitingMax) {
        throw new StatusError(Code.unavailable, `too many ${this.#what} wait`, {
          reason: "ServiceUnavailable",
          retryAfterSeconds: 1,
        });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
