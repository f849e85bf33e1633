/** Scheduling cycles over the cache alone: from a waiting pod to its node. */
import { ClusterCache } from "../../../services/scheduler/cache.ts";
import { Cycle, Framework } from "../../../services/scheduler/framework/mod.ts";
import { defaultPlugins } from "../../../services/scheduler/plugins/mod.ts";
import { podInfo } from "../../../services/scheduler/pod-info.ts";
import { benchNode, benchPod } from "./workloads.ts";

/** Pods that each node has before. */
const podsPerNode = 10;

export function measureCycles(nodes: number, workload: string): void {
  const cache = new ClusterCache();
  for (let index = 0; index < nodes; index++) cache.setNode(benchNode(index));
  let serial = 0;
  for (; serial < nodes * podsPerNode; serial++) {
    cache.assume(podInfo(benchPod(serial, "basic")), `n${serial % nodes}`);
  }
  const framework = new Framework({
    plugins: defaultPlugins,
    random: Math.random,
    after: () => () => {},
  });
  const one = () => {
    const info = podInfo(benchPod(serial++, workload));
    const placement = framework.schedule(new Cycle(info, cache.snapshot));
    if (!("node" in placement)) throw new Error(placement.refusal.message);
    cache.assume(info, placement.node.name);
  };
  const rounds = Math.max(300, Math.min(2_000, Math.floor(2_000_000 / nodes)));
  for (let round = 0; round < rounds / 4; round++) one();
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) one();
  const { user, system } = process.cpuUsage(before);
  const micros = (user + system) / rounds;
  const rate = Math.round(1_000_000 / micros);
  console.log(
    `cycles: ${String(nodes).padStart(5)} nodes, ${workload.padEnd(18)} ` +
      `${String(Math.round(micros)).padStart(5)} µs CPU a pod, ${String(rate).padStart(6)} pods/s`,
  );
}
