/** What the containers of a runtime use. */
import { call } from "../../../../ha/rpc/mod.ts";
import type { ContainerResourceUse, PodResourceUse } from "../types.ts";
import type { CriCache } from "./cache.ts";
import { type CriConnection, criLimits } from "./connection.ts";

const nanosPerMilli = 1_000_000;

/** Of running containers alone: what has ended uses nothing. Throws StatusError. */
export async function measureUse(
  { runtime }: CriConnection,
  cache: CriCache,
): Promise<readonly PodResourceUse[]> {
  const settings = { deadlineMillis: criLimits.askMillis };
  const { stats = [] } = await call(runtime, "listContainerStats", {}, settings);
  const byPod = new Map<string, ContainerResourceUse[]>();
  for (const { attributes, cpu, memory } of stats) {
    const { id = "" } = attributes ?? {};
    const container = cache.container(id)?.container;
    if (container?.state !== "running") continue;
    const use = {
      id,
      name: container.name,
      cpuMillisTotal: Math.floor(Number(cpu?.usageCoreNanoSeconds?.value ?? 0n) / nanosPerMilli),
      memoryBytes: Number(memory?.workingSetBytes?.value ?? 0n),
    };
    byPod.set(container.podUid, [...(byPod.get(container.podUid) ?? []), use]);
  }
  return [...byPod].map(([podUid, containers]) => ({
    podUid,
    containers,
    cpuMillisTotal: containers.reduce((sum, each) => sum + each.cpuMillisTotal, 0),
    memoryBytes: containers.reduce((sum, each) => sum + each.memoryBytes, 0),
  }));
}
