/** What the processes of pods use, from one pass over /proc. */
import type { ContainerResourceUse, PodResourceUse } from "../types.ts";
import { allProcesses, type ProcessStat, ticksPerSecond } from "./proc.ts";

/** The container whose program leads a session. */
export interface SessionOwner {
  readonly podUid: string;
  readonly id: string;
  readonly name: string;
}

/**
 * `owners`: containers by the session of each one's program. A program on a terminal runs in a
 * session below that one, so a process counts for its nearest such ancestor, too.
 */
export async function usedBySessions(
  owners: ReadonlyMap<number, SessionOwner>,
): Promise<readonly PodResourceUse[]> {
  if (owners.size === 0) return [];
  const totals = new Map(
    [...owners.values()].map((owner) => [
      owner,
      { cpuMillisTotal: 0, memoryBytes: 0, processes: 0 },
    ]),
  );
  const processes = await allProcesses();
  const byPid = new Map(processes.map((stat) => [stat.pid, stat]));
  for (const stat of processes) {
    const owner = ownerOf(stat, byPid, owners);
    const total = owner && totals.get(owner);
    if (total === undefined) continue;
    total.cpuMillisTotal += (stat.cpuTicks * 1000) / ticksPerSecond;
    total.memoryBytes += stat.residentBytes;
    total.processes += 1;
  }
  const pods = new Map<string, ContainerResourceUse[]>();
  for (const [{ podUid, id, name }, total] of totals) {
    const use = { id, name, ...total };
    const known = pods.get(podUid);
    if (known === undefined) pods.set(podUid, [use]);
    else known.push(use);
  }
  return [...pods].map(([podUid, containers]) => ({
    podUid,
    containers,
    cpuMillisTotal: containers.reduce((sum, one) => sum + one.cpuMillisTotal, 0),
    memoryBytes: containers.reduce((sum, one) => sum + one.memoryBytes, 0),
  }));
}

function ownerOf(
  stat: ProcessStat,
  byPid: ReadonlyMap<number, ProcessStat>,
  owners: ReadonlyMap<number, SessionOwner>,
): SessionOwner | undefined {
  const own = owners.get(stat.session);
  if (own !== undefined) return own;
  // The leader of a terminal's session is a child of the container's program, script(1).
  const leader = byPid.get(stat.session);
  return leader === undefined ? undefined : owners.get(leader.parent);
}
