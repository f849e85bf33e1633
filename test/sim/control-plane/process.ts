/** A simulated process beside the members: a clock that dies and pauses with it. */
import type { Cancel, Clock } from "../../../ha/runtime/types.ts";
import type { LoopClock } from "../../../services/client/mod.ts";

export class SimulatedProcess {
  readonly name: string;
  readonly clock: LoopClock;
  readonly #world: Clock;
  readonly #killed = new Set<() => void>();
  readonly #over = new AbortController();
  #alive = true;
  #pausedUntil = 0;

  constructor(name: string, world: Clock) {
    this.name = name;
    this.#world = world;
    this.clock = {
      monotonicMillis: () => world.monotonicMillis(),
      wallMillis: () => world.wallMillis(),
      after: (millis, callback) => this.#after(millis, callback),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** SIGKILL: none of its timers fires again, no answer reaches it. */
  kill(): void {
    this.#alive = false;
    for (const tell of [...this.#killed]) tell();
    this.#killed.clear();
  }

  /** Aborts once the run is over; what still listens to a signal then would be kept for ever. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The run is over: nothing of the process goes on, or is kept. */
  end(): void {
    this.kill();
    this.#over.abort();
  }

  /** SIGSTOP: what falls due meanwhile happens afterwards. */
  pause(millis: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#world.monotonicMillis() + millis);
  }

  whenKilled(callback: () => void): Cancel {
    this.#killed.add(callback);
    return () => this.#killed.delete(callback);
  }

  #after(millis: number, callback: () => void): Cancel {
    let cancel: Cancel = () => {};
    const due = () => {
      if (!this.#alive) return;
      const left = this.#pausedUntil - this.#world.monotonicMillis();
      if (left > 0) cancel = this.#world.after(left, due);
      else callback();
    };
    cancel = this.#world.after(millis, due);
    return () => cancel();
  }
}
