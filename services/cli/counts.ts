/** What `status` and the live view count: pods by the words that `get pods` uses, ready nodes. */
import type { Node, Pod } from "../../proto/gen/core.ts";
import { summarisePod } from "../kinds/mod.ts";

const statuses = new WeakMap<Pod, string>();

/** STATUS as `get pods` has it. A pod is looked at once, for its cache keeps it until it changes. */
export function statusOf(pod: Pod): string {
  let status = statuses.get(pod);
  if (status === undefined) {
    status = summarisePod(pod).status;
    statuses.set(pod, status);
  }
  return status;
}

/** Pods by STATUS, for example Running, CrashLoopBackOff or Terminating; the most frequent first. */
export function countPods(pods: readonly Pod[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const status = statusOf(pod);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const byCount = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  return new Map(byCount);
}

/** `3 Running, 1 CrashLoopBackOff`, or `0`. */
export function podText(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return "0";
  return [...counts].map(([status, count]) => `${count} ${status}`).join(", ");
}

export function isReadyNode({ status }: Node): boolean {
  return (status?.conditions ?? []).some((c) => c.type === "Ready" && c.status === "True");
}
