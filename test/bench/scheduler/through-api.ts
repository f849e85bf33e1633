/**
 * From the creation of pods to their bindings, through real masters and the elected scheduler of a
 * cluster. Its nodes are objects that no kubelet serves: pods are bound and never started. The
 * controller managers are stopped meanwhile, which would taint nodes that do not report.
 */

import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { InformerFactory, keyOf } from "../../../services/client/mod.ts";
import { TestCluster, until } from "../../e2e/cluster.ts";
import { freeBasePort } from "../../ports.ts";
import { cpuMicros } from "../store/processes.ts";
import { benchNode, benchPod } from "./workloads.ts";

const parallel = 64;

export interface ApiLoad {
  readonly nodes: number;
  readonly pods: number;
  readonly masters: number;
}

export async function measureThroughApi(load: ApiLoad, names: readonly string[]): Promise<void> {
  const cluster = new TestCluster(await freeBasePort());
  const ended = new AbortController();
  try {
    await cluster.up(["--nodes", "1", "--masters", String(load.masters)]);
    await measure(cluster, load, names, ended.signal);
  } finally {
    ended.abort();
    await cluster.close();
  }
}

async function measure(
  cluster: TestCluster,
  { nodes, pods, masters }: ApiLoad,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { controllerManagers, schedulers, masters: serving } = cluster.endpoints;
  const stopped = controllerManagers.flatMap(({ pid }) => pid ?? []);
  const client = cluster.client(serving.map(({ grpc }) => grpc));
  const log = createLog({}, { level: "silent" });
  const informers = new InformerFactory({ client, log, clock: productionClock });
  const bound = new Map<string, number>();
  informers.informer("Pod").addHandlers({
    added: (pod) => pod.spec?.nodeName && bound.set(keyOf(pod), Date.now()),
    updated(previous, pod) {
      if (!previous.spec?.nodeName && pod.spec?.nodeName) bound.set(keyOf(pod), Date.now());
    },
  });
  informers.start(signal);
  await informers.whenSynced(signal);
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  try {
    await each(nodes, async (index) => {
      // Admission taints every new node until some controller has found it ready.
      const node = await client.nodes.create(benchNode(index));
      await client.nodes.update({ ...node, spec: { ...node.spec, taints: [] } });
    });
    const [real] = (await client.nodes.list()).items.filter(
      ({ metadata }) => !/^n\d/.test(metadata?.name ?? ""),
    );
    if (real) await client.nodes.update({ ...real, spec: { ...real.spec, unschedulable: true } });
    const schedulerPids = schedulers.flatMap(({ pid }) => pid ?? []);
    let serial = 0;
    for (const name of names) {
      const first = serial;
      const created = new Map<string, number>();
      const cpuBefore = cpuMicros(schedulerPids);
      const began = Date.now();
      await each(pods, async () => {
        const pod = benchPod(serial++, name);
        created.set(keyOf(pod), Date.now());
        await client.pods.create(pod);
      });
      await until("all pods are bound", async () => bound.size >= first + pods, 120_000, 20);
      const seconds = (Date.now() - began) / 1_000;
      const waits = [...created]
        .map(([key, at]) => (bound.get(key) ?? at) - at)
        .sort((a, b) => a - b);
      const cpu = Math.round((cpuMicros(schedulerPids) - cpuBefore) / pods);
      console.log(
        `api:    ${String(nodes).padStart(5)} nodes, ${name.padEnd(18)} ${String(cpu).padStart(5)} µs ` +
          `CPU a pod in the schedulers, ${String(Math.round(pods / seconds)).padStart(6)} pods/s from ` +
          `creation to binding, p99 ${waits[Math.floor(waits.length * 0.99)]} ms ` +
          `(${pods} pods, ${masters} masters)`,
      );
    }
  } finally {
    for (const pid of stopped) process.kill(pid, "SIGCONT");
  }
}

/** So many calls, some at a time. */
async function each(count: number, one: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}
