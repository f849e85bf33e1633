import { kubeletLimits } from "../limits.ts";

interface Entry {
  millis: number;
  lastUpdate: number;
}

/**
 * Restart backoff per container: 10 s doubling to 300 s, forgotten 10 minutes after the last
 * restart (kubelet `CrashLoopBackOff`). The first restart is immediate. Times are Unix
 * milliseconds, because a container's end is known in wall time alone.
 */
export class RestartBackoff {
  readonly #entries = new Map<string, Entry>();

  /**
   * Milliseconds from `now` until a container that ended at `finishedAt` may start again. When the
   * end is unknown, the wait counts from the last restart: the container cannot have ended earlier.
   */
  remaining(name: string, finishedAt: number | undefined, now: number): number {
    const entry = this.#entries.get(name);
    if (entry === undefined) return 0;
    const ended = finishedAt ?? entry.lastUpdate;
    if (this.#expired(entry, ended)) return 0;
    return Math.max(0, ended + entry.millis - now);
  }

  /** The wait that applies at the next end, for messages. */
  current(name: string): number {
    return this.#entries.get(name)?.millis ?? 0;
  }

  /** A restart happens now. */
  next(name: string, now: number): void {
    const entry = this.#entries.get(name);
    const millis =
      entry === undefined || this.#expired(entry, now)
        ? kubeletLimits.restartBackoffFirstMillis
        : Math.min(kubeletLimits.restartBackoffCeilingMillis, entry.millis * 2);
    this.#entries.set(name, { millis, lastUpdate: now });
  }

  #expired(entry: Entry, at: number): boolean {
    return at - entry.lastUpdate > kubeletLimits.restartBackoffResetMillis;
  }
}
