/** `trireme up`: starts a local cluster, supervises it, and shows it. */
import { spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { tracingOf } from "../../../ha/runtime/production/otlp.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { parseImageMap } from "../../kubelet/runtime/image-map.ts";
import { bundleVariable, withoutBundle } from "../bundle/place.ts";
import { type Endpoints, isOurs, type Lock, readJson } from "../endpoints.ts";
import {
  type ClusterShape,
  checkShape,
  defaultBasePort,
  directories,
  host,
  parseNodeCapacity,
  ports,
} from "../layout.ts";
import { print, printEndpoints } from "../output.ts";

export interface UpFlags {
  readonly dataDir: string;
  readonly basePort?: number;
  readonly masters?: number;
  readonly nodes?: number;
  readonly hollow?: number;
  readonly hollowStages?: string;
  readonly nodeCapacity?: string;
  readonly imageRoot?: string;
  readonly imageMap: readonly string[];
  readonly auditPolicyFile?: string;
  readonly encryptionProviderConfig?: string;
  readonly detach?: boolean;
  readonly enableFaults?: boolean;
  readonly bridge: boolean;
  readonly ingress?: boolean;
  readonly otlpEndpoint?: string;
  readonly traceSample?: string;
  readonly nodeReturnSeconds: number;
}

/** Under load a start takes long; it is given up when nothing advances, or at the latest then. */
const standstillMillisMax = 90_000;
const readyMillisMax = 180_000;
/** … and longer by this for each hollow node, which takes a few writes. */
const hollowNodeMillis = 100;

export async function up(flags: UpFlags): Promise<void> {
  const shape = shapeOf(flags);
  checkTracing(flags);
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
  await assertPortsFree(shape, flags.bridge);
  rmSync(paths.endpoints, { force: true });
  await chooseBundle();
  if (flags.detach) return await detach(shape, flags, paths);
  const { supervise } = await import("../supervise.ts");
  await supervise(shape, {
    nodeReturnMillis: flags.nodeReturnSeconds * 1000,
    enableFaults: flags.enableFaults ?? false,
    bridge: flags.bridge,
    traceArgs: traceArgs(flags),
  });
}

/** All processes of the cluster run the bundle of the present sources, or those themselves. */
async function chooseBundle(): Promise<void> {
  if (process.env[bundleVariable] !== undefined) return;
  try {
    const { makeBundle } = await import("../bundle/make.ts");
    process.env[bundleVariable] = await makeBundle();
  } catch (error) {
    process.env[bundleVariable] = withoutBundle;
    const why = `no bundle of the programs can be made: ${(error as Error).message}`;
    process.stderr.write(`trireme: ${why}; they start from their sources, which takes longer\n`);
  }
}

/** Flags win; otherwise a cluster keeps the shape it was first started with. */
function shapeOf(flags: UpFlags): ClusterShape {
  const dataDirectory = flags.dataDir;
  const kept = readJson<Omit<ClusterShape, "dataDirectory">>(directories(dataDirectory).shape);
  const nodes = flags.nodes ?? kept?.nodes ?? 3;
  const shape: ClusterShape = {
    dataDirectory,
    basePort: flags.basePort ?? kept?.basePort ?? defaultBasePort,
    masters: flags.masters ?? kept?.masters ?? 3,
    nodes,
    hollow: flags.hollow ?? kept?.hollow ?? 0,
    ingress: flags.ingress ?? kept?.ingress ?? false,
    hollowStages: fileOf(flags.hollowStages, kept?.hollowStages),
    nodeCapacity:
      flags.nodeCapacity === undefined ? kept?.nodeCapacity : parseNodeCapacity(flags.nodeCapacity),
    imageRoot: fileOf(flags.imageRoot, kept?.imageRoot),
    imageMap: flags.imageMap.length > 0 ? flags.imageMap : kept?.imageMap,
    auditPolicyFile: fileOf(flags.auditPolicyFile, kept?.auditPolicyFile),
    encryptionConfigFile: fileOf(flags.encryptionProviderConfig, kept?.encryptionConfigFile),
  };
  checkShape(shape);
  parseImageMap(shape.imageMap ?? []);
  if (kept && kept.basePort !== shape.basePort) {
    throw new StatusError(
      Code.failedPrecondition,
      `--base-port ${shape.basePort}: the cluster in ${dataDirectory} was made with ` +
        `${kept.basePort}, and its members know each other by their ports; leave the flag away, ` +
        "or use another --data-dir for a new cluster",
    );
  }
  if (kept && kept.masters !== shape.masters) {
    throw new StatusError(
      Code.failedPrecondition,
      `--masters ${shape.masters}: the cluster in ${dataDirectory} was founded with ` +
        `${kept.masters}; use another --data-dir for a new cluster`,
    );
  }
  return shape;
}

/** Throws a StatusError that names the flag. */
function checkTracing({ otlpEndpoint, traceSample }: UpFlags): void {
  const sample = traceSample === undefined ? 0 : Number(traceSample);
  tracingOf({ "otlp-endpoint": otlpEndpoint, "trace-sample": sample }, "up", createLog());
}

/** As every component takes them. */
function traceArgs({ otlpEndpoint, traceSample }: UpFlags): string[] {
  return [
    ...(otlpEndpoint === undefined ? [] : ["--otlp-endpoint", otlpEndpoint]),
    ...(traceSample === undefined ? [] : ["--trace-sample", traceSample]),
  ];
}

/** An absolute path; the one that was given before unless there is another, or none. */
function fileOf(given: string | undefined, kept: string | undefined): string | undefined {
  if (given === undefined) return kept;
  return given === "" ? undefined : resolve(given);
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
    before.hollow?.pid,
    before.ingress?.pid,
    // A file of an earlier version has one balancer, under another name; it ends with its supervisor.
    ...(before.balancers ?? []).map(({ pid }) => pid),
  ].filter((pid): pid is number => isOurs(pid));
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (const pid of pids) if (isOurs(pid)) process.kill(pid, signal);
    const deadline = Date.now() + 5_000;
    while (pids.some(isOurs) && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Processes that were killed a moment ago hold their ports until the system has buried them. */
const portsFreeMillisMax = 3_000;

async function assertPortsFree(shape: ClusterShape, withBridge: boolean): Promise<void> {
  const deadline = Date.now() + portsFreeMillisMax;
  const { all, bridge } = ports(shape);
  for (const port of all()) {
    if (port === bridge && !withBridge) continue;
    for (;;) {
      const error = await tryPort(port);
      if (error === undefined) break;
      if (error.code === "EADDRINUSE" && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be used (${error.message})`;
      const text = `port ${port} on ${host} ${why}; choose other ports with --base-port`;
      throw new StatusError(Code.failedPrecondition, text);
    }
  }
}

function tryPort(port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

type Paths = ReturnType<typeof directories>;

/** Starts the same command in the background and waits until it says that all is up. */
async function detach(shape: ClusterShape, flags: UpFlags, paths: Paths): Promise<void> {
  const logFile = `${paths.logs}/supervisor.log`;
  const output = openSync(logFile, "a");
  const args = [
    ...["up", "--data-dir", shape.dataDirectory, "--base-port", String(shape.basePort)],
    ...["--masters", String(shape.masters), "--nodes", String(shape.nodes)],
    ...["--hollow", String(shape.hollow ?? 0), "--hollow-stages", shape.hollowStages ?? ""],
    ...["--node-return-seconds", String(flags.nodeReturnSeconds)],
    ...["--bridge", String(flags.bridge), "--ingress", String(shape.ingress ?? false)],
    ...(flags.enableFaults ? ["--enable-faults"] : []),
    ...traceArgs(flags),
    ...(flags.nodeCapacity === undefined ? [] : ["--node-capacity", flags.nodeCapacity]),
    ...["--image-root", shape.imageRoot ?? ""],
    ...(shape.imageMap ?? []).flatMap((text) => ["--image-map", text]),
    ...["--audit-policy-file", shape.auditPolicyFile ?? ""],
    ...["--encryption-provider-config", shape.encryptionConfigFile ?? ""],
  ];
  const child = spawn(process.execPath, [join(dirname(import.meta.dirname), "main.ts"), ...args], {
    detached: true,
    stdio: ["ignore", output, output],
  });
  let exited: string | undefined;
  child.once("exit", (code, signal) => {
    exited = signal ?? `code ${code}`;
  });
  const began = performance.now();
  const patience = new Patience(began, (shape.hollow ?? 0) * hollowNodeMillis);
  for (;;) {
    const endpoints = readJson<Endpoints>(paths.endpoints);
    if (endpoints?.ready) {
      child.unref();
      print(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
      printEndpoints(endpoints, paths.endpoints);
      return;
    }
    const tired = patience.lost(performance.now(), endpoints);
    if (exited !== undefined || tired !== undefined) {
      const tail = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-5).join("\n");
      const what = exited === undefined ? tired : `ended (${exited})`;
      throw new StatusError(
        Code.unavailable,
        `the cluster is ${what}; the end of ${logFile}:\n${tail}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** How long a start is waited for: as long as more of the cluster comes up, within a limit. */
export class Patience {
  readonly #began: number;
  #advanced: number;
  #steps = 0;

  readonly #millisMax: number;

  /** Times are in ms, of one clock; `more` is granted beside the usual time. */
  constructor(began: number, more = 0) {
    this.#began = began;
    this.#millisMax = readyMillisMax + more;
    this.#advanced = began;
  }

  /** Why there is nothing more to wait for; undefined while there is. */
  lost(now: number, endpoints: Endpoints | undefined): string | undefined {
    const steps = endpoints === undefined ? 0 : stepsOf(endpoints);
    // A process that ends and starts over and over is no advance.
    if (steps > this.#steps) {
      this.#steps = steps;
      this.#advanced = now;
    }
    const waited = now - this.#began;
    const stood = now - this.#advanced;
    if (waited <= this.#millisMax && stood <= standstillMillisMax) return undefined;
    const seconds = (millis: number) => `${Math.round(millis / 1000)} s`;
    const serving = endpoints?.serving ?? { masters: 0, nodes: 0 };
    return (
      `not ready after ${seconds(waited)}, and has not advanced for ${seconds(stood)} ` +
      `(masters that serve: ${serving.masters}, nodes that are ready: ${serving.nodes})`
    );
  }
}

/** How far the start has come. */
function stepsOf({ masters, nodes, balancers, schedulers, ...rest }: Endpoints): number {
  const processes = [...masters, ...nodes, ...balancers, ...schedulers, ...rest.controllerManagers];
  const running = processes.filter(({ pid }) => pid !== undefined).length;
  const led = masters.some(({ leader }) => leader) ? 1 : 0;
  return 1 + running + led + rest.serving.masters + rest.serving.nodes;
}
