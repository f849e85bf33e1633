import type { Master } from "./master.ts";

/** How often it is looked whether a master still has calls under way. */
const lookMillis = 1_000;

/** The masters that left the cluster: each is closed when what is under way there has ended. */
export class Departures {
  readonly #graceMillis: number;
  /** With the time, of `performance.now()`, at which each is closed in any case. */
  readonly #masters = new Map<Master, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(graceMillis: number) {
    this.#graceMillis = graceMillis;
  }

  [Symbol.iterator](): Iterator<Master> {
    return this.#masters.keys();
  }

  add(master: Master): void {
    master.departed = true;
    this.#masters.set(master, performance.now() + this.#graceMillis);
    this.#timer ??= setInterval(() => this.#look(), lookMillis).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const master of this.#masters.keys()) closeMaster(master);
    this.#masters.clear();
  }

  #look(): void {
    const now = performance.now();
    for (const [master, until] of this.#masters) {
      if (master.unary + master.streams > 0 && now < until) continue;
      this.#masters.delete(master);
      closeMaster(master);
    }
    if (this.#masters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export function closeMaster({ upstream, rest }: Master): void {
  upstream.close();
  rest?.close();
}
