/** What `status` and the live view count: pods by the words that `get pods` uses, ready nodes. */
import type { Node, Pod } from "../../proto/gen/core.ts";
import { summarisePod } from "../kinds/mod.ts";

/** Pods by STATUS, for example Running, CrashLoopBackOff or Terminating; the most frequent first. */
export function countPods(pods: readonly Pod[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const { status } = summarisePod(pod);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  return byFrequency(counts);
}

export function byFrequency(counts: Iterable<[string, number]>): ReadonlyMap<string, number> {
  return new Map([...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
}

/** `3 Running, 1 CrashLoopBackOff`, or `0`. */
export function podText(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return "0";
  return [...counts].map(([status, count]) => `${count} ${status}`).join(", ");
}

export function isReadyNode({ status }: Node): boolean {
  return (status?.conditions ?? []).some((c) => c.type === "Ready" && c.status === "True");
}
