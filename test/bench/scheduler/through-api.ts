/**
 * From the creation of pods to their bindings, and until they run: through real masters, the elected
 * scheduler of a cluster, or upstream's in its place, and hollow nodes that report as kubelets do.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { type Pod, PodsService } from "../../../proto/gen/core.ts";
import { InformerFactory, keyOf } from "../../../services/client/mod.ts";
import { TestCluster, until } from "../../e2e/cluster.ts";
import { LeanClient } from "../api/lean-client.ts";
import { cpuMicros, Processes } from "../store/processes.ts";
import { benchPod, zones } from "./workloads.ts";

const parallel = 128;
const nodePrefix = "n";

export interface ApiLoad {
  readonly nodes: number;
  readonly pods: number;
  /** Running before anything is measured. */
  readonly initPods: number;
  readonly masters: number;
  /** Upstream's kube-scheduler is measured as well. */
  readonly upstream: boolean;
}

export async function measureThroughApi(load: ApiLoad, names: readonly string[]): Promise<void> {
  const cluster = new TestCluster();
  const processes = new Processes();
  const ended = new AbortController();
  try {
    const { masters } = load;
    await cluster.up(["--nodes", "0", "--masters", String(masters), "--bridge", "false"]);
    await measure({ cluster, processes, load, signal: ended.signal }, names);
  } finally {
    ended.abort();
    await processes.stop();
    await cluster.close();
  }
}

interface Run {
  readonly cluster: TestCluster;
  readonly processes: Processes;
  readonly load: ApiLoad;
  readonly signal: AbortSignal;
}

/** When each pod was first seen on a node, and running. */
interface Seen {
  readonly bound: Map<string, number>;
  readonly running: Map<string, number>;
}

type Client = ReturnType<TestCluster["client"]>;

async function measure(run: Run, names: readonly string[]): Promise<void> {
  const { cluster, load, signal } = run;
  const client = cluster.client();
  const creators = await connectCreators(cluster);
  signal.addEventListener("abort", () => {
    for (const creator of creators) creator.close();
  });
  const hollow = await startHollow(run, client);
  const seen = await watchPods(cluster.client(mastersOf(cluster)), signal);
  const { endpoints } = cluster;
  const own = endpoints.schedulers.flatMap(({ pid }) => pid ?? []);
  const groups: Record<string, readonly number[]> = {
    scheduler: own,
    masters: endpoints.masters.flatMap(({ pid }) => pid ?? []),
    balancers: endpoints.balancers.flatMap(({ pid }) => pid ?? []),
    controllers: endpoints.controllerManagers.flatMap(({ pid }) => pid ?? []),
    hollow: [hollow],
  };
  let serial = load.initPods;
  if (load.initPods > 0) {
    await measureOne({ creators, seen, name: "basic", pods: load.initPods, serial: 0, pids: {} });
  }
  const all = async (title: string, pids: Record<string, readonly number[]>) => {
    for (const name of names) {
      const line = await measureOne({ creators, seen, name, pods: load.pods, serial, pids });
      serial += load.pods;
      console.log(`api:    ${String(load.nodes).padStart(5)} nodes, ${title}${line}`);
    }
  };
  await all("", groups);
  if (!load.upstream) return;
  for (const pid of own) process.kill(pid, "SIGSTOP");
  // By itself it makes fifty calls a second, which is no measure of its speed.
  const pace = ["--kube-api-qps=5000", "--kube-api-burst=10000"];
  const flags = ["--leader-elect=false", "--secure-port=0", ...pace];
  const log = join(cluster.directory, "kube-scheduler.log");
  const config = `--kubeconfig=${endpoints.kubeconfig}`;
  const pid = run.processes.start("kube-scheduler", [config, ...flags], log);
  await all("kube-scheduler ", { ...groups, scheduler: [pid] });
}

const mastersOf = ({ endpoints }: TestCluster) => endpoints.masters.map(({ grpc }) => grpc);

/**
 * Pods are created and seen at the masters themselves, as upstream's load does it, by clients that
 * cost little; every component goes through the balancers.
 */
function connectCreators(cluster: TestCluster): Promise<LeanClient[]> {
  const { ca, clientCert, clientKey } = cluster.endpoints;
  const pem = (file: string) => readFileSync(file, "utf8");
  const credentials = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
  return Promise.all(mastersOf(cluster).map((grpc) => LeanClient.connect(grpc, credentials)));
}

/** Resolves when every node is ready. */
async function startHollow({ cluster, processes, load }: Run, client: Client): Promise<number> {
  const { grpcEndpoints, ca, clientCert, clientKey } = cluster.endpoints;
  const main = join(import.meta.dirname, "../../../services/cli/main.ts");
  const flags = [
    ...["--server", grpcEndpoints.join(",")],
    ...["--certificate-authority", ca, "--client-certificate", clientCert],
    ...["--client-key", clientKey, "--nodes", String(load.nodes)],
    ...["--node-name-prefix", nodePrefix, "--node-zones", String(zones)],
    ...["--capacity-cpu", "64", "--capacity-memory", "256Gi", "--max-pods", "253"],
  ];
  const log = join(cluster.directory, "hollow.log");
  const pid = processes.start(process.execPath, [main, "hollow", ...flags], log);
  const ready = async () => {
    const { items } = await client.nodes.list({ resourceVersion: "0" });
    const fit = items.filter(({ spec }) => (spec?.taints ?? []).length === 0);
    return items.length === load.nodes && fit.length === load.nodes;
  };
  await until("all nodes are ready", ready, 60_000 + 200 * load.nodes, 1_000);
  return pid;
}

async function watchPods(client: Client, signal: AbortSignal): Promise<Seen> {
  const log = createLog({}, { level: "silent" });
  const informers = new InformerFactory({ client, log, clock: productionClock });
  const seen: Seen = { bound: new Map(), running: new Map() };
  const look = (pod: Pod) => {
    const key = keyOf(pod);
    if (!seen.bound.has(key)) seen.bound.set(key, Date.now());
    const runs = pod.status?.phase === "Running";
    if (runs && !seen.running.has(key)) seen.running.set(key, Date.now());
  };
  const bound = { fieldSelector: "spec.nodeName!=" };
  informers.informer("Pod", bound).addHandlers({ added: look, updated: (_, pod) => look(pod) });
  informers.start(signal);
  await informers.whenSynced(signal);
  return seen;
}

interface Measured {
  readonly creators: readonly LeanClient[];
  readonly seen: Seen;
  readonly name: string;
  readonly pods: number;
  /** Of the first pod. */
  readonly serial: number;
  readonly pids: Readonly<Record<string, readonly number[]>>;
}

async function measureOne({ creators, seen, name, pods, serial, pids }: Measured): Promise<string> {
  const created = new Map<string, number>();
  const groups = Object.entries(pids);
  const before = groups.map(([, group]) => cpuMicros(group));
  const own = process.cpuUsage();
  const began = Date.now();
  await each(pods, async (index) => {
    const pod = benchPod(serial + index, name);
    created.set(keyOf(pod), Date.now());
    const { path, requestSerialize } = PodsService.create;
    await creators[index % creators.length]?.call(path, requestSerialize({ object: pod }));
  });
  const isIn = (map: Map<string, number>) => async () =>
    [...created.keys()].every((key) => map.has(key));
  await until("all pods are bound", isIn(seen.bound), 240_000, 20);
  const boundMillis = Math.max(...[...created.keys()].map((key) => seen.bound.get(key) ?? 0));
  await until("all pods run", isIn(seen.running), 60_000, 20);
  const waits = [...created]
    .map(([key, at]) => (seen.running.get(key) ?? at) - at)
    .sort((a, b) => a - b);
  const rate = Math.round((pods * 1_000) / (boundMillis - began));
  const cpu = groups.map(([group, list], index) => {
    return `${group} ${Math.round((cpuMicros(list) - (before[index] ?? 0)) / pods)}`;
  });
  const { user, system } = process.cpuUsage(own);
  return (
    `${name.padEnd(18)} ${String(rate).padStart(5)} pods/s from creation to binding; until running ` +
    `p50 ${waits[Math.floor(pods / 2)]} ms, p99 ${waits[Math.floor(pods * 0.99)]} ms; µs CPU a pod: ` +
    `${cpu.join(", ")}, this load ${Math.round((user + system) / pods)}`
  );
}

/** So many calls, some at a time. */
async function each(count: number, one: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}
