/**
 * Keys waiting for a reconciler (client-go `util/workqueue`: queue, delaying and rate-limiting).
 *
 *   add ─▶ dirty ──▶ waiting ──next──▶ processing ──done──▶ gone, or waiting again if dirty
 *   addAfter ─▶ delayed (heap by time) ─▶ add
 */
import type { Cancel } from "../../ha/runtime/types.ts";
import type { LoopClock } from "./clock.ts";
import { Heap } from "./heap.ts";
import { QueueMetrics } from "./queue-metrics.ts";
import type { WorkQueue } from "./types.ts";

export interface WorkQueueOptions {
  readonly clock: LoopClock;
  /** What the queue is called in the metrics; absent: it has none. */
  readonly name?: string | undefined;
  readonly backoffFirstMillis?: number | undefined;
  readonly backoffCeilingMillis?: number | undefined;
}

const defaults = { backoffFirstMillis: 5, backoffCeilingMillis: 60_000 } as const;

interface Delayed<K> {
  readonly key: K;
  readonly atMillis: number;
}

export function createWorkQueue<K = string>(options: WorkQueueOptions): WorkQueue<K> {
  return new DedupingQueue<K>(options);
}

class DedupingQueue<K> implements WorkQueue<K> {
  readonly #clock: LoopClock;
  readonly #first: number;
  readonly #ceiling: number;
  readonly #waiting = new Set<K>();
  readonly #processing = new Set<K>();
  /** Added while being processed: waits again once that is done. */
  readonly #again = new Set<K>();
  readonly #delayed = new Heap<Delayed<K>>((a, b) => a.atMillis - b.atMillis);
  /** The earliest time at which each key is due; heap entries that say otherwise are stale. */
  readonly #due = new Map<K, number>();
  readonly #failures = new Map<K, number>();
  readonly #takers: ((key: K | undefined) => void)[] = [];
  #timer: { readonly atMillis: number; readonly cancel: Cancel } | undefined;
  readonly #metrics: QueueMetrics<K> | undefined;
  #shutDown = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#metrics = options.name === undefined ? undefined : new QueueMetrics(options.name);
    this.#first = options.backoffFirstMillis ?? defaults.backoffFirstMillis;
    this.#ceiling = options.backoffCeilingMillis ?? defaults.backoffCeilingMillis;
  }

  get length(): number {
    return this.#waiting.size;
  }

  add(key: K): void {
    if (this.#shutDown) return;
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    const taker = this.#takers.shift();
    if (taker) {
      this.#added(key);
      this.#take(key);
      taker(key);
    } else if (!this.#waiting.has(key)) {
      this.#waiting.add(key);
      this.#added(key);
    }
  }

  addAfter(key: K, millis: number): void {
    if (this.#shutDown) return;
    if (!(millis > 0)) {
      this.add(key);
      return;
    }
    const atMillis = this.#clock.monotonicMillis() + millis;
    const due = this.#due.get(key);
    if (due !== undefined && due <= atMillis) return;
    this.#due.set(key, atMillis);
    this.#delayed.push({ key, atMillis });
    this.#arm();
  }

  addRateLimited(key: K): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried();
    // 2 ** 1024 is Infinity, which the ceiling cuts as it should.
    this.addAfter(key, Math.min(this.#ceiling, this.#first * 2 ** failures));
  }

  forget(key: K): void {
    this.#failures.delete(key);
  }

  next(): Promise<K | undefined> {
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#take(key);
      return Promise.resolve(key);
    }
    if (this.#shutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }

  done(key: K): void {
    this.#processing.delete(key);
    this.#metrics?.done(key, this.#clock.monotonicMillis());
    if (this.#again.delete(key)) this.add(key);
  }

  /** What waits is still handed out; what is delayed is dropped. */
  shutDown(): void {
    this.#shutDown = true;
    this.#metrics?.closed();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#due.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #added(key: K): void {
    this.#metrics?.added(key, this.#clock.monotonicMillis(), this.#waiting.size);
  }

  #take(key: K): void {
    this.#processing.add(key);
    this.#metrics?.taken(key, this.#clock.monotonicMillis(), this.#waiting.size);
  }

  #arm(): void {
    const head = this.#delayed.peek();
    if (!head || (this.#timer && this.#timer.atMillis <= head.atMillis)) return;
    this.#timer?.cancel();
    const wait = Math.max(0, head.atMillis - this.#clock.monotonicMillis());
    const cancel = this.#clock.after(wait, () => {
      this.#timer = undefined;
      this.#release();
    });
    this.#timer = { atMillis: head.atMillis, cancel };
  }

  #release(): void {
    const now = this.#clock.monotonicMillis();
    for (;;) {
      const head = this.#delayed.peek();
      if (!head || head.atMillis > now) break;
      this.#delayed.pop();
      if (this.#due.get(head.key) !== head.atMillis) continue;
      this.#due.delete(head.key);
      this.add(head.key);
    }
    this.#arm();
  }
}
