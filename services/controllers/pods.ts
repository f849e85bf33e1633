/** What controllers ask of a pod. */
import type { Pod, PodCondition } from "../../proto/gen/core.ts";
import { conditionOf, isConditionTrue, parseTime } from "../kinds/mod.ts";

function readyCondition(pod: Pod): PodCondition | undefined {
  return conditionOf(pod.status?.conditions, "Ready");
}

export function isReady(pod: Pod): boolean {
  return isConditionTrue(pod.status?.conditions, "Ready");
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, nowMillis: number): boolean {
  if (!isReady(pod)) return false;
  if (minReadySeconds === 0) return true;
  const since = parseTime(readyCondition(pod)?.lastTransitionTime);
  return since !== undefined && since + minReadySeconds * 1000 <= nowMillis;
}

const phaseOrder: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * The order in which surplus pods go, first to last (kubernetes `ActivePodsWithRanks`): unassigned,
 * not running, not ready, of lower deletion cost, crowded, ready for a shorter time, restarted more,
 * younger. An absent time is that of a pod which has only just begun (upstream `afterOrZero`).
 */
export function compareForDeletion(crowding: ReadonlyMap<string, number>) {
  const keys = (pod: Pod): readonly number[] => [
    pod.spec?.nodeName ? 1 : 0,
    phaseOrder[pod.status?.phase ?? "Pending"] ?? 1,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata?.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0) || 0,
    -(crowding.get(pod.spec?.nodeName ?? "") ?? 0),
    isReady(pod) ? -(parseTime(readyCondition(pod)?.lastTransitionTime) ?? Infinity) : 0,
    -restarts(pod),
    -(parseTime(pod.metadata?.creationTimestamp) ?? Infinity),
  ];
  return (a: Pod, b: Pod): number => {
    const right = keys(b);
    for (const [index, left] of keys(a).entries()) {
      const other = right[index] ?? 0;
      if (left !== other) return left < other ? -1 : 1;
    }
    return (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
  };
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((s) => s.restartCount ?? 0));
}
