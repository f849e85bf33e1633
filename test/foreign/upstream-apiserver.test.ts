/**
 * Trireme's scheduler and controllers on upstream's own kube-apiserver over etcd, by its REST API.
 * The test plays the kubelets: what is bound runs, what is under deletion ends.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parseFlags, type Running } from "../../ha/runtime/production/process.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { createAuthority } from "../../services/apiserver/pki/mod.ts";
import { kubeconfigText } from "../../services/cli/kubeconfig.ts";
import { isNotFound, type TriremeClient } from "../../services/client/mod.ts";
import { connectRest } from "../../services/client/rest/connect.ts";
import { program as controllerManager } from "../../services/controllers/mod.ts";
import { program as scheduler } from "../../services/scheduler/mod.ts";
import { eventually } from "../patience.ts";
import { freePorts } from "../ports.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";
import { EtcdProcess } from "./etcd-process.ts";
import { needsByHand } from "./needs.ts";

/** What the two may complain about, and why that is no fault. */
const excused: readonly { readonly words: RegExp; readonly why: string }[] = [
  { words: /because it is being terminated/, why: "the namespace is deleted with its workloads" },
  { words: /"web\S*" not found/, why: "the deployment was deleted meanwhile" },
];
const program = needsByHand("kube-apiserver");

/** Its files lie in a directory that the test removes. */
async function upstreamApiserver(etcd: string) {
  const directory = await mkdtemp(join(tmpdir(), "trireme-upstream-"));
  const authority = await createAuthority(directory);
  const hosts = ["127.0.0.1", "localhost"];
  const server = await authority.issue({ commonName: "kube-apiserver", hosts, use: "server" });
  const pair = await authority.issue({
    ...{ commonName: "admin", organizations: ["system:masters"], use: "client" },
  });
  const signing = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const path = (name: string) => join(directory, name);
  const [port = 0] = await freePorts(1);
  const servers = [`https://127.0.0.1:${port}`];
  const files = {
    "authority.pem": authority.cert,
    "server.pem": server.cert,
    "server-key.pem": server.key,
    "signing.pem": signing.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    "verifying.pem": signing.publicKey.export({ type: "spki", format: "pem" }).toString(),
    kubeconfig: kubeconfigText({ servers, ca: authority.cert, user: "admin", pair }),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(path(name), text);
  const flags = {
    "etcd-servers": `http://${etcd}`,
    "secure-port": port,
    "bind-address": "127.0.0.1",
    "authorization-mode": "Node,RBAC",
    "tls-cert-file": path("server.pem"),
    "tls-private-key-file": path("server-key.pem"),
    "client-ca-file": path("authority.pem"),
    "service-account-key-file": path("verifying.pem"),
    "service-account-signing-key-file": path("signing.pem"),
    "service-account-issuer": "https://cluster.example.com",
    "service-cluster-ip-range": "10.0.0.0/24",
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = spawn("kube-apiserver", args, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr?.on("data", (text: Buffer) => {
    log = (log + text.toString()).slice(-4_000);
  });
  return { child, directory, kubeconfig: path("kubeconfig"), log: () => log };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

suite("Trireme's scheduler and controllers on upstream's kube-apiserver", program, () => {
  let etcd: EtcdProcess;
  let upstream: Awaited<ReturnType<typeof upstreamApiserver>>;
  let client: TriremeClient;
  const running: Running[] = [];
  const lines: LogLine[] = [];
  const stop = new AbortController();
  let kubelets: Promise<void> = Promise.resolve();

  const troubles = () => lines.filter(({ level }) => level === "warn" || level === "error");
  const shows = (what: string, condition: () => Promise<boolean>) =>
    eventually(what, condition).catch((error: Error) => {
      error.message += `\n${JSON.stringify(troubles())}\n${upstream.log()}`;
      throw error;
    });
  const pods = async () => (await client.pods.list({ namespace: "apps" })).items;

  async function play(pod: Pod): Promise<void> {
    const { name = "", deletionTimestamp, labels } = pod.metadata ?? {};
    if (deletionTimestamp !== undefined) {
      await client.pods.delete(name, "apps", { gracePeriodSeconds: 0 });
    } else if (pod.spec?.nodeName && pod.status?.phase === "Pending") {
      const ofJob = labels?.["batch.kubernetes.io/job-name"] !== undefined;
      const ready = [{ type: "Ready", status: "True" }];
      const status = ofJob ? { phase: "Succeeded" } : { phase: "Running", conditions: ready };
      await client.pods.patch(name, "apps", "merge", { status }, { subresource: "status" });
    }
  }

  async function playKubelets(): Promise<void> {
    while (!stop.signal.aborted) {
      for (const pod of await pods()) {
        await play(pod).catch((error: unknown) => assert.ok(isNotFound(error), String(error)));
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  before(async () => {
    etcd = await EtcdProcess.open();
    upstream = await upstreamApiserver(etcd.endpoint);
    const { kubeconfig } = upstream;
    client = connectRest({ kubeconfig, program: "tester" });
    await shows("the apiserver to serve", () =>
      client.namespaces.get("kube-system").then(
        () => true,
        () => false,
      ),
    );
    const log = memoryLog(lines);
    const args = [`--kubeconfig=${kubeconfig}`];
    // No kubelet tells that the nodes live.
    const managing = [...args, "--node-monitor-grace-period=1h"];
    running.push(
      await controllerManager.start(parseFlags(controllerManager.flags, managing), log),
      await scheduler.start(parseFlags(scheduler.flags, args), log),
    );
    for (const name of ["n1", "n2"]) {
      await client.nodes.create({ metadata: { name } });
      const amounts = { cpu: "4", memory: "8Gi", pods: "110" };
      const conditions = [{ type: "Ready", status: "True" }];
      const patch = { status: { capacity: amounts, allocatable: amounts, conditions } };
      await client.nodes.patch(name, undefined, "merge", patch, { subresource: "status" });
    }
    await client.namespaces.create({ metadata: { name: "apps" } });
    await shows("a service account", async () => {
      return (await client.serviceAccounts.list({ namespace: "apps" })).items.length > 0;
    });
    kubelets = playKubelets();
  });
  after(async () => {
    stop.abort();
    await kubelets;
    await Promise.all(running.map((each) => each.stop()));
    client?.close();
    if (upstream !== undefined) {
      await ended(upstream.child);
      await rm(upstream.directory, { recursive: true });
    }
    await etcd?.close();
  });

  const workload = (kind: string, app: string, spec: object) => ({
    apiVersion: "apps/v1",
    kind,
    metadata: { name: app, namespace: "apps" },
    spec: {
      selector: { matchLabels: { app } },
      template: {
        metadata: { labels: { app } },
        spec: { containers: [{ name: "c", image: "one" }] },
      },
      ...spec,
    },
  });

  test("workloads of every kind are made and bound, and a deployment rolls", async () => {
    await client.resourceQuotas.create({
      metadata: { name: "all", namespace: "apps" },
      spec: { hard: { pods: "30" } },
    });
    await client.services.create({
      metadata: { name: "web", namespace: "apps" },
      spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
    });
    await client.dynamic.create(workload("Deployment", "web", { replicas: 3 }));
    await client.dynamic.create(workload("StatefulSet", "db", { replicas: 2, serviceName: "db" }));
    await client.dynamic.create(workload("DaemonSet", "each", {}));
    const containers = [{ name: "c", image: "two" }];
    await client.jobs.create({
      metadata: { name: "once", namespace: "apps" },
      spec: { template: { spec: { containers, restartPolicy: "Never" } } },
    });
    const patch = { spec: { template: { spec: { containers } } } };
    await client.deployments.patch("web", "apps", "strategic", patch);
    await shows("the rolled deployment", async () => {
      const { status, metadata } = await client.deployments.get("web", "apps");
      const { updatedReplicas, availableReplicas, replicas, observedGeneration } = status ?? {};
      if (observedGeneration !== metadata?.generation) return false;
      return [updatedReplicas, availableReplicas, replicas].every((count) => count === 3);
    });
    await shows("the stateful set", async () => {
      return (await client.statefulSets.get("db", "apps")).status?.readyReplicas === 2;
    });
    await shows("the daemon set", async () => {
      return (await client.daemonSets.get("each", "apps")).status?.numberReady === 2;
    });
    await shows("the job", async () => {
      return (await client.jobs.get("once", "apps")).status?.succeeded === 1;
    });
    await shows("the quota", async () => {
      return (await client.resourceQuotas.get("all", "apps")).status?.used?.["pods"] === "7";
    });
    await shows("the events", async () => {
      const { items } = await client.events.list({ namespace: "apps" });
      return items.some(({ reason }) => reason === "Scheduled");
    });
  });

  test("an evicted pod is replaced, dependents and whole namespaces are collected", async () => {
    const webPods = async () =>
      (await pods()).filter(({ metadata }) => metadata?.labels?.["app"] === "web");
    const evicted = (await webPods())[0]?.metadata;
    await client.evict({ namespace: "apps", name: evicted?.name ?? "" });
    await shows("another pod", async () => {
      const left = await webPods();
      return left.length === 3 && left.every(({ metadata }) => metadata?.uid !== evicted?.uid);
    });
    await client.deployments.delete("web", "apps");
    await shows("the replica sets to be collected", async () => {
      return (await client.replicaSets.list({ namespace: "apps" })).items.length === 0;
    });
    await client.namespaces.delete("apps");
    await shows("the namespace to be gone", () =>
      client.namespaces.get("apps").then(
        () => false,
        (error: unknown) => isNotFound(error),
      ),
    );
  });

  test("neither had anything to complain about", () => {
    const left = troubles().filter(({ fields }) => {
      return !excused.some(({ words }) => words.test(String(fields["error"])));
    });
    assert.deepEqual(left, []);
  });
});
