import type { Node, Pod, Taint } from "../../../proto/gen/core.ts";
import { parseTime, toleratesTaint } from "../../kinds/mod.ts";

export const notReadyKey = "node.kubernetes.io/not-ready";
export const unreachableKey = "node.kubernetes.io/unreachable";

export type Health = "ready" | "notReady" | "unreachable";

const keyOfHealth = { notReady: notReadyKey, unreachable: unreachableKey } as const;

/** The taints a node should carry; those of other keys stay. `evict`: NoExecute may be put on. */
export function wantedTaints(node: Node, health: Health, evict: boolean, nowText: string): Taint[] {
  const current = node.spec?.taints ?? [];
  const others = current.filter(({ key }) => key !== notReadyKey && key !== unreachableKey);
  if (health === "ready") return others;
  const key = keyOfHealth[health];
  const evicting = current.some((taint) => isOurs(taint) && taint.effect === "NoExecute");
  const wanted: Taint[] = [...others, { key, effect: "NoSchedule" }];
  if (evict || evicting) {
    // From not-ready to unreachable the node stays lost: tolerations go on counting.
    const known = current.find((taint) => isOurs(taint) && taint.effect === "NoExecute");
    wanted.push({ key, effect: "NoExecute", timeAdded: known?.timeAdded ?? nowText });
  }
  return wanted;
}

export function sameTaints(a: readonly Taint[], b: readonly Taint[]): boolean {
  const text = (taints: readonly Taint[]) =>
    taints.map(({ key, value, effect }) => JSON.stringify([key, value ?? "", effect])).sort();
  return JSON.stringify(text(a)) === JSON.stringify(text(b));
}

function isOurs({ key }: Taint): boolean {
  return key === notReadyKey || key === unreachableKey;
}

/**
 * When a pod must leave because of NoExecute taints: Unix milliseconds; undefined: it may stay.
 * The shortest tolerationSeconds of those that match counts.
 */
export function evictionTime(pod: Pod, taints: readonly Taint[]): number | undefined {
  let earliest: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== "NoExecute") continue;
    const since = parseTime(taint.timeAdded) ?? 0;
    const matching = (pod.spec?.tolerations ?? []).filter((each) => toleratesTaint(each, taint));
    let due = since;
    if (matching.length > 0) {
      const limits = matching.map(({ tolerationSeconds }) => tolerationSeconds ?? Infinity);
      due = since + Math.max(0, Math.min(...limits)) * 1000;
    }
    if (due !== Infinity) earliest = Math.min(earliest ?? Infinity, due);
  }
  return earliest;
}
