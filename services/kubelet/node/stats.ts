/** What the node and each container used between two looks: what the Stats call answers with. */
import type { ContainerStats, NodeStats, PodStats } from "../../../proto/gen/kubelet.ts";
import { rfc3339Micro } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import type { PodResourceUse, PodSandbox } from "../runtime/types.ts";

export interface Look {
  readonly monotonicMillis: number;
  readonly wallMillis: number;
  /** CPU time of the machine; undefined: the node's use is that of its pods. */
  readonly busyMillis: number | undefined;
  readonly memoryBytes: number;
  readonly pods: readonly PodResourceUse[];
  readonly sandboxes: ReadonlyMap<string, PodSandbox>;
}

const nanosPerCore = 1_000_000_000;

export class NodeStatsWindow {
  #before: Look | undefined;
  #latest: NodeStats = {};

  /** Without a time until there were two looks. */
  get latest(): NodeStats {
    return this.#latest;
  }

  /** A look that comes too soon after the last one is left out: it would measure mere noise. */
  observe(look: Look): void {
    const before = this.#before;
    if (before === undefined) {
      this.#before = look;
      return;
    }
    const elapsed = look.monotonicMillis - before.monotonicMillis;
    if (elapsed < kubeletLimits.statsWindowMillisMin) return;
    this.#before = look;
    this.#latest = between(before, look, elapsed);
  }
}

function between(before: Look, look: Look, elapsed: number): NodeStats {
  const totals = new Map(
    before.pods.flatMap(({ containers }) =>
      containers.map(({ id, cpuMillisTotal }) => [id, cpuMillisTotal] as const),
    ),
  );
  // A total falls when a process ends and its parent has not waited for it.
  const nanoCores = (millis: number) => Math.round((Math.max(0, millis) / elapsed) * nanosPerCore);
  const pods = look.pods.flatMap((use): PodStats[] => {
    const { name, namespace } = look.sandboxes.get(use.podUid) ?? {};
    const containers = use.containers.map((one): ContainerStats | undefined => {
      const then = totals.get(one.id);
      if (then === undefined) return undefined;
      const cpuNanoCores = nanoCores(one.cpuMillisTotal - then);
      return { name: one.name, cpuNanoCores, memoryBytes: one.memoryBytes };
    });
    const measured = containers.filter((one) => one !== undefined);
    if (name === undefined || measured.length < containers.length) return [];
    return [{ namespace, name, uid: use.podUid, containers: measured }];
  });
  const ofPods = pods.flatMap(({ containers = [] }) => containers);
  const cpuNanoCores =
    look.busyMillis === undefined || before.busyMillis === undefined
      ? ofPods.reduce((sum, one) => sum + (one.cpuNanoCores ?? 0), 0)
      : nanoCores(look.busyMillis - before.busyMillis);
  return {
    time: rfc3339Micro(look.wallMillis),
    windowMillis: Math.round(elapsed),
    cpuNanoCores,
    memoryBytes: look.memoryBytes,
    pods,
  };
}
