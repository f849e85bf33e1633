/** Which pods of a DaemonSet are to come and to go (upstream `pkg/controller/daemon`). Pure. */
import type { DaemonSet, DaemonSetStatus } from "../../../proto/gen/apps.ts";
import type { Node, Pod } from "../../../proto/gen/core.ts";
import { parseTime, percentOf } from "../../kinds/facts.ts";
import { isAvailable, isReady } from "../pods.ts";
import { type Fitness, fitness, hashLabel, nodeOf } from "./daemon-pod.ts";

export interface NodePods extends Fitness {
  readonly node: string;
  /** Those that have a node first, then the oldest. */
  readonly pods: readonly Pod[];
}

export interface Situation {
  readonly set: DaemonSet;
  /** Of the present template. */
  readonly hash: string;
  readonly nodes: readonly NodePods[];
  readonly now: number;
}

export interface Plan {
  /** Names of nodes. */
  readonly create: readonly string[];
  readonly delete: readonly Pod[];
  /** Ended pods; deleted in their own time, each with an event. */
  readonly ended: readonly Pod[];
}

/**
 * Every node with its pods. Of a node that is gone only pods that never came to it are told: those
 * that ran there are the pod garbage collector's. Pods at an end that are being deleted hold no place.
 */
export function nodesOf(set: DaemonSet, nodes: readonly Node[], pods: readonly Pod[]): NodePods[] {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    if (isGoing(pod) && hasEnded(pod)) continue;
    const node = nodeOf(pod) ?? "";
    const there = byNode.get(node);
    if (there) there.push(pod);
    else byNode.set(node, [pod]);
  }
  const known = nodes.map((node) => {
    const name = node.metadata?.name ?? "";
    const there = (byNode.get(name) ?? []).sort(byAge);
    byNode.delete(name);
    return { node: name, pods: there, ...fitness(set, node) };
  });
  const lost = [...byNode].map(([node, there]) => ({
    ...{ node, run: false, stay: false },
    pods: there.filter(({ spec }) => !spec?.nodeName),
  }));
  return [...known, ...lost];
}

function byAge(a: Pod, b: Pod): number {
  const time = ({ metadata }: Pod) => parseTime(metadata?.creationTimestamp) ?? Infinity;
  const assigned = ({ spec }: Pod) => (spec?.nodeName ? 0 : 1);
  if (assigned(a) !== assigned(b)) return assigned(a) - assigned(b);
  const [left, right] = [time(a), time(b)];
  if (left !== right) return left < right ? -1 : 1;
  return (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
}

const isGoing = (pod: Pod): boolean => pod.metadata?.deletionTimestamp !== undefined;
const hasEnded = ({ status }: Pod): boolean =>
  status?.phase === "Failed" || status?.phase === "Succeeded";

export function hashOfPod(pod: Pod): string | undefined {
  return pod.metadata?.labels?.[hashLabel];
}

export function isRolling({ spec }: DaemonSet): boolean {
  return spec?.updateStrategy?.type !== "OnDelete";
}

interface Bounds {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

function boundsOf({ set, nodes }: Situation): Bounds {
  const desired = nodes.filter(({ run }) => run).length;
  const { maxSurge, maxUnavailable } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  if (!isRolling(set)) return { maxSurge: 0, maxUnavailable: 0 };
  const surge = percentOf(maxSurge ?? 0, desired, true) ?? 0;
  const unavailable = percentOf(maxUnavailable ?? 1, desired, true) ?? 1;
  // Both zero, by rounding, would never make progress.
  return { maxSurge: surge, maxUnavailable: surge === 0 ? Math.max(1, unavailable) : unavailable };
}

/** Every node that wants a pod gets one, and loses what it has too much. */
export function coverage(situation: Situation): Plan {
  const create: string[] = [];
  const gone: Pod[] = [];
  const ended: Pod[] = [];
  const { maxSurge } = boundsOf(situation);
  for (const { node, pods, run, stay } of situation.nodes) {
    const here = pods.filter((pod) => !isGoing(pod));
    if (!stay) {
      gone.push(...here);
      continue;
    }
    // Until the last pod is gone, the place is taken.
    if (pods.length === 0 && run) create.push(node);
    ended.push(...here.filter(hasEnded));
    const alive = here.filter((pod) => !hasEnded(pod));
    gone.push(...(maxSurge > 0 ? surplusOfSurge(situation, alive) : alive.slice(1)));
  }
  return { create, delete: gone, ended };
}

/** One pod of the old and one of the present template may be there side by side. */
function surplusOfSurge({ set, hash, now }: Situation, pods: readonly Pod[]): Pod[] {
  const fresh = pods.filter((pod) => hashOfPod(pod) === hash);
  const old = pods.filter((pod) => hashOfPod(pod) !== hash);
  const [kept] = fresh;
  const [former] = old;
  const minReady = set.spec?.minReadySeconds ?? 0;
  // One that serves no longer need not wait for the new one.
  const replaced =
    kept !== undefined &&
    former !== undefined &&
    (!isReady(former) || isAvailable(kept, minReady, now));
  return [...fresh.slice(1), ...old.slice(replaced ? 0 : 1)];
}

/** The next step of a rollout. */
export function rollOut(situation: Situation): Plan {
  const { maxSurge, maxUnavailable } = boundsOf(situation);
  if (maxSurge > 0) return surge(situation, maxSurge);
  const { set, hash, nodes, now } = situation;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const useless: Pod[] = [];
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const { run, pods } of nodes) {
    if (!run) continue;
    const here = pods.filter((pod) => !isGoing(pod) && !hasEnded(pod));
    const fresh = here.find((pod) => hashOfPod(pod) === hash);
    const old = here.find((pod) => hashOfPod(pod) !== hash);
    const serving = [fresh ?? old].some((pod) => pod && isAvailable(pod, minReady, now));
    if (!serving) unavailable++;
    if (fresh !== undefined || old === undefined) continue;
    (serving ? candidates : useless).push(old);
  }
  const room = Math.max(0, maxUnavailable - unavailable);
  return { create: [], delete: [...useless, ...candidates.slice(0, room)], ended: [] };
}

function surge({ set, hash, nodes, now }: Situation, maxSurge: number): Plan {
  const minReady = set.spec?.minReadySeconds ?? 0;
  const useless: string[] = [];
  const candidates: string[] = [];
  let surging = 0;
  for (const { node, run, pods } of nodes) {
    if (!run) continue;
    const here = pods.filter((pod) => !isGoing(pod) && !hasEnded(pod));
    const fresh = here.find((pod) => hashOfPod(pod) === hash);
    const old = here.find((pod) => hashOfPod(pod) !== hash);
    if (old === undefined) continue;
    if (fresh !== undefined) {
      if (!isAvailable(fresh, minReady, now)) surging++;
    } else (isAvailable(old, minReady, now) ? candidates : useless).push(node);
  }
  const room = Math.max(0, maxSurge - surging);
  return { create: [...useless, ...candidates.slice(0, room)], delete: [], ended: [] };
}

export function statusOf(situation: Situation, collisionCount: number): DaemonSetStatus {
  const { set, hash, nodes, now } = situation;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const wanting = nodes.filter(({ run }) => run);
  // Of two pods side by side, the older one counts.
  const first = wanting.flatMap(({ pods }) => pods.slice(0, 1));
  const available = first.filter((pod) => isAvailable(pod, minReady, now));
  const { conditions } = set.status ?? {};
  return {
    currentNumberScheduled: first.length,
    numberMisscheduled: nodes.filter(({ run, pods }) => !run && pods.length > 0).length,
    desiredNumberScheduled: wanting.length,
    numberReady: first.filter(isReady).length,
    observedGeneration: set.metadata?.generation ?? 0,
    updatedNumberScheduled: first.filter((pod) => hashOfPod(pod) === hash).length || undefined,
    numberAvailable: available.length || undefined,
    numberUnavailable: wanting.length - available.length || undefined,
    ...(collisionCount > 0 && { collisionCount }),
    ...(conditions !== undefined && conditions.length > 0 && { conditions }),
  };
}
