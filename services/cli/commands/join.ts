/** `trireme join`: makes this machine a node of a cluster, and stays as its supervisor. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join as joinPath } from "node:path";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { nameProcess } from "../../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { bootstrapNode } from "../../kubelet/mod.ts";
import { isOurs, type Lock, readJson, writeJson } from "../endpoints.ts";
import { discover } from "../join/discovery.ts";
import { type JoinedNode, joinedPaths, Machine } from "../join/machine.ts";
import { print } from "../output.ts";

export interface JoinFlags {
  readonly dataDir: string;
  readonly token?: string;
  readonly discoveryTokenCaCertHash: readonly string[];
  readonly discoveryTokenUnsafeSkipCaVerification?: boolean;
  readonly nodeName?: string;
  readonly nodeIp?: string;
  readonly kubeletPort: number;
  readonly peerPort: number;
}

const readyMillisMax = 90_000;
const lookMillis = 250;
const nameForm = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Stays until a signal. Without a server it starts a machine again that has joined before. */
export async function join(server: string | undefined, flags: JoinFlags): Promise<void> {
  const paths = joinedPaths(flags.dataDir);
  const lockFile = joinPath(flags.dataDir, "supervisor.json");
  const lock = readJson<Lock>(lockFile);
  if (isOurs(lock?.pid)) {
    throw failed(`a machine runs in ${flags.dataDir} already (supervisor ${lock?.pid})`);
  }
  const log = createLog({ component: "join" }, { level: "warn" });
  const before = readJson<JoinedNode>(paths.state);
  const node = await nodeOf(server, flags, before, log);
  nameProcess("join");
  writeJson(lockFile, { pid: process.pid } satisfies Lock);
  const machine = await Machine.open(node, flags.dataDir, readFileSync(paths.ca, "utf8"), log);
  const stopped = stopSignal();
  const starting = machine.start();
  const over = await Promise.race([stopped.then(() => true), ready(machine, node, paths.logs)]);
  if (over !== true) {
    print(`node "${node.nodeName}" has joined the cluster and is ready`);
    await stopped;
  }
  print("stopping…");
  await machine.stop();
  await starting;
  rmSync(lockFile, { force: true });
  print(`stopped; \`trireme join --data-dir ${flags.dataDir}\` starts the node again`);
}

async function nodeOf(
  server: string | undefined,
  flags: JoinFlags,
  before: JoinedNode | undefined,
  log: Log,
): Promise<JoinedNode> {
  const { dataDir } = flags;
  if (server === undefined) {
    if (before !== undefined) return before;
    throw invalid(`HOST:PORT of the API is needed: no machine of ${dataDir} has joined before`);
  }
  if (before !== undefined) {
    throw failed(
      `node "${before.nodeName}" of ${dataDir} has joined already: \`trireme join --data-dir ` +
        `${dataDir}\` starts it again; use another --data-dir for another node`,
    );
  }
  const { token } = flags;
  if (token === undefined) throw invalid("--token is needed: `trireme token create` makes one");
  const nodeName = flags.nodeName ?? hostname().toLowerCase();
  if (!nameForm.test(nodeName)) {
    throw invalid(`--node-name ${nodeName}: must be lower case letters, digits, - and .`);
  }
  const { ca, grpcEndpoints, localAddress } = await discover({
    ...{ server, token },
    caHashes: flags.discoveryTokenCaCertHash,
    skipCaVerification: flags.discoveryTokenUnsafeSkipCaVerification === true,
  });
  const paths = joinedPaths(dataDir);
  mkdirSync(paths.pki, { recursive: true, mode: 0o700 });
  writeFileSync(paths.ca, ca);
  const directory = paths.pki;
  await bootstrapNode({ servers: grpcEndpoints, ca, token, nodeName, directory, log });
  const { kubeletPort, peerPort, nodeIp: nodeIP = localAddress } = flags;
  const node: JoinedNode = { nodeName, nodeIP, kubeletPort, peerPort, grpcEndpoints };
  writeJson(paths.state, node);
  return node;
}

/** Rejects when the node is not ready in time, with the end of its kubelet's log. */
async function ready(machine: Machine, { nodeName }: JoinedNode, logs: string): Promise<void> {
  const deadline = performance.now() + readyMillisMax;
  let last = "";
  while (performance.now() < deadline) {
    try {
      const { status } = await machine.client.nodes.get(nodeName);
      const condition = status?.conditions?.find(({ type }) => type === "Ready");
      if (condition?.status === "True") return;
      last = condition?.message ?? "its kubelet has not said anything yet";
    } catch (error) {
      last = StatusError.from(error).message;
    }
    await new Promise((resolve) => setTimeout(resolve, lookMillis));
  }
  const file = joinPath(logs, "kubelet.log");
  const tail = readFileSync(file, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  await machine.stop();
  const text = `node "${nodeName}" is not ready after ${readyMillisMax / 1000} s: ${last}; the end of ${file}:\n${tail}`;
  throw new StatusError(Code.unavailable, text);
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => resolve());
  });
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

function failed(text: string): StatusError {
  return new StatusError(Code.failedPrecondition, text);
}
