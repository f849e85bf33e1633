import { assert } from "../assert.ts";
import type { Cancel, Clock } from "../types.ts";

/** What a clock needs of its world. Times in microseconds. */
export interface ClockHost {
  now(): number;
  schedule(delay: number, kind: string, run: () => void): Cancel;
}

export interface ClockError {
  /** How much faster than world time this clock runs, e.g. 0.0001 for 100 ppm. */
  readonly drift: number;
  /** How far its wall time is ahead of the world's, in milliseconds. */
  readonly wallSkewMillis: number;
}

/** 2026-01-01T00:00:00Z: simulations start here. */
const wallOriginMillis = 1_767_225_600_000;

/** Timers and both readings drift alike, as they do where one oscillator feeds them. */
export class SimulatedClock implements Clock {
  readonly #host: ClockHost;
  readonly #rate: number;
  #wallSkewMillis: number;

  constructor(host: ClockHost, error: ClockError = { drift: 0, wallSkewMillis: 0 }) {
    this.#host = host;
    this.#rate = 1 + error.drift;
    this.#wallSkewMillis = error.wallSkewMillis;
  }

  monotonicMillis(): number {
    return (this.#host.now() / 1_000) * this.#rate;
  }

  wallMillis(): number {
    return Math.floor(wallOriginMillis + this.#wallSkewMillis + this.monotonicMillis());
  }

  /** Sets the wall clock forward or back, as an operator might. */
  jumpWall(millis: number): void {
    this.#wallSkewMillis += millis;
  }

  after(millis: number, callback: () => void): Cancel {
    return this.#host.schedule(this.#worldMicros(millis), "timer", callback);
  }

  every(millis: number, callback: () => void): Cancel {
    let cancel: Cancel = () => {};
    let cancelled = false;
    const arm = (): void => {
      cancel = this.#host.schedule(this.#worldMicros(millis), "interval", () => {
        callback();
        if (!cancelled) arm();
      });
    };
    arm();
    return () => {
      cancelled = true;
      cancel();
    };
  }

  soon(callback: () => void): void {
    this.#host.schedule(0, "soon", callback);
  }

  #worldMicros(millis: number): number {
    assert(millis >= 0 && millis < 2 ** 31, `a timer of ${millis} ms is outside 0..2^31 ms`);
    // At least one microsecond, so that a timer that re-arms itself lets time go on.
    return Math.max(1, Math.round((millis * 1_000) / this.#rate));
  }
}
