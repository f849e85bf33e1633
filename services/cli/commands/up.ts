/** `trireme up`: starts a local cluster, supervises it, and shows it. */
import { spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { adminTls } from "../connect.ts";
import { ensureCredentials } from "../credentials.ts";
import { type Endpoints, isOurs, readJson, writeJson } from "../endpoints.ts";
import { type ClusterShape, checkShape, directories, host, memberNames, ports } from "../layout.ts";
import { LocalCluster } from "../local-cluster.ts";
import { print } from "../output.ts";
import { createView } from "../view.ts";
import { type ClusterView, watchCluster } from "../watch-cluster.ts";

export interface UpFlags {
  readonly dataDir: string;
  readonly basePort?: number;
  readonly masters?: number;
  readonly nodes?: number;
  readonly detach?: boolean;
  readonly nodeReturnSeconds: number;
}

interface Lock {
  readonly pid: number;
}

const readyMillisMax = 60_000;

export async function up(flags: UpFlags): Promise<void> {
  const shape = shapeOf(flags);
  const paths = directories(shape.dataDirectory);
  makeDataDirectory(shape.dataDirectory, paths.logs);
  const lock = readJson<Lock>(paths.lock);
  if (isOurs(lock?.pid)) {
    throw new StatusError(
      Code.failedPrecondition,
      `a cluster is already running in ${shape.dataDirectory} (supervisor ${lock?.pid}); ` +
        "`trireme status` shows it, `trireme down` stops it",
    );
  }
  await endLeftovers(paths.endpoints);
  await assertPortsFree(shape);
  rmSync(paths.endpoints, { force: true });
  if (flags.detach) return await detach(shape, flags, paths);
  await supervise(shape, flags, paths);
}

/** Flags win; otherwise a cluster keeps the shape it was first started with. */
function shapeOf(flags: UpFlags): ClusterShape {
  const dataDirectory = flags.dataDir;
  const kept = readJson<Omit<ClusterShape, "dataDirectory">>(directories(dataDirectory).shape);
  const shape: ClusterShape = {
    dataDirectory,
    basePort: flags.basePort ?? kept?.basePort ?? 7443,
    masters: flags.masters ?? kept?.masters ?? 3,
    nodes: flags.nodes ?? kept?.nodes ?? 3,
  };
  checkShape(shape);
  if (kept && kept.masters !== shape.masters) {
    throw new StatusError(
      Code.failedPrecondition,
      `--masters ${shape.masters}: the cluster in ${dataDirectory} was founded with ` +
        `${kept.masters}; use another --data-dir for a new cluster`,
    );
  }
  return shape;
}

function makeDataDirectory(dataDirectory: string, logs: string): void {
  try {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    mkdirSync(logs, { recursive: true });
  } catch (error) {
    const what = `cannot make the data directory ${dataDirectory}`;
    throw new StatusError(Code.failedPrecondition, `${what}: ${(error as Error).message}`);
  }
}

/** Processes of a supervisor that was killed: they end by themselves, unless they hang. */
async function endLeftovers(file: string): Promise<void> {
  const before = readJson<Endpoints>(file);
  if (!before) return;
  const pids = [
    ...before.masters.map(({ pid }) => pid),
    ...before.schedulers.map(({ pid }) => pid),
    ...before.controllerManagers.map(({ pid }) => pid),
    ...before.nodes.flatMap(({ pid, kubeProxyPid }) => [pid, kubeProxyPid]),
    before.balancer.pid,
  ].filter((pid): pid is number => isOurs(pid));
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (const pid of pids) if (isOurs(pid)) process.kill(pid, signal);
    const deadline = Date.now() + 5_000;
    while (pids.some(isOurs) && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function assertPortsFree(shape: ClusterShape): Promise<void> {
  for (const port of ports(shape).all()) {
    await new Promise<void>((resolve, reject) => {
      const server = createServer();
      server.once("error", (error: NodeJS.ErrnoException) => {
        const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be used (${error.message})`;
        const text = `port ${port} on ${host} ${why}; choose other ports with --base-port`;
        reject(new StatusError(Code.failedPrecondition, text));
      });
      server.listen({ port, host, exclusive: true }, () => server.close(() => resolve()));
    });
  }
}

type Paths = ReturnType<typeof directories>;

/** Starts the same command in the background and waits until it says that all is up. */
async function detach(shape: ClusterShape, flags: UpFlags, paths: Paths): Promise<void> {
  const logFile = `${paths.logs}/supervisor.log`;
  const output = openSync(logFile, "a");
  const args = [
    ...["up", "--data-dir", shape.dataDirectory, "--base-port", String(shape.basePort)],
    ...["--masters", String(shape.masters), "--nodes", String(shape.nodes)],
    ...["--node-return-seconds", String(flags.nodeReturnSeconds)],
  ];
  const child = spawn(process.execPath, [join(dirname(import.meta.dirname), "main.ts"), ...args], {
    detached: true,
    stdio: ["ignore", output, output],
  });
  let exited: string | undefined;
  child.once("exit", (code, signal) => {
    exited = signal ?? `code ${code}`;
  });
  const deadline = Date.now() + readyMillisMax;
  for (;;) {
    const endpoints = readJson<Endpoints>(paths.endpoints);
    if (endpoints?.ready) {
      child.unref();
      printEndpoints(endpoints, paths.endpoints);
      return;
    }
    if (exited !== undefined || Date.now() > deadline) {
      const tail = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-5).join("\n");
      const what = exited === undefined ? `not ready after ${readyMillisMax / 1000} s` : `ended (${exited})`;
      throw new StatusError(Code.unavailable, `the cluster is ${what}; the end of ${logFile}:\n${tail}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function supervise(shape: ClusterShape, flags: UpFlags, paths: Paths): Promise<void> {
  writeJson(paths.lock, { pid: process.pid } satisfies Lock);
  const { dataDirectory, ...kept } = shape;
  writeJson(paths.shape, kept);
  const credentials = await ensureCredentials(paths.pki, {
    masters: memberNames("master", shape.masters),
    nodes: memberNames("node", shape.nodes),
    hosts: [host, "localhost"],
  });
  const interactive = process.stdout.isTTY === true;
  const log = createLog({ component: "supervisor" }, { level: interactive ? "error" : "warn" });
  const view = createView(process.stdout, `trireme · ${dataDirectory}`);
  const write = () => writeJson(paths.endpoints, cluster.endpoints());
  const cluster: LocalCluster = new LocalCluster({
    shape,
    credentials,
    log,
    nodeReturnMillis: flags.nodeReturnSeconds * 1000,
    changed: () => write(),
  });
  const watching = new AbortController();
  const stopped = stopSignal();
  const startedAt = performance.now();
  cluster.start();
  const endpoints = cluster.endpoints();
  const changed = (now: ClusterView) => {
    const leaderChanged = now.leader !== cluster.leader;
    cluster.leader = now.leader;
    const becameReady = !cluster.ready && isReady(now, shape);
    if (becameReady) cluster.ready = true;
    if (leaderChanged || becameReady) write();
    if (becameReady) {
      view.say(`ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
      printEndpoints(cluster.endpoints(), paths.endpoints, (text) => view.say(text));
    }
    view.update(now);
  };
  const { masters, grpc } = endpoints;
  const tls = adminTls(endpoints);
  watchCluster({ balancer: grpc, masters, tls, log, signal: watching.signal, changed });
  await stopped;
  view.close();
  print("stopping…");
  watching.abort();
  await cluster.stop();
  rmSync(paths.endpoints, { force: true });
  rmSync(paths.lock, { force: true });
  print("stopped; the state is kept in " + dataDirectory);
}

/** All masters serve, somebody leads, and every node is ready. */
function isReady(view: ClusterView, shape: ClusterShape): boolean {
  const serving = [...view.masters.values()].filter((status) => status?.ready).length;
  return serving === shape.masters && view.leader !== undefined && view.nodes.ready >= shape.nodes;
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
  });
}

function printEndpoints(endpoints: Endpoints, file: string, say = print): void {
  say(`  gRPC (TLS)     ${endpoints.grpc}`);
  say(`  CA             ${endpoints.ca}`);
  say(`  client cert    ${endpoints.clientCert}`);
  say(`  client key     ${endpoints.clientKey}`);
  say(`  everything     ${file}`);
}
