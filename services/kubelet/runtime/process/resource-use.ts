/** What the processes of pods use, from one pass over /proc. */
import type { PodResourceUse } from "../types.ts";
import { allProcesses, type ProcessStat, ticksPerSecond } from "./proc.ts";

/**
 * `podOfSession`: pods by the session of each container's program. A program on a terminal runs in
 * a session below that one, so a process counts for the pod of its nearest such ancestor, too.
 */
export async function usedBySessions(
  podOfSession: ReadonlyMap<number, string>,
): Promise<readonly PodResourceUse[]> {
  if (podOfSession.size === 0) return [];
  const totals = new Map<string, { cpuMillisTotal: number; memoryBytes: number }>();
  for (const uid of podOfSession.values()) totals.set(uid, { cpuMillisTotal: 0, memoryBytes: 0 });
  const processes = await allProcesses();
  const byPid = new Map(processes.map((stat) => [stat.pid, stat]));
  for (const stat of processes) {
    const total = totals.get(podOf(stat, byPid, podOfSession) ?? "");
    if (total === undefined) continue;
    total.cpuMillisTotal += (stat.cpuTicks * 1000) / ticksPerSecond;
    total.memoryBytes += stat.residentBytes;
  }
  return [...totals].map(([podUid, total]) => ({ podUid, ...total }));
}

function podOf(
  stat: ProcessStat,
  byPid: ReadonlyMap<number, ProcessStat>,
  podOfSession: ReadonlyMap<number, string>,
): string | undefined {
  const own = podOfSession.get(stat.session);
  if (own !== undefined) return own;
  // The leader of a terminal's session is a child of the container's program, script(1).
  const leader = byPid.get(stat.session);
  return leader === undefined ? undefined : podOfSession.get(leader.parent);
}
