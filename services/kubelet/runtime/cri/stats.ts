/** What the containers of a runtime use. */
import { call } from "../../../../ha/rpc/mod.ts";
import { diskUseOf } from "../../disk-use.ts";
import type { ContainerResourceUse, PodDiskUse, PodResourceUse } from "../types.ts";
import type { CriCache } from "./cache.ts";
import { type CriConnection, criLimits } from "./connection.ts";

const nanosPerMilli = 1_000_000;

/** What a pod's containers wrote to their own files. `logs`: the directory of their logs. */
export async function measureDisk(
  { runtime }: CriConnection,
  cache: CriCache,
  podSandboxId: string,
  logs: string,
): Promise<PodDiskUse> {
  const settings = { deadlineMillis: criLimits.askMillis };
  const filter = { podSandboxId };
  const { stats = [] } = await call(runtime, "listContainerStats", { filter }, settings);
  const containers = stats.flatMap(({ attributes, writableLayer = {} }) => {
    const name = cache.container(attributes?.id ?? "")?.container.name;
    const { usedBytes, inodesUsed } = writableLayer;
    const use = { bytes: Number(usedBytes?.value ?? 0n), entries: Number(inodesUsed?.value ?? 0n) };
    return name === undefined ? [] : [{ name, use }];
  });
  return { containers, shared: await diskUseOf(logs) };
}

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
