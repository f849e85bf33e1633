import type { Cancel, Clock } from "../runtime/types.ts";

/** Calls back once after a while, however often it is set meanwhile; then it may be set again. */
export class AlarmClock {
  readonly #clock: Clock;
  readonly #millis: number;
  #cancel: Cancel | undefined;

  constructor(clock: Clock, millis: number) {
    this.#clock = clock;
    this.#millis = millis;
  }

  get isSet(): boolean {
    return this.#cancel !== undefined;
  }

  set(callback: () => void): void {
    this.#cancel ??= this.#clock.after(this.#millis, () => {
      this.#cancel = undefined;
      callback();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
