/**
 * Resets of calls to one master. All clients share its connection, and it closes one on which too
 * many streams are begun and reset (CVE-2023-44487): clients that cancel fast enough, or come and
 * go with a thousand calls each, would take it from all other clients. So resets go out at a pace
 * that no master takes for a flood; a call whose turn has not come is kept open with a closed
 * window, and its data is dropped.
 */
import type { Connection, Stream } from "../http2/mod.ts";
import type { BalancerLimits } from "./limits.ts";

interface Reset {
  readonly stream: Stream;
  readonly code: number;
}

/** How often those that wait are looked at. */
const turnMillis = 50;

export class PacedResets {
  readonly #connection: Pick<Connection, "reset">;
  readonly #limits: BalancerLimits;
  readonly #now: () => number;
  #waiting: Reset[] = [];
  #tokens: number;
  #filledAt: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    connection: Pick<Connection, "reset">,
    limits: BalancerLimits,
    now: () => number = () => performance.now(),
  ) {
    this.#connection = connection;
    this.#limits = limits;
    this.#now = now;
    this.#tokens = limits.resetBurst;
    this.#filledAt = now();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Now, or in its turn. */
  reset(stream: Stream, code: number): void {
    if (stream.closed) return;
    if (this.#waiting.length === 0 && this.#take()) {
      this.#connection.reset(stream, code);
      return;
    }
    this.#waiting.push({ stream, code });
    this.#timer ??= setInterval(() => this.turn(), turnMillis).unref();
  }

  /** Resets as many of those that wait as the pace allows. */
  turn(): void {
    let sent = 0;
    for (const { stream, code } of this.#waiting) {
      // One that has ended by itself needs no reset.
      if (!stream.closed && !this.#take()) break;
      this.#connection.reset(stream, code);
      sent++;
    }
    if (sent > 0) this.#waiting = this.#waiting.slice(sent);
    if (this.#waiting.length === 0) this.close();
  }

  /** The connection is gone. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
  }

  #take(): boolean {
    if (this.#tokens < 1) {
      const { resetBurst, resetsPerSecond } = this.#limits;
      const now = this.#now();
      const earned = ((now - this.#filledAt) * resetsPerSecond) / 1_000;
      this.#filledAt = now;
      this.#tokens = Math.min(resetBurst, this.#tokens + earned);
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
