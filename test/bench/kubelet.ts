/**
 * One kubelet and many pods, on an API of no weight: how long a pod takes from its binding to the
 * report that it runs, and what a pod costs in CPU and memory, at its start and while nothing
 * happens.
 *
 *   npm run bench -- kubelet [--pods 300] [--alone 40] [--idle 10]
 *                            [--container-runtime-endpoint unix:///… --image NAME]
 *
 * `--alone`: pods that start one after the other; `--idle`: seconds of rest that are measured. With
 * an endpoint the pods are that runtime's, of an image that it has and that has `sleep`; otherwise
 * they are processes.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Node, Pod } from "../../proto/gen/core.ts";
import { createProcessRuntime, type Kubelet } from "../../services/kubelet/mod.ts";
import { createCriRuntime } from "../../services/kubelet/runtime/cri/mod.ts";
import { fakeCluster, startKubelet } from "../kubelet/fake-cluster.ts";
import { silent } from "../kubelet/support.ts";

type Pods = ReturnType<typeof fakeCluster>["pods"];

const waitMillis = 120_000;
const pollMillis = 10;
const ticksPerSecond = 100;

export async function run(args: readonly string[]): Promise<void> {
  const { pods: count, alone, idle, endpoint, image } = parse(args);
  const dir = await mkdtemp(join(tmpdir(), "trireme-bench-kubelet-"));
  const { pods, nodes, client } = fakeCluster();
  const open = () =>
    endpoint === undefined
      ? createProcessRuntime({ root: join(dir, "runtime"), log: silent })
      : createCriRuntime({
          ...{ endpoint, logRoot: join(dir, "logs"), seccompRoot: join(dir, "seccomp") },
          log: silent,
        });
  const kubelet = startKubelet(client, dir, { node: nodeOf(count + alone), runtime: open() });
  await kubelet.runtime.load();
  try {
    await kubelet.start();
    nodes.put({ ...(nodes.objects.get("n1") as Node), spec: { podCIDR: "127.66.0.0/20" } });
    await startAlone(pods, alone, image);
    await startMany(kubelet, pods, count, image);
    await rest(pods, idle);
    await endAll(kubelet, pods);
  } finally {
    await kubelet.close();
    const cleaner = open();
    await cleaner.load();
    for (const sandbox of cleaner.sandboxes()) await cleaner.removeSandbox(sandbox.uid);
    await cleaner.close();
    await rm(dir, { recursive: true, force: true });
  }
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: "string", default: "300" },
      alone: { type: "string", default: "40" },
      idle: { type: "string", default: "10" },
      "container-runtime-endpoint": { type: "string" },
      image: { type: "string" },
    },
  });
  const whole = (flag: "pods" | "alone" | "idle", most: number): number => {
    const value = Number(values[flag]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${flag} ${values[flag]}: must be a whole number in 1..${most}`);
  };
  const { image, "container-runtime-endpoint": endpoint } = values;
  if ((endpoint === undefined) !== (image === undefined)) {
    throw new Error("--container-runtime-endpoint and --image are given together or not at all");
  }
  return {
    ...{ pods: whole("pods", 2_000), alone: whole("alone", 1_000), idle: whole("idle", 600) },
    ...{ endpoint, image: image ?? "i" },
  };
}

function nodeOf(maxPods: number) {
  return {
    ...{ nodeName: "n1", nodeIP: "127.0.0.1", port: 1, maxPods, labels: {}, taints: [] },
    ...{ capacityCpu: "64", capacityMemory: "64Gi", reserved: {} },
    ...{ runtimeVersion: "process://1", kubeletVersion: "v1" },
  };
}

/** A pod as the API hands it out: with defaults, a probe and an account's volume left out. */
function podNamed(name: string, image: string): Pod {
  return {
    metadata: { name, namespace: "bench", uid: `uid-${name}` },
    spec: {
      ...{ nodeName: "n1", restartPolicy: "Always", terminationGracePeriodSeconds: 1 },
      containers: [
        { name: "c", image, imagePullPolicy: "IfNotPresent", command: ["sleep", "100000"] },
      ],
      volumes: [{ name: "scratch", emptyDir: {} }],
    },
  };
}

const isRunning = ({ status }: Pod) => status?.phase === "Running";

async function startAlone(pods: Pods, count: number, image: string): Promise<void> {
  const millis: number[] = [];
  for (let index = 0; index < count; index++) {
    const name = `alone-${index}`;
    const begun = performance.now();
    pods.put(podNamed(name, image));
    await untilTold(pods, () => isRunning(pods.objects.get(name) ?? {}));
    millis.push(performance.now() - begun);
  }
  millis.sort((a, b) => a - b);
  const at = (share: number) => (millis[Math.floor(share * (millis.length - 1))] ?? 0).toFixed(1);
  console.log(`${count} pods one by one: start p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}

async function startMany(
  kubelet: Kubelet,
  pods: Pods,
  count: number,
  image: string,
): Promise<void> {
  const [cpu, memory, begun] = [used(), process.memoryUsage().rss, performance.now()];
  for (let index = 0; index < count; index++) pods.put(podNamed(`many-${index}`, image));
  await untilTold(pods, () => [...pods.objects.values()].every(isRunning));
  const seconds = (performance.now() - begun) / 1000;
  const now = used();
  const [own, children] = [(now.own - cpu.own) / count, (now.children - cpu.children) / count];
  const kilobytes = (process.memoryUsage().rss - memory) / count / 1024;
  console.log(
    `${count} pods at once: ${seconds.toFixed(2)} s, ${(count / seconds).toFixed(0)} pods/s; a pod ` +
      `costs ${own.toFixed(2)} ms CPU of the kubelet, ${children.toFixed(2)} ms of its helpers, ` +
      `${kilobytes.toFixed(0)} KiB of the kubelet's memory`,
  );
  const shims = kubelet.runtime.containers().filter(({ state }) => state === "running").length;
  console.log(`${shims} containers run`);
}

async function rest(pods: Pods, seconds: number): Promise<void> {
  const before = used();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const share = (used().own - before.own) / seconds / 10;
  console.log(
    `at rest with ${pods.objects.size} pods: ${share.toFixed(2)} % of a core, ` +
      `${(process.memoryUsage().rss / 1024 / 1024).toFixed(0)} MiB resident`,
  );
}

async function endAll(kubelet: Kubelet, pods: Pods): Promise<void> {
  const [count, begun] = [pods.objects.size, performance.now()];
  for (const pod of [...pods.objects.values()]) {
    const metadata = { ...pod.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 1 };
    pods.put({ ...pod, metadata });
  }
  await untilTold(pods, () => pods.objects.size === 0);
  await until(() => kubelet.runtime.sandboxes().length === 0);
  console.log(`${count} pods ended in ${((performance.now() - begun) / 1000).toFixed(2)} s`);
}

/** CPU milliseconds of this process, and of the processes that it has waited for. */
function used(): { readonly own: number; readonly children: number } {
  const { user, system } = process.cpuUsage();
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[13]) + Number(fields[14]);
  return { own: (user + system) / 1000, children: (ticks * 1000) / ticksPerSecond };
}

/** Looks at each change of a pod alone: a look without a pause would take the kubelet's CPU. */
async function untilTold(pods: Pods, holds: () => boolean): Promise<void> {
  if (holds()) return;
  for await (const _ of pods.watchBatches({ signal: AbortSignal.timeout(waitMillis) })) {
    if (holds()) return;
  }
  throw new Error(`it did not come about within ${waitMillis} ms`);
}

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + waitMillis;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not come about within ${waitMillis} ms`);
    await new Promise((resolve) => setTimeout(resolve, pollMillis));
  }
}
