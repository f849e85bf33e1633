/** How long a job waits before it replaces what failed (upstream `backoff_utils.go`). */
import type { Pod } from "../../../proto/gen/core.ts";
import { endedAtMillis, uidOf } from "./job-pods.ts";

const firstMillis = 10_000;
const ceilingMillis = 10 * 60_000;

/** What is left of the pause after so many failures in a row. */
export function remainingMillis(failures: number, lastMillis: number, nowMillis: number): number {
  if (failures === 0) return 0;
  const pause = Math.min(ceilingMillis, firstMillis * 2 ** Math.min(30, failures - 1));
  return Math.max(0, lastMillis + pause - nowMillis);
}

interface Failures {
  count: number;
  lastMillis: number;
  /** Pods that were looked at, as long as the cache shows them. */
  seen: Set<string>;
}

/** Failures since the last success, by job. */
export class FailureRecord {
  readonly #jobs = new Map<string, Failures>();

  /** Notes how the pods ended, each once. */
  note(key: string, pods: readonly Pod[], failed: readonly Pod[], nowMillis: number): void {
    const known = this.#jobs.get(key) ?? { count: 0, lastMillis: 0, seen: new Set<string>() };
    const end = (pod: Pod) => endedAtMillis(pod, nowMillis);
    const successes = pods.filter(({ status }) => status?.phase === "Succeeded");
    const lastSuccess = Math.max(
      0,
      ...successes.filter((pod) => !known.seen.has(uidOf(pod))).map(end),
    );
    const fresh = failed.filter((pod) => !known.seen.has(uidOf(pod)));
    const since = fresh.map(end).filter((millis) => millis > lastSuccess);
    if (lastSuccess > known.lastMillis) known.count = 0;
    known.count += since.length;
    known.lastMillis = Math.max(known.lastMillis, ...since);
    const present = new Set(pods.map(uidOf));
    const looked = [...known.seen, ...[...successes, ...fresh].map(uidOf)];
    known.seen = new Set(looked.filter((uid) => present.has(uid)));
    this.#jobs.set(key, known);
  }

  remainingMillis(key: string, nowMillis: number): number {
    const known = this.#jobs.get(key);
    return known ? remainingMillis(known.count, known.lastMillis, nowMillis) : 0;
  }

  forget(key: string): void {
    this.#jobs.delete(key);
  }
}
