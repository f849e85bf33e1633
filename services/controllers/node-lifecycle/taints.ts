import type { Node, Pod, Taint } from "../../../proto/gen/core.ts";
import type { LoopClock } from "../../client/mod.ts";
import { parseTime, toleratesTaint } from "../../kinds/facts.ts";

const notReadyKey = "node.kubernetes.io/not-ready";
const unreachableKey = "node.kubernetes.io/unreachable";

export type Health = "ready" | "notReady" | "unreachable";

const keyOfHealth = { notReady: notReadyKey, unreachable: unreachableKey } as const;

/** Conditions that keep pods away while they are true (upstream's TaintNodesByCondition). */
const keyOfCondition: Readonly<Record<string, string>> = {
  MemoryPressure: "node.kubernetes.io/memory-pressure",
  DiskPressure: "node.kubernetes.io/disk-pressure",
  PIDPressure: "node.kubernetes.io/pid-pressure",
  NetworkUnavailable: "node.kubernetes.io/network-unavailable",
};
const unschedulableKey = "node.kubernetes.io/unschedulable";

const ownKeys = new Set([
  ...[notReadyKey, unreachableKey, unschedulableKey],
  ...Object.values(keyOfCondition),
]);

/**
 * The taints a node should carry: those of other keys stay; those of conditions are as the
 * conditions are. `evict`: NoExecute may be put on.
 */
export function wantedTaints(node: Node, health: Health, evict: boolean, nowText: string): Taint[] {
  const current = node.spec?.taints ?? [];
  const others = current.filter(
    ({ key = "", effect }) => !ownKeys.has(key) || (effect !== "NoSchedule" && !isOurs({ key })),
  );
  const wanted = [...others];
  const add = (key: string) => {
    const known = current.find((taint) => taint.key === key && taint.effect === "NoSchedule");
    wanted.push({ key, effect: "NoSchedule", timeAdded: known?.timeAdded ?? nowText });
  };
  if (health !== "ready") add(keyOfHealth[health]);
  for (const { type = "", status } of node.status?.conditions ?? []) {
    const key = keyOfCondition[type];
    if (key !== undefined && status === "True") add(key);
  }
  if (node.spec?.unschedulable) add(unschedulableKey);
  if (health === "ready") return wanted;
  const evicting = current.some((taint) => isOurs(taint) && taint.effect === "NoExecute");
  if (evict || evicting) {
    // From not-ready to unreachable the node stays lost: tolerations go on counting.
    const known = current.find((taint) => isOurs(taint) && taint.effect === "NoExecute");
    const key = keyOfHealth[health];
    wanted.push({ key, effect: "NoExecute", timeAdded: known?.timeAdded ?? nowText });
  }
  return wanted;
}

export function sameTaints(a: readonly Taint[], b: readonly Taint[]): boolean {
  const text = (taints: readonly Taint[]) => taints.map(identity).sort();
  return JSON.stringify(text(a)) === JSON.stringify(text(b));
}

function isOurs({ key }: Taint): boolean {
  return key === notReadyKey || key === unreachableKey;
}

/**
 * When a pod must leave because of NoExecute taints: Unix milliseconds; undefined: it may stay.
 * Of each taint the first toleration that matches counts, from the time at which the taint was put
 * on: `sinceOf` gives that in Unix milliseconds.
 */
export function evictionTime(
  pod: Pod,
  taints: readonly Taint[],
  sinceOf: (taint: Taint) => number,
): number | undefined {
  let earliest: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== "NoExecute") continue;
    const matching = pod.spec?.tolerations?.find((each) => toleratesTaint(each, taint));
    let due = sinceOf(taint);
    if (matching) due += Math.max(0, matching.tolerationSeconds ?? Infinity) * 1000;
    if (due !== Infinity) earliest = Math.min(earliest ?? Infinity, due);
  }
  return earliest;
}

/**
 * When each taint of each node was first seen here. It stands in for `timeAdded`, which only the
 * node controllers write: a taint that a user puts on has none.
 */
export class TaintTimes {
  readonly #clock: LoopClock;
  readonly #seen = new Map<string, Map<string, number>>();

  constructor(clock: LoopClock) {
    this.#clock = clock;
  }

  /** Notes the node's taints; those that are gone are forgotten, and begin anew when they return. */
  note(nodeName: string, taints: readonly Taint[]): void {
    const before = this.#seen.get(nodeName);
    const now = new Map<string, number>();
    for (const taint of taints) {
      if (taint.effect !== "NoExecute") continue;
      const id = identity(taint);
      now.set(id, before?.get(id) ?? this.#clock.wallMillis());
    }
    if (now.size > 0) this.#seen.set(nodeName, now);
    else this.#seen.delete(nodeName);
  }

  forget(nodeName: string): void {
    this.#seen.delete(nodeName);
  }

  /** Unix milliseconds: `timeAdded`, or else when the taint was first noted. */
  since(nodeName: string, taint: Taint): number {
    const seen = this.#seen.get(nodeName)?.get(identity(taint));
    return parseTime(taint.timeAdded) ?? seen ?? this.#clock.wallMillis();
  }
}

function identity({ key, value = "", effect }: Taint): string {
  return JSON.stringify([key, value, effect]);
}
