/**
 * Keeps the cache of a runtime as new as it can be: in rounds, and at once where the runtime tells of
 * its containers' ends. A runtime that dies is asked again until it is back; what was known of it
 * stays meanwhile, for its containers run on.
 */
import { serverStreamIterable } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import { type CriConnection, criLimits } from "./connection.ts";

export class CriFollower {
  readonly #connection: CriConnection;
  readonly #round: () => Promise<void>;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  #wake: () => void = () => undefined;
  #quickUntil = 0;
  /** The runtime tells of events itself. */
  #hears = false;
  #failing = false;

  /** `round` brings the cache up to date; it may throw. */
  constructor(connection: CriConnection, round: () => Promise<void>, log: Log) {
    this.#connection = connection;
    this.#round = round;
    this.#log = log;
  }

  start(): void {
    this.#ended = Promise.all([this.#rounds(), this.#listen()]);
  }

  /** A container may end soon: look more often for a while. */
  hurry(): void {
    this.#quickUntil = performance.now() + criLimits.quickMillis;
    if (!this.#hears) this.#wake();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#ended;
  }

  async #rounds(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#pause(this.#pauseMillis());
      if (signal.aborted) return;
      try {
        await this.#round();
        if (this.#failing) this.#log.info("the container runtime answers again");
        this.#failing = false;
      } catch (error) {
        if (signal.aborted) return;
        const { message } = StatusError.from(error);
        if (!this.#failing) this.#log.warn("the container runtime does not answer", { message });
        this.#failing = true;
      }
    }
  }

  #pauseMillis(): number {
    if (this.#failing) return criLimits.pollMillis;
    if (this.#hears) return criLimits.eventPollMillis;
    const quick = performance.now() < this.#quickUntil;
    return quick ? criLimits.quickPollMillis : criLimits.pollMillis;
  }

  /** Resolves after so long, or when woken. */
  #pause(millis: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = () => undefined;
        resolve();
      };
      const timer = setTimeout(done, millis);
      this.#wake = done;
    });
  }

  /** Every event is a reason to look, and says no more than the look does. */
  async #listen(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const events = serverStreamIterable(
          this.#connection.runtime,
          "getContainerEvents",
          {},
          { signal, onHeaders: () => this.#heard(true) },
        );
        for await (const _event of events) {
          this.#heard(true);
          this.#wake();
        }
      } catch (error) {
        if (StatusError.from(error).code === Code.unimplemented) return this.#heard(false);
      }
      this.#heard(false);
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, criLimits.pollMillis);
        signal.addEventListener("abort", done, { once: true });
        if (signal.aborted) done();
      });
    }
  }

  #heard(hears: boolean): void {
    if (this.#hears === hears) return;
    this.#hears = hears;
    this.#wake();
  }
}
