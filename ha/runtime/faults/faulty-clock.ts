/** A clock whose wall time can be made to jump, as when an operator or NTP sets it. */
import type { Cancel, Clock } from "../types.ts";

export class JumpingClock implements Clock {
  readonly #clock: Clock;
  offsetMillis = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  monotonicMillis(): number {
    return this.#clock.monotonicMillis();
  }

  wallMillis(): number {
    return this.#clock.wallMillis() + this.offsetMillis;
  }

  after(millis: number, callback: () => void): Cancel {
    return this.#clock.after(millis, callback);
  }

  every(millis: number, callback: () => void): Cancel {
    return this.#clock.every(millis, callback);
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }
}
