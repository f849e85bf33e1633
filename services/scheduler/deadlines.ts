/** Tells which waiting pods have missed their deadline, or can no longer meet it. */

import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Cancel, Log } from "../../ha/runtime/types.ts";
import {
  type EventRecorder,
  isConflict,
  isNotFound,
  type LoopClock,
  type TriremeClient,
} from "../client/mod.ts";
import { isConditionTrue, withCondition } from "../kinds/facts.ts";
import { deadlineAnnotation, durationAnnotation, type PodInfo } from "./pod-info.ts";

export interface DeadlineOptions {
  readonly client: Pick<TriremeClient, "pods">;
  readonly recorder: EventRecorder;
  readonly clock: LoopClock;
  readonly log: Log;
}

type Write = NonNullable<Parameters<TriremeClient["pods"]["updateStatus"]>[1]>;

/** The condition's type. */
const missed = "DeadlineMissed";

/** A timer runs at most so long; it is set again after that. */
const timerMillisMax = 86_400_000;

/**
 * A pod that states how long it runs cannot meet its deadline from that long before it. Pods go on
 * waiting after that, with the rank of their deadline. Writes only while this scheduler leads.
 */
export class Deadlines {
  readonly #options: DeadlineOptions;
  readonly #waiting = new Map<string, PodInfo>();
  readonly #told = new Set<string>();
  #write: Write | undefined;
  #cancel: Cancel | undefined;

  constructor(options: DeadlineOptions) {
    this.#options = options;
  }

  /** A pod waits for a node, or has changed while it waits. */
  seen(info: PodInfo): void {
    const { metadata } = info.pod;
    const isStated = metadata?.annotations?.[deadlineAnnotation] !== undefined;
    if (!isStated) {
      this.gone(info.key);
      return;
    }
    this.#waiting.set(info.key, info);
    this.#look();
  }

  /** The pod has a node, or does not exist any more. */
  gone(key: string): void {
    this.#waiting.delete(key);
    this.#told.delete(key);
  }

  /** Until the signal aborts. */
  lead(write: Write & { readonly signal: AbortSignal }): void {
    this.#write = write;
    write.signal.addEventListener("abort", () => this.close(), { once: true });
    this.#look();
  }

  close(): void {
    this.#write = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    const write = this.#write;
    if (write === undefined) return;
    const now = this.#options.clock.wallMillis();
    let next = Number.POSITIVE_INFINITY;
    for (const [key, info] of this.#waiting) {
      if (this.#told.has(key)) continue;
      const latest = latestStart(info);
      if (latest > now) next = Math.min(next, latest);
      else {
        this.#told.add(key);
        void this.#tell(info, now, write);
      }
    }
    this.#cancel?.();
    this.#cancel = undefined;
    if (next === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(timerMillisMax, next - now);
    this.#cancel = this.#options.clock.after(wait, () => this.#look());
  }

  /** Never rejects. */
  async #tell({ pod, key, deadlineMillis }: PodInfo, now: number, write: Write): Promise<void> {
    const { client, recorder, log } = this.#options;
    const about = { ...pod, kind: "Pod", apiVersion: "v1" };
    const field = `metadata.annotations[${deadlineAnnotation}]`;
    const text = pod.metadata?.annotations?.[deadlineAnnotation] ?? "";
    if (deadlineMillis === Number.POSITIVE_INFINITY) {
      const problem =
        "must be a time such as 2026-01-31T12:00:00Z; the pod waits without a deadline";
      const message = `${field}: Invalid value: ${JSON.stringify(text)}: ${problem}`;
      recorder.event(about, "Warning", "InvalidDeadline", message);
      return;
    }
    if (isConditionTrue(pod.status?.conditions, missed)) return;
    const remedy = "set a later one, raise the pod's priority or make room for it";
    const message =
      deadlineMillis <= now
        ? `${field}: the deadline ${text} has passed and the pod has no node; ${remedy}`
        : `${field}: the deadline ${text} can no longer be met by a pod that runs for ` +
          `${pod.metadata?.annotations?.[durationAnnotation]} seconds and has no node; ${remedy}`;
    recorder.event(about, "Warning", missed, message);
    const condition = { type: missed, status: "True", reason: "NotScheduledInTime", message };
    try {
      const { name = "", namespace, uid } = pod.metadata ?? {};
      const current = await client.pods.get(name, namespace, { signal: write.signal });
      if (current.metadata?.uid !== uid) return;
      const conditions = withCondition(current.status?.conditions, condition, now);
      await client.pods.updateStatus(
        { ...current, status: { ...current.status, conditions } },
        write,
      );
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (isNotFound(error)) return;
      // Told again when the pod is next seen.
      this.#told.delete(key);
      if (!isConflict(error)) {
        log.warn("a missed deadline could not be told", { pod: key, error: error.message });
      }
    }
  }
}

/** From then on the deadline cannot be met; at once when it cannot be understood. */
function latestStart({ pod, deadlineMillis }: PodInfo): number {
  if (deadlineMillis === Number.POSITIVE_INFINITY) return Number.NEGATIVE_INFINITY;
  const seconds = Number(pod.metadata?.annotations?.[durationAnnotation] ?? 0);
  return deadlineMillis - (seconds > 0 && Number.isFinite(seconds) ? seconds * 1_000 : 0);
}
