import type { Clock, Log } from "../../ha/runtime/types.ts";

export const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

/** A clock turned by hand. */
export class FakeClock implements Clock {
  #now = 0;
  #next = 1;
  readonly wallStart = Date.UTC(2026, 0, 1);
  readonly #timers = new Map<number, { at: number; callback: () => void; every?: number }>();

  monotonicMillis(): number {
    return this.#now;
  }

  wallMillis(): number {
    return this.wallStart + this.#now;
  }

  after(millis: number, callback: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + millis, callback });
    return () => this.#timers.delete(id);
  }

  every(millis: number, callback: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + millis, callback, every: millis });
    return () => this.#timers.delete(id);
  }

  soon(callback: () => void): void {
    queueMicrotask(callback);
  }

  /** Lets promises settle, then fires what is due, in order, settling in between. */
  async advance(millis: number): Promise<void> {
    const end = this.#now + millis;
    await settle();
    for (;;) {
      const due = [...this.#timers]
        .filter(([, timer]) => timer.at <= end)
        .sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (due === undefined) break;
      const [id, timer] = due;
      this.#now = Math.max(this.#now, timer.at);
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.callback();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

/** Runs what is pending in microtasks and immediates. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
