/** The foreground of `trireme up`: makes credentials, starts the processes, shows them, stops them. */
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLog } from "../../ha/runtime/production/log.ts";
import { nameProcess } from "../../ha/runtime/production/process.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Bridge } from "../bridge/mod.ts";
import { createProcessRuntime } from "../kubelet/mod.ts";
import { bridgeFacts } from "./bridge-facts.ts";
import { adminTls } from "./connect.ts";
import { ensureCredentials } from "./credentials.ts";
import { type Endpoints, type Lock, writeJson } from "./endpoints.ts";
import { type CallTroubles, Journal } from "./journal.ts";
import { kubeconfigText, pem, restAddresses, writeKubeconfig } from "./kubeconfig.ts";
import {
  addressRanges,
  type ClusterShape,
  directories,
  host,
  memberNames,
  ports,
} from "./layout.ts";
import { LocalCluster } from "./local-cluster.ts";
import { print, printEndpoints } from "./output.ts";
import { createView } from "./view.ts";
import { type ClusterObjects, type ClusterView, watchCluster } from "./watch-cluster.ts";

/** Containers get as long to end as when their kubelet stops. */
const containerStopMillis = 3_000;

interface SuperviseOptions {
  /** How long a killed node stays away. */
  readonly nodeReturnMillis: number;
  readonly enableFaults: boolean;
  readonly traceArgs: readonly string[];
  /** The live page is served. */
  readonly bridge: boolean;
}

/** Stays until a signal. */
export async function supervise(
  shape: ClusterShape,
  { nodeReturnMillis, enableFaults, traceArgs, bridge: withBridge }: SuperviseOptions,
): Promise<void> {
  nameProcess("supervisor");
  const paths = directories(shape.dataDirectory);
  writeJson(paths.lock, { pid: process.pid } satisfies Lock);
  const { dataDirectory, ...kept } = shape;
  writeJson(paths.shape, kept);
  const credentials = await ensureCredentials(paths.pki, {
    masters: memberNames("master", shape.masters),
    nodes: memberNames("node", shape.nodes),
    hosts: [host, "localhost"],
    serviceRange: addressRanges(shape).services,
  });
  const { admin, ca } = credentials;
  const pair = { cert: pem(admin.cert), key: pem(admin.key) };
  const servers = restAddresses(shape).map((each) => `https://${each}`);
  const text = kubeconfigText({ servers, ca: pem(ca), user: "kubernetes-admin", pair });
  writeKubeconfig(paths.kubeconfig, text);
  const interactive = process.stdout.isTTY === true;
  const log = createLog({ component: "supervisor" }, { level: interactive ? "error" : "warn" });
  const view = createView(process.stdout, `trireme · ${dataDirectory}`);
  const write = () => writeJson(paths.endpoints, cluster.endpoints());
  const journal = new Journal(paths.journal, (error) =>
    log.error("the journal cannot be written", { file: paths.journal, error: error.message }),
  );
  journal.add({ kind: "up" });
  const cluster: LocalCluster = new LocalCluster({
    shape,
    credentials,
    log,
    nodeReturnMillis,
    enableFaults,
    traceArgs,
    changed: () => write(),
    started: (name) => journal.add({ kind: "start", name }),
    ended: (name, how) => {
      journal.add({ kind: "exit", name, how });
      bridge?.ended(name, how);
    },
    heard: (name, message) => {
      const { attempts = {}, calls } = (message ?? {}) as BalancerReport;
      journal.calls(name, calls);
      bridge?.traffic(name, attempts);
    },
    // The kubelet comes back later, as a machine that was switched on again.
    lostNode: (name) => {
      stopContainers(paths.node(name), 0, log).catch((error: unknown) =>
        log.error("the processes of a lost node could not be ended", { node: name, error }),
      );
    },
  });
  const watching = new AbortController();
  const stopped = stopSignal();
  const startedAt = performance.now();
  const endpoints = cluster.endpoints();
  const bridge = withBridge ? await openBridge(shape, endpoints) : undefined;
  cluster.start();
  const changed = (now: ClusterView, objects: ClusterObjects) => {
    bridge?.update(bridgeFacts(now, objects));
    const leaderChanged = now.leader !== cluster.leader;
    cluster.leader = now.leader;
    const serving = servingOf(now);
    cluster.settle(servingMasters(now));
    const { masters: mastersBefore, nodes: nodesBefore } = cluster.serving;
    const servingChanged = serving.masters !== mastersBefore || serving.nodes !== nodesBefore;
    cluster.serving = serving;
    if (now.leader !== undefined) cluster.startRest();
    const becameReady = !cluster.ready && isReady(now, shape);
    if (becameReady) {
      cluster.startStandbys();
      cluster.ready = true;
    }
    if (leaderChanged || servingChanged || becameReady) write();
    if (becameReady) {
      view.say(`ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
      printEndpoints(cluster.endpoints(), paths.endpoints, (text) => view.say(text));
    }
    view.update(now);
  };
  const { masters, grpcEndpoints: balancers } = endpoints;
  const tls = adminTls(endpoints);
  const podsNamed = bridge?.podsMax ?? 0;
  watchCluster({ balancers, masters, tls, log, signal: watching.signal, podsNamed, changed });
  await stopped;
  view.close();
  print("stopping…");
  journal.add({ kind: "down" });
  watching.abort();
  await bridge?.close();
  await cluster.stop();
  for (const name of memberNames("node", shape.nodes)) {
    await stopContainers(paths.node(name), containerStopMillis, log);
  }
  rmSync(paths.endpoints, { force: true });
  rmSync(paths.bridge, { force: true });
  rmSync(paths.lock, { force: true });
  print(`stopped; the state is kept in ${dataDirectory}`);
}

/** Its URL, which holds the token, stands in a file that its owner alone can read. */
async function openBridge(shape: ClusterShape, endpoints: Endpoints): Promise<Bridge> {
  const { startBridge } = await import("../bridge/mod.ts");
  const { bridge: file, reports } = directories(shape.dataDirectory);
  const bridge = await startBridge({
    port: ports(shape).bridge,
    ...{ dataDirectory: resolve(shape.dataDirectory), reports: resolve(reports) },
    ...{ balancers: endpoints.grpcEndpoints, tls: adminTls(endpoints) },
  });
  writeJson(file, { url: bridge.url }, 0o600);
  return bridge;
}

/** What a balancer tells its supervisor. */
interface BalancerReport {
  readonly attempts?: Readonly<Record<string, number>>;
  readonly calls?: CallTroubles;
}

/** Ends what a killed kubelet left running; one that stopped in order has left nothing. */
async function stopContainers(nodeDirectory: string, graceMillis: number, log: Log): Promise<void> {
  const runtime = createProcessRuntime({ root: join(nodeDirectory, "runtime"), log });
  await runtime.load();
  const running = runtime.containers().filter(({ state }) => state === "running");
  await Promise.all(running.map(({ id }) => runtime.stopContainer(id, graceMillis)));
  await runtime.close();
}

/** All masters serve, one of them leads, and every node is ready. */
function isReady(view: ClusterView, shape: ClusterShape): boolean {
  const { masters, nodes } = servingOf(view);
  return (
    masters === shape.masters &&
    view.leader !== undefined &&
    nodes >= shape.nodes + (shape.hollow ?? 0)
  );
}

function servingOf(view: ClusterView): Endpoints["serving"] {
  return { masters: servingMasters(view).size, nodes: view.nodes.ready };
}

function servingMasters({ masters }: ClusterView): ReadonlySet<string> {
  return new Set([...masters].flatMap(([name, status]) => (status?.ready ? [name] : [])));
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => resolve());
  });
}
