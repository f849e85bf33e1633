/** What controllers ask of a pod. */
import type { ContainerStatus, Pod, PodCondition } from "../../proto/gen/core.ts";
import { conditionOf, isConditionTrue, parseTime } from "../kinds/facts.ts";

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

/** What the order of a ReplicaSet's surplus pods depends on besides the pods. */
export interface Ranking {
  /** By node, how many pods of the same workload it runs. */
  readonly crowding: ReadonlyMap<string, number>;
  readonly nowMillis: number;
}

/**
 * The order in which surplus pods go, first to last (upstream `ActivePods`): unassigned, not running,
 * not ready, ready for a shorter time, restarted more, younger. An absent time is that of a pod which
 * has only just begun.
 *
 * With a ranking (upstream `ActivePodsWithRanks`) pods of lower deletion cost and those on crowded
 * nodes go before the times are looked at, and times count by magnitude only: among pods of about
 * the same age any may go.
 */
export function compareForDeletion(ranking?: Ranking) {
  const keys = (pod: Pod): readonly number[] => [
    pod.spec?.nodeName ? 1 : 0,
    phaseOrder[pod.status?.phase ?? "Pending"] ?? 1,
    isReady(pod) ? 1 : 0,
    ...(ranking ? [deletionCost(pod), -(ranking.crowding.get(pod.spec?.nodeName ?? "") ?? 0)] : []),
  ];
  return (a: Pod, b: Pod): number =>
    compareKeys(keys(a), keys(b)) ||
    (isReady(a) && isReady(b) ? compareSince(readySince, a, b, ranking) : 0) ||
    compareKeys(restarts(a), restarts(b)) ||
    compareSince(created, a, b, ranking) ||
    compareText(a.metadata?.name, b.metadata?.name);
}

function compareKeys(a: readonly number[], b: readonly number[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] ?? 0;
    if (left !== right) return left - right;
  }
  return 0;
}

function compareText(a = "", b = ""): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function deletionCost({ metadata }: Pod): number {
  const text = metadata?.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? "";
  return /^(?:0|-?[1-9]\d{0,9})$/.test(text) ? Number(text) : 0;
}

const readySince = (pod: Pod) => parseTime(readyCondition(pod)?.lastTransitionTime);
const created = (pod: Pod) => parseTime(pod.metadata?.creationTimestamp);

/** The shorter time comes first. */
function compareSince(
  timeOf: (pod: Pod) => number | undefined,
  a: Pod,
  b: Pod,
  ranking: Ranking | undefined,
): number {
  const [left, right] = [timeOf(a), timeOf(b)];
  if (left === right) return 0;
  if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
  if (ranking === undefined) return right - left;
  const magnitude = (time: number) => {
    const age = (ranking.nowMillis - time) * 1e6;
    return age > 0 ? Math.floor(Math.log2(age)) : -1;
  };
  return magnitude(left) - magnitude(right) || compareText(a.metadata?.uid, b.metadata?.uid);
}

/** Most restarts of a container, and of a sidecar; more come first. */
function restarts({ spec, status }: Pod): readonly number[] {
  const most = (statuses: readonly ContainerStatus[]) =>
    -Math.max(0, ...statuses.map(({ restartCount }) => restartCount ?? 0));
  const sidecars = new Set(
    spec?.initContainers?.filter((one) => one.restartPolicy === "Always").map(({ name }) => name),
  );
  const ofSidecars = status?.initContainerStatuses?.filter(({ name }) => sidecars.has(name));
  return [most(status?.containerStatuses ?? []), most(ofSidecars ?? [])];
}
