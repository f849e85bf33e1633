/**
 * Work that one master is to do for all, over and over, from what the cache holds: the master whose
 * replica leads does it at once; the others look after it when it stays undone. The work must be
 * level-based and write with the resourceVersion that it has seen, so that it does not matter who does
 * it, or how often.
 */
import type { Cancel } from "../../../ha/runtime/types.ts";
import { limits } from "../limits.ts";
import type { Backend } from "./backend.ts";

export class LeadingLoop {
  readonly #backend: Pick<Backend, "store" | "clock">;
  /** Answers whether something is left to be done. Must not reject. */
  readonly #round: (closed: () => boolean) => Promise<boolean>;
  readonly #forgetStatus: () => void;
  #leads = false;
  #running = false;
  #again = false;
  #closed = false;
  #timer: Cancel | undefined;
  #delay: number = limits.retryMinMillis;

  constructor(
    backend: Pick<Backend, "store" | "clock">,
    round: (closed: () => boolean) => Promise<boolean>,
  ) {
    this.#backend = backend;
    this.#round = round;
    this.#forgetStatus = backend.store.onStatus(({ role }) => {
      const before = this.#leads;
      this.#leads = role === "leader";
      if (this.#leads && !before) this.changed();
    });
  }

  /** Something may be to do. */
  changed(): void {
    if (this.#closed) return;
    if (this.#leads) void this.#rounds();
    else this.#later(limits.definitionStandbyMillis);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
    this.#forgetStatus();
  }

  #later(millis: number): void {
    if (this.#closed) return;
    this.#timer?.();
    this.#timer = this.#backend.clock.after(millis, () => void this.#rounds());
  }

  async #rounds(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const pending = await this.#round(() => this.#closed);
        this.#delay = pending
          ? Math.min(this.#delay * 2, limits.retryMaxMillis)
          : limits.retryMinMillis;
        if (pending) this.#later(this.#delay);
      }
    } finally {
      this.#running = false;
    }
  }
}
