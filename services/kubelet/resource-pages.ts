/**
 * What the node and its pods use, as pages: `/stats/summary`, `/metrics/resource`, which
 * metrics-server reads, and of `/metrics/cadvisor` the metrics that dashboards ask for most. Names
 * and units are upstream's; only what has been measured is told.
 */
import { cpus, totalmem } from "node:os";
import type { NodeStats } from "../../proto/gen/kubelet.ts";
import { rfc3339Seconds } from "../kinds/facts.ts";
import type { Measurements } from "./eviction/thresholds.ts";
import type { Container, ContainerRuntime, PodSandbox } from "./runtime/types.ts";

export interface ResourceSource {
  readonly nodeName: string;
  readonly runtime: ContainerRuntime;
  readonly stats: () => NodeStats | undefined;
  /** CPU time that the node has used. */
  readonly cpuMillisTotal: () => number;
  /** What the machine has left. */
  readonly machine: () => Promise<Measurements>;
}

interface ContainerUse {
  readonly run: Container;
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly processes: number | undefined;
}

interface PodUse {
  readonly sandbox: PodSandbox;
  readonly containers: readonly ContainerUse[];
}

/** Pods with running containers, and what each of these has used since its start. */
async function podUses({ runtime }: ResourceSource): Promise<readonly PodUse[]> {
  const sandboxes = new Map(runtime.sandboxes().map((sandbox) => [sandbox.uid, sandbox]));
  const runs = new Map(runtime.containers().map((run) => [run.id, run]));
  return (await runtime.resourceUse()).flatMap(({ podUid, containers }): PodUse[] => {
    const sandbox = sandboxes.get(podUid);
    if (sandbox === undefined) return [];
    const uses = containers.flatMap((one): ContainerUse[] => {
      const run = runs.get(one.id);
      const { cpuMillisTotal: cpuMillis, memoryBytes, processes } = one;
      return run === undefined ? [] : [{ run, cpuMillis, memoryBytes, processes }];
    });
    return [{ sandbox, containers: uses }];
  });
}

type Labels = Readonly<Record<string, string>>;
interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

/** Lines of Prometheus' text format; `at`: Unix milliseconds of the measurement. */
function family(
  name: string,
  type: "counter" | "gauge",
  help: string,
  samples: readonly Sample[],
  at?: number,
): string {
  const escaped = (text: string) => text.replace(/[\\"\n]/g, (sign) => escapes[sign] ?? sign);
  const lines = samples.map(({ labels = {}, value }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    const shown = pairs.length > 0 ? `{${pairs.join(",")}}` : "";
    return `${name}${shown} ${value}${at === undefined ? "" : ` ${at}`}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", '"': '\\"', "\n": "\\n" };

const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0);
const seconds = (millis: number) => millis / 1000;

export async function resourceMetrics(source: ResourceSource): Promise<string> {
  const uses = await podUses(source);
  const at = Date.now();
  const { memoryBytes } = source.stats() ?? {};
  const podLabels = ({ sandbox }: PodUse) => ({
    namespace: sandbox.namespace,
    pod: sandbox.name,
  });
  const ofContainers = (value: (use: ContainerUse) => number) =>
    uses.flatMap((pod) =>
      pod.containers.map((one) => {
        return { labels: { container: one.run.name, ...podLabels(pod) }, value: value(one) };
      }),
    );
  const ofPods = (value: (use: ContainerUse) => number) =>
    uses.map((pod) => ({ labels: podLabels(pod), value: sum(pod.containers.map(value)) }));
  const cpu = ({ cpuMillis }: ContainerUse) => seconds(cpuMillis);
  const memory = (one: ContainerUse) => one.memoryBytes;
  const started = ({ run }: ContainerUse) => seconds(run.startedAt ?? run.createdAt);
  const cpuHelp = "Cumulative cpu time consumed by the";
  const memoryHelp = "Current working set of the";
  return [
    family(
      ...(["container_cpu_usage_seconds_total", "counter"] as const),
      `${cpuHelp} container in core-seconds`,
      ofContainers(cpu),
      at,
    ),
    family(
      ...(["container_memory_working_set_bytes", "gauge"] as const),
      `${memoryHelp} container in bytes`,
      ofContainers(memory),
      at,
    ),
    family(
      ...(["container_start_time_seconds", "gauge"] as const),
      "Start time of the container since unix epoch in seconds",
      ofContainers(started),
    ),
    family(
      ...(["node_cpu_usage_seconds_total", "counter"] as const),
      `${cpuHelp} node in core-seconds`,
      [{ value: seconds(source.cpuMillisTotal()) }],
      at,
    ),
    family(
      ...(["node_memory_working_set_bytes", "gauge"] as const),
      `${memoryHelp} node in bytes`,
      memoryBytes === undefined ? [] : [{ value: memoryBytes }],
      at,
    ),
    family(
      ...(["pod_cpu_usage_seconds_total", "counter"] as const),
      `${cpuHelp} pod in core-seconds`,
      ofPods(cpu),
      at,
    ),
    family(
      ...(["pod_memory_working_set_bytes", "gauge"] as const),
      `${memoryHelp} pod in bytes`,
      ofPods(memory),
      at,
    ),
    family(
      ...(["resource_scrape_error", "gauge"] as const),
      "1 if there was an error while getting container metrics, 0 otherwise",
      [{ value: 0 }],
    ),
  ].join("");
}

/** The labels are cAdvisor's; a metric without a container is the pod's. */
export async function cadvisorMetrics(source: ResourceSource): Promise<string> {
  const uses = await podUses(source);
  const at = Date.now();
  const labelled = (value: (use: ContainerUse) => number | undefined, more: Labels = {}) =>
    uses.flatMap(({ sandbox, containers }) =>
      containers.flatMap((one): Sample[] => {
        const { run } = one;
        const found = value(one);
        const labels = {
          ...{ container: run.name, ...more, id: `/kubepods/pod${sandbox.uid}/${run.id}` },
          ...{ image: run.image, name: run.id, namespace: sandbox.namespace, pod: sandbox.name },
        };
        return found === undefined ? [] : [{ labels, value: found }];
      }),
    );
  return [
    family(
      ...(["container_cpu_usage_seconds_total", "counter"] as const),
      "Cumulative cpu time consumed in seconds.",
      labelled(({ cpuMillis }) => seconds(cpuMillis), { cpu: "total" }),
      at,
    ),
    ...(["container_memory_usage_bytes", "container_memory_working_set_bytes"] as const).map(
      (name) =>
        family(
          ...([name, "gauge", "Current memory in use in bytes."] as const),
          labelled(({ memoryBytes }) => memoryBytes),
          at,
        ),
    ),
    family(
      ...(["container_processes", "gauge"] as const),
      "Number of processes running inside the container.",
      labelled(({ processes }) => processes),
      at,
    ),
    family(
      ...(["container_start_time_seconds", "gauge"] as const),
      "Start time of the container since unix epoch in seconds.",
      labelled(({ run }) => seconds(run.startedAt ?? run.createdAt)),
    ),
    family(
      ...(["container_last_seen", "gauge"] as const),
      "Last time a container was seen by the exporter",
      labelled(() => Math.floor(seconds(at))),
    ),
    family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [
      { value: cpus().length },
    ]),
    family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", [
      { value: totalmem() },
    ]),
  ].join("");
}

/** `Summary` of stats/v1alpha1. */
export async function summary(source: ResourceSource): Promise<object> {
  const { time, cpuNanoCores, memoryBytes, pods: rates = [] } = source.stats() ?? {};
  const uses = await podUses(source);
  const rateOf = (uid: string, name: string) =>
    rates.find((pod) => pod.uid === uid)?.containers?.find((one) => one.name === name);
  const cpu = (nanoCores: number | undefined, millis: number) => ({
    time,
    ...(nanoCores !== undefined && { usageNanoCores: nanoCores }),
    usageCoreNanoSeconds: Math.round(millis * 1e6),
  });
  const memory = (bytes: number | undefined) => ({
    time,
    usageBytes: bytes,
    workingSetBytes: bytes,
  });
  const shown = uses.map(({ sandbox, containers }) => {
    const own = containers.map((one) => ({ one, rate: rateOf(sandbox.uid, one.run.name) }));
    const known = own.flatMap(({ rate }) => rate?.cpuNanoCores ?? []);
    const counted = containers.flatMap(({ processes }) => processes ?? []);
    return {
      podRef: { name: sandbox.name, namespace: sandbox.namespace, uid: sandbox.uid },
      startTime: rfc3339Seconds(sandbox.createdAt),
      containers: own.map(({ one, rate }) => ({
        name: one.run.name,
        startTime: rfc3339Seconds(one.run.startedAt ?? one.run.createdAt),
        cpu: cpu(rate?.cpuNanoCores, one.cpuMillis),
        memory: memory(one.memoryBytes),
      })),
      cpu: cpu(
        known.length === own.length ? sum(known) : undefined,
        sum(containers.map(({ cpuMillis }) => cpuMillis)),
      ),
      memory: memory(sum(containers.map((one) => one.memoryBytes))),
      ...(counted.length > 0 && { process_stats: { process_count: sum(counted) } }),
    };
  });
  const node = {
    nodeName: source.nodeName,
    cpu: cpu(cpuNanoCores, source.cpuMillisTotal()),
    memory: memory(memoryBytes),
  };
  return { node: { ...node, ...machineStats(await source.machine(), time) }, pods: shown };
}

/** The file system of the pods, and process ids. */
function machineStats(measured: Measurements, time: string | undefined) {
  const [space, inodes] = [measured["nodefs.available"], measured["nodefs.inodesFree"]];
  const processes = measured["pid.available"];
  return {
    ...(space !== undefined && {
      fs: {
        time,
        availableBytes: space.free,
        capacityBytes: space.total,
        usedBytes: space.total - space.free,
        ...(inodes !== undefined && {
          inodesFree: inodes.free,
          inodes: inodes.total,
          inodesUsed: inodes.total - inodes.free,
        }),
      },
    }),
    ...(processes !== undefined && {
      rlimit: { time, maxpid: processes.total, curproc: processes.total - processes.free },
    }),
  };
}
