/** What the scheduling cycle of one pod costs, by the number of nodes: CPU from queue to node. */
import type { Pod } from "../../proto/gen/core.ts";
import { ClusterCache } from "../../services/scheduler/cache.ts";
import { Cycle, Framework } from "../../services/scheduler/framework/mod.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";

const podsPerNode = 10;
const owners = 20;

export async function run(): Promise<void> {
  for (const nodes of [3, 100, 1_000, 5_000]) measure(nodes);
}

function measure(nodes: number): void {
  const cache = new ClusterCache();
  for (let index = 0; index < nodes; index++) {
    const labels = { "kubernetes.io/hostname": `n${index}`, zone: `z${index % 3}` };
    cache.setNode({
      metadata: { name: `n${index}`, labels },
      spec: {},
      status: { allocatable: { cpu: "64", memory: "256Gi", pods: "1000" } },
    });
  }
  let serial = 0;
  for (; serial < nodes * podsPerNode; serial++) {
    cache.assume(podInfo(pod(serial)), `n${serial % nodes}`);
  }
  const framework = new Framework({
    plugins: defaultPlugins,
    random: Math.random,
    after: () => () => {},
  });
  const one = () => {
    const info = podInfo(pod(serial++));
    const placement = framework.schedule(new Cycle(info, cache.snapshot));
    if (!("node" in placement)) throw new Error(placement.refusal.message);
    cache.assume(info, placement.node.name);
  };
  const rounds = Math.max(200, Math.min(2_000, Math.floor(200_000 / nodes)));
  for (let round = 0; round < rounds / 4; round++) one();
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) one();
  const { user, system } = process.cpuUsage(before);
  const micros = Math.round((user + system) / rounds);
  console.log(`scheduler: ${String(nodes).padStart(5)} nodes: ${micros} µs CPU a pod`);
}

function pod(serial: number): Pod {
  const ownerReferences = [{ uid: `rs${serial % owners}`, controller: true }];
  const requests = { cpu: "10m", memory: "16Mi" };
  return {
    metadata: { name: `p${serial}`, namespace: "d", uid: `u${serial}`, ownerReferences },
    spec: { containers: [{ name: "c", image: "web:1", resources: { requests } }] },
  };
}
