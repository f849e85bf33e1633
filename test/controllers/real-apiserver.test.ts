/** Scheduler and controllers, elected, against a whole apiserver over TLS with its authorization. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Running } from "../../ha/runtime/production/process.ts";
import { parseFlags } from "../../ha/runtime/production/process.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import {
  type Apiserver,
  type Authority,
  createAuthority,
  startApiserver,
} from "../../services/apiserver/mod.ts";
import { connectClient, isNotFound, type TriremeClient } from "../../services/client/mod.ts";
import { program as controllerManager } from "../../services/controllers/mod.ts";
import { program as scheduler } from "../../services/scheduler/mod.ts";
import { quietLog } from "../client/quiet-log.ts";
import { eventually } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { deployment } from "./harness.ts";

let directory: string;
let authority: Authority;
let store: Store;
let server: Apiserver;
let admin: TriremeClient;
const running: Running[] = [];

/** Flags of a component with a certificate of its own. */
async function flagsOf(commonName: string): Promise<string[]> {
  const pair = await authority.issue({ commonName, organizations: [], use: "client" });
  const path = (suffix: string) => join(directory, `${commonName.replaceAll(":", "-")}.${suffix}`);
  await writeFile(path("crt"), pair.cert);
  await writeFile(path("key"), pair.key);
  await writeFile(join(directory, "authority.crt"), authority.cert);
  return [
    `--server=127.0.0.1:${server.port}`,
    `--certificate-authority=${join(directory, "authority.crt")}`,
    `--client-certificate=${path("crt")}`,
    `--client-key=${path("key")}`,
  ];
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-controllers-"));
  authority = await createAuthority(directory);
  const tls = await authority.issue({ commonName: "m", hosts: ["127.0.0.1"], use: "server" });
  store = await openLocalStore(memoryRuntime());
  server = await startApiserver({
    name: "master-0",
    store,
    listen: { host: "127.0.0.1", port: 0 },
    tls: { ...tls, clientCa: authority.cert },
    log: quietLog,
  });
  const pair = await authority.issue({
    commonName: "admin",
    organizations: ["system:masters"],
    use: "client",
  });
  admin = connectClient({
    servers: [`127.0.0.1:${server.port}`],
    tls: { ca: authority.cert, ...pair },
    log: quietLog,
  });
  const manager = await flagsOf("system:kube-controller-manager");
  const scheduling = await flagsOf("system:kube-scheduler");
  const start = async () => {
    running.push(
      await controllerManager.start(parseFlags(controllerManager.flags, manager), quietLog),
      await scheduler.start(parseFlags(scheduler.flags, scheduling), quietLog),
    );
  };
  await start();
  await eventually("leaders, before there are standbys", async () => {
    const { items } = await admin.leases.list({ namespace: "kube-system" });
    return items.filter(({ spec }) => spec?.holderIdentity).length === 2;
  });
  await start();
});

after(async () => {
  await Promise.all(running.map((each) => each.stop()));
  admin.close();
  await server.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

test("a deployment's pods are made, spread over the nodes and collected with it", async () => {
  for (const name of ["n1", "n2", "n3"]) {
    const node = await admin.nodes.create({ metadata: { name } });
    const status = {
      allocatable: { cpu: "2", memory: "4Gi", pods: "110" },
      conditions: [{ type: "Ready", status: "True" }],
    };
    await eventually("a range of pod addresses", async () => {
      const current = await admin.nodes.get(node.metadata?.name ?? "");
      return current.spec?.podCIDR !== undefined;
    });
    await admin.nodes.updateStatus({ ...(await admin.nodes.get(name)), status });
  }
  await eventually("nodes without taints", async () =>
    (await admin.nodes.list()).items.every(({ spec }) => !spec?.taints?.length),
  );
  await admin.services.create({
    metadata: { name: "web", namespace: "default" },
    spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
  });
  await admin.deployments.create(deployment(3));
  const pods = async () => (await admin.pods.list({ namespace: "default" })).items;
  await eventually(
    "three bound pods",
    async () => (await pods()).filter(({ spec }) => spec?.nodeName).length === 3,
  );
  const nodes = (await pods()).map(({ spec }) => spec?.nodeName).sort();
  assert.deepEqual(nodes, ["n1", "n2", "n3"]);
  const { items: leases } = await admin.leases.list({ namespace: "kube-system" });
  assert.deepEqual(leases.map(({ metadata }) => metadata?.name).sort(), [
    "kube-controller-manager",
    "kube-scheduler",
  ]);
  await admin.pods.create({
    metadata: { name: "big", namespace: "default" },
    spec: { containers: [{ name: "c", image: "x", resources: { requests: { cpu: "9" } } }] },
  });
  await eventually("the explanation", async () => {
    const big = await admin.pods.get("big", "default");
    const condition = big.status?.conditions?.find(({ type }) => type === "PodScheduled");
    const text =
      "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 " +
      "Preemption is not helpful for scheduling.";
    return condition?.message === text;
  });
  await admin.deployments.delete("web", "default");
  await eventually("everything is collected", async () => {
    const { items } = await admin.replicaSets.list({ namespace: "default" });
    const ending = (await pods()).every(
      ({ metadata }) => metadata?.name === "big" || metadata?.deletionTimestamp,
    );
    return items.length === 0 && ending;
  });
});

test("when the leaders stop in order the standbys go on", async () => {
  const holders = async () => {
    const { items } = await admin.leases.list({ namespace: "kube-system" });
    return items.map(({ spec }) => spec?.holderIdentity ?? "");
  };
  const before = await holders();
  await Promise.all(running.splice(0, 2).map((each) => each.stop()));
  await eventually("new leaders", async () => {
    const now = await holders();
    return now.every((holder, index) => holder !== "" && holder !== before[index]);
  });
  await admin.deployments.create({
    ...deployment(1),
    metadata: { name: "again", namespace: "default" },
  });
  await eventually("a pod made and bound by the new leaders", async () => {
    const { items } = await admin.pods.list({ namespace: "default" });
    return items.some(
      ({ metadata, spec }) => metadata?.name?.startsWith("again-") && spec?.nodeName,
    );
  });
});

test("a deleted namespace is emptied and goes", async () => {
  await admin.namespaces.create({ metadata: { name: "short" } });
  await admin.configMaps.create({ metadata: { name: "c", namespace: "short" } });
  await admin.namespaces.delete("short");
  await eventually("the namespace is gone", async () => {
    try {
      await admin.namespaces.get("short");
      return false;
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  });
});
