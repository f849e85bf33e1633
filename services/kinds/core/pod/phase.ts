import type { Pod } from "../../../../proto/gen/core.ts";

/** Whether the pod has ended for good: its containers hold no resources any more. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Neither finished nor being deleted: what counts as a replica. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !pod.metadata?.deletionTimestamp;
}
