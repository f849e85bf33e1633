/** Tells on the pod, and in an event, why it waits. */
import type { FencingToken } from "../../ha/election/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Pod, PodCondition } from "../../proto/gen/core.ts";
import {
  type EventRecorder,
  isConflict,
  isNotFound,
  keyOf,
  type LoopClock,
  type TriremeClient,
} from "../client/mod.ts";
import { rfc3339Seconds } from "../kinds/facts.ts";

export interface ReportOptions {
  readonly client: Pick<TriremeClient, "pods">;
  readonly recorder: EventRecorder;
  readonly clock: LoopClock;
  readonly log: Log;
}

export interface Report {
  /** Unschedulable: the cluster has no place; SchedulerError: the attempt itself failed. */
  readonly reason: "Unschedulable" | "SchedulerError";
  readonly message: string;
  /** Where a postFilter plugin makes room; empty: nowhere any more; undefined: as it was. */
  readonly nominatedNode: string | undefined;
}

/**
 * Writes only when what it has to say has changed, and resolves to what it has written. `pod` must be
 * the newest copy known.
 */
export async function reportWaiting(
  { client, recorder, clock, log }: ReportOptions,
  pod: Pod,
  { reason, message, nominatedNode }: Report,
  write: { readonly fence: FencingToken | undefined; readonly signal: AbortSignal },
): Promise<Pod | undefined> {
  const conditions = pod.status?.conditions ?? [];
  const known = conditions.find(({ type }) => type === "PodScheduled");
  const nominated = (nominatedNode ?? pod.status?.nominatedNodeName) || undefined;
  const isKnown = known?.status === "False" && known.message === message;
  if (isKnown && nominated === pod.status?.nominatedNodeName) return undefined;
  const now = rfc3339Seconds(clock.wallMillis());
  const condition: PodCondition = {
    type: "PodScheduled",
    status: "False",
    reason,
    message,
    lastTransitionTime: known?.status === "False" ? (known.lastTransitionTime ?? now) : now,
  };
  const others = conditions.filter(({ type }) => type !== "PodScheduled");
  const about = { ...pod, kind: "Pod", apiVersion: "v1" };
  recorder.event(about, "Warning", "FailedScheduling", message);
  const { nominatedNodeName: _, ...rest } = pod.status ?? {};
  const status = {
    ...rest,
    conditions: [...others, condition],
    ...(nominated !== undefined && { nominatedNodeName: nominated }),
  };
  try {
    return await client.pods.updateStatus({ ...pod, status }, write);
  } catch (thrown) {
    const error = StatusError.from(thrown);
    // Changed or gone meanwhile: the next attempt will say it, if it is still true.
    if (isNotFound(error) || isConflict(error)) return undefined;
    log.warn("a pod's condition could not be written", { pod: keyOf(pod), error: error.message });
    return undefined;
  }
}
