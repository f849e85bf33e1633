import type { LoopClock } from "./clock.ts";

const budgetLimits = {
  /** Events about one object at a time … */
  burst: 25,
  /** … and one more after this. */
  refillMillis: 300_000,
  /** Objects that are remembered. */
  objectsMax: 4_096,
} as const;

interface Bucket {
  tokens: number;
  atMillis: number;
}

/**
 * How many events one component may write about one object (client-go
 * `EventSourceObjectSpamFilter`): what fails over and over is told, and then told now and then.
 */
export class EventBudget {
  readonly #clock: Pick<LoopClock, "monotonicMillis">;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Pick<LoopClock, "monotonicMillis">) {
    this.#clock = clock;
  }

  /** Objects that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** False: too much has been said about the object; this event is to be dropped. */
  take(object: string): boolean {
    const now = this.#clock.monotonicMillis();
    const { burst, refillMillis, objectsMax } = budgetLimits;
    const { tokens, atMillis } = this.#buckets.get(object) ?? { tokens: burst, atMillis: now };
    const present = Math.min(burst, tokens + (now - atMillis) / refillMillis);
    const isEnough = present >= 1;
    // The object that was longest not spoken of is forgotten first, and when its budget is full.
    this.#buckets.delete(object);
    this.#buckets.set(object, { tokens: isEnough ? present - 1 : present, atMillis: now });
    for (const [oldest, bucket] of this.#buckets) {
      const isFull = bucket.tokens + (now - bucket.atMillis) / refillMillis >= burst;
      if (this.#buckets.size <= objectsMax && !isFull) break;
      this.#buckets.delete(oldest);
    }
    return isEnough;
  }
}
