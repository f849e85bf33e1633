/** Measured use of the node and its pods: rates between two looks. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { Clock } from "../../../ha/runtime/types.ts";
import type { NodeUsage, PodUsage } from "../../../proto/gen/core.ts";
import type { NodeStats } from "../../../proto/gen/kubelet.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import { availableMemory } from "./health.ts";
import { NodeStatsWindow } from "./stats.ts";

export interface UsageSampler {
  sample(): Promise<NodeUsage>;
  /** What the last samples give, by container. */
  stats(): NodeStats;
  /** CPU time that the node has used: since the machine's start, or, where it is shared, since ours. */
  cpuMillisTotal(): number;
}

/**
 * `shared`: several nodes are on this machine, so the node's own use is that of its pods; otherwise
 * it is the machine's.
 */
export function createUsageSampler(
  runtime: ContainerRuntime,
  clock: Pick<Clock, "monotonicMillis" | "wallMillis">,
  shared: boolean,
): UsageSampler {
  const window = new NodeStatsWindow();
  let podsMillis = 0;
  let before: { at: number; busyMillis: number; pods: ReadonlyMap<string, number> } | undefined;
  return {
    stats: () => window.latest,
    cpuMillisTotal: () => (shared ? podsMillis : machineBusyMillis()),
    async sample() {
      const at = clock.monotonicMillis();
      const uses = await runtime.resourceUse();
      const names = new Map(runtime.sandboxes().map((sandbox) => [sandbox.uid, sandbox]));
      const busyMillis = machineBusyMillis();
      const elapsed = before === undefined ? 0 : at - before.at;
      // A total may fall when a process ends: then nothing is known of this interval.
      const rate = (now: number, then: number | undefined) =>
        elapsed <= 0 || then === undefined
          ? 0
          : Math.max(0, Math.round(((now - then) * 1000) / elapsed));
      const pods = uses.map((use): PodUsage => {
        const sandbox = names.get(use.podUid);
        return {
          namespace: sandbox?.namespace ?? "",
          name: sandbox?.name ?? "",
          uid: use.podUid,
          cpuMillis: rate(use.cpuMillisTotal, before?.pods.get(use.podUid)),
          memoryBytes: use.memoryBytes,
        };
      });
      for (const { podUid, cpuMillisTotal } of uses) {
        podsMillis += Math.max(0, cpuMillisTotal - (before?.pods.get(podUid) ?? 0));
      }
      const cpuMillis = shared
        ? pods.reduce((sum, pod) => sum + (pod.cpuMillis ?? 0), 0)
        : rate(busyMillis, before?.busyMillis);
      const memoryBytes = shared
        ? pods.reduce((sum, pod) => sum + (pod.memoryBytes ?? 0), 0)
        : totalmem() - availableMemory();
      window.observe({
        monotonicMillis: at,
        wallMillis: clock.wallMillis(),
        busyMillis: shared ? undefined : busyMillis,
        memoryBytes,
        pods: uses,
        sandboxes: names,
      });
      before = {
        at,
        busyMillis,
        pods: new Map(uses.map((use) => [use.podUid, use.cpuMillisTotal])),
      };
      return { cpuMillis, memoryBytes, cpuPressurePermille: cpuPressure(), pods };
    },
  };
}

/** CPU time of the whole machine spent on anything, in milliseconds (first line of /proc/stat). */
function machineBusyMillis(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = read("/proc/stat")
    .split("\n", 1)
    .join("")
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) * 10;
}

/** Pressure stall information, the ten-second average; 0 where the kernel has none. */
function cpuPressure(): number {
  const match = /^some avg10=([\d.]+)/m.exec(read("/proc/pressure/cpu"));
  return match === null ? 0 : Math.round(Number(match[1]) * 10);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not offered by this kernel
  }
}
