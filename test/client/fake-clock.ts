import type { Cancel } from "../../ha/runtime/types.ts";
import type { LoopClock } from "../../services/client/mod.ts";
import { activity } from "./activity.ts";

interface Timer {
  readonly atMillis: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Turns of Node's loop without activity after which nothing is under way; a write takes fewer. */
const quietTurns = { alone: 3, withServers: 10 } as const;
const turnsMax = 20_000;

/** Lets every promise that can make progress without time make it. */
export async function settle(): Promise<void> {
  let quiet = 0;
  for (let turn = 0; turn < turnsMax; turn++) {
    const before = activity.count;
    await new Promise((resolve) => setImmediate(resolve));
    quiet = activity.count === before ? quiet + 1 : 0;
    if (quiet >= (activity.servers > 0 ? quietTurns.withServers : quietTurns.alone)) return;
  }
  throw new Error(`something still went on after ${turnsMax} turns`);
}

/** Time that passes only when the test says so. */
export class FakeClock implements LoopClock {
  #now = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();
  readonly #wallOrigin: number;

  constructor(wallOrigin = Date.UTC(2026, 0, 1)) {
    this.#wallOrigin = wallOrigin;
  }

  monotonicMillis(): number {
    return this.#now;
  }

  wallMillis(): number {
    return this.#wallOrigin + this.#now;
  }

  after(millis: number, callback: () => void): Cancel {
    const atMillis = this.#now + Math.max(0, millis);
    const timer = { atMillis, order: this.#order++, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Fires what becomes due, in order, and lets its consequences happen before time goes on. */
  async advance(millis: number): Promise<void> {
    const until = this.#now + millis;
    await settle();
    for (;;) {
      const next = [...this.#timers]
        .filter(({ atMillis }) => atMillis <= until)
        .sort((a, b) => a.atMillis - b.atMillis || a.order - b.order)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.atMillis);
      next.callback();
      await settle();
    }
    this.#now = until;
  }

  /** Time passes, but nothing runs: a paused process. */
  jump(millis: number): void {
    this.#now += millis;
  }

  /** Advances in steps until the condition holds; fails after `limitMillis` of fake time. */
  async until(condition: () => boolean, what: string, limitMillis = 120_000): Promise<void> {
    await settle();
    for (let passed = 0; !condition(); passed += 50) {
      if (passed >= limitMillis) throw new Error(`not within ${limitMillis} ms: ${what}`);
      await this.advance(50);
    }
  }
}
