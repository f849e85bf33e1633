/** `trireme join`: makes this machine a node or a master of a cluster, and supervises it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join as joinPath } from "node:path";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { nameProcess } from "../../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { connectGrpcJs } from "../../client/grpc-js-wire.ts";
import { isNotFound, readPairFile } from "../../client/mod.ts";
import { bootstrapNode, nodeIPList } from "../../kubelet/mod.ts";
import { isOurs, type Lock, readJson, writeJson } from "../endpoints.ts";
import { type Discovered, discover } from "../join/discovery.ts";
import { type Joined, joinedPaths } from "../join/joined.ts";
import { type JoinedNode, Machine } from "../join/machine.ts";
import { type JoinedMaster, Master, prepareMaster } from "../join/master.ts";
import { downloadSecrets } from "../join/secrets.ts";
import { mayServeDns } from "../layout.ts";
import { print } from "../output.ts";

export interface JoinFlags {
  readonly dataDir: string;
  readonly token?: string;
  readonly discoveryTokenCaCertHash: readonly string[];
  readonly discoveryTokenUnsafeSkipCaVerification?: boolean;
  readonly nodeName?: string;
  readonly nodeIp?: string;
  readonly kubeletPort: number;
  readonly proxyPeerPort: number;
  readonly proxyMode?: string;
  readonly containerRuntimeEndpoint?: string;
  readonly imageRoot?: string;
  readonly controlPlane?: boolean;
  readonly certificateKey?: string;
  readonly grpcPort: number;
  readonly httpsPort: number;
  readonly etcdPort: number;
  readonly storePort: number;
  readonly apiserverArg: readonly string[];
}

type State = JoinedNode | JoinedMaster;

const readyMillisMax = 90_000;
const lookMillis = 250;
const nameForm = /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/;

/** Stays until a signal. Without a server it starts again what has joined before. */
export async function join(server: string | undefined, flags: JoinFlags): Promise<void> {
  const { dataDir } = flags;
  const paths = joinedPaths(dataDir);
  const lockFile = joinPath(dataDir, "supervisor.json");
  const lock = readJson<Lock>(lockFile);
  if (isOurs(lock?.pid)) {
    throw failed(`a machine runs in ${dataDir} already (supervisor ${lock?.pid})`);
  }
  const log = createLog({ component: "join" }, { level: "warn" });
  const state = await stateOf(server, flags, readJson<State>(paths.state), log);
  nameProcess("join");
  writeJson(lockFile, { pid: process.pid } satisfies Lock);
  const ca = readFileSync(paths.ca, "utf8");
  const joined: Joined =
    state.role === "master"
      ? new Master(state, dataDir, ca, log)
      : await Machine.open(state, dataDir, ca, log);
  const stopped = stopSignal();
  const starting = joined.start();
  try {
    const over = await Promise.race([stopped.then(() => true), whenReady(joined)]);
    if (over !== true) {
      print(`${joined.what} has joined the cluster and is ready`);
      await stopped;
    }
    print("stopping…");
  } finally {
    await joined.stop();
    await starting;
    rmSync(lockFile, { force: true });
  }
  print(`stopped; \`trireme join --data-dir ${dataDir}\` starts ${joined.what} again`);
}

async function stateOf(
  server: string | undefined,
  flags: JoinFlags,
  before: State | undefined,
  log: Log,
): Promise<State> {
  const { dataDir } = flags;
  if (server === undefined) {
    if (before !== undefined) return before;
    throw invalid(`HOST:PORT of the API is needed: no machine of ${dataDir} has joined before`);
  }
  if (before !== undefined) {
    const what = before.role === "master" ? `master "${before.name}"` : `node "${before.nodeName}"`;
    throw failed(
      `${what} of ${dataDir} has joined already: \`trireme join --data-dir ${dataDir}\` starts it ` +
        "again; use another --data-dir for another one",
    );
  }
  const { token, controlPlane = false, certificateKey } = flags;
  if (token === undefined) throw invalid("--token is needed: `trireme token create` makes one");
  if (controlPlane !== (certificateKey !== undefined)) {
    throw invalid("--control-plane and --certificate-key are given together or not at all");
  }
  const name = flags.nodeName ?? hostname().toLowerCase();
  if (!nameForm.test(name)) {
    throw invalid(`--node-name ${name}: must be at most 63 lower case letters, digits, - and .`);
  }
  if (flags.controlPlane && (flags.containerRuntimeEndpoint ?? flags.imageRoot) !== undefined) {
    throw invalid(
      "--container-runtime-endpoint and --image-root are of nodes: a master runs no pods",
    );
  }
  const nodeIPs = flags.nodeIp === undefined ? [] : nodeIPList(flags.nodeIp, "--node-ip");
  if (controlPlane && nodeIPs.length > 1) {
    throw invalid(`--node-ip ${flags.nodeIp}: a master has one address`);
  }
  const { proxyMode = "userspace" } = flags;
  if (!proxyModes.includes(proxyMode)) {
    throw invalid(`--proxy-mode ${proxyMode}: must be ${proxyModes.join(", ")}`);
  }
  const found = await discover({
    ...{ server, token },
    caHashes: flags.discoveryTokenCaCertHash,
    skipCaVerification: flags.discoveryTokenUnsafeSkipCaVerification === true,
  });
  const { pki, ca: caFile, state: stateFile } = joinedPaths(dataDir);
  mkdirSync(pki, { recursive: true, mode: 0o700 });
  const { ca } = found;
  let state: State;
  if (certificateKey === undefined) {
    writeFileSync(caFile, ca);
    state = await joinedNode(name, token, found, flags, log);
  } else {
    await downloadSecrets({ server, ca, token, certificateKey, directory: pki });
    const address = flags.nodeIp ?? found.localAddress;
    const plan = { ...flags, name, address, more: flags.apiserverArg };
    state = await prepareMaster(plan, found, dataDir);
  }
  writeJson(stateFile, state);
  return state;
}

const proxyModes = ["userspace", "nftables", "auto"];

async function joinedNode(
  nodeName: string,
  token: string,
  { ca, grpcEndpoints, localAddress }: Discovered,
  flags: JoinFlags,
  log: Log,
): Promise<JoinedNode> {
  const directory = joinedPaths(flags.dataDir).pki;
  await bootstrapNode({ servers: grpcEndpoints, ca, token, nodeName, directory, log });
  const { kubeletPort, proxyPeerPort, nodeIp: nodeIP = localAddress } = flags;
  const clusterDns = await findClusterDns(grpcEndpoints, ca, flags.dataDir, log);
  const { containerRuntimeEndpoint, imageRoot, proxyMode } = flags;
  return {
    ...{ role: "node", nodeName, nodeIP, kubeletPort, proxyPeerPort, grpcEndpoints, clusterDns },
    ...{ containerRuntimeEndpoint, imageRoot, proxyMode },
  };
}

/** Undefined: the cluster has no DNS, or this system keeps its port for privileged programs. */
async function findClusterDns(
  servers: readonly string[],
  ca: string,
  dataDir: string,
  log: Log,
): Promise<string | undefined> {
  if (!mayServeDns()) {
    log.warn("pods get no cluster DNS here: port 53 is for privileged programs on this system");
    return undefined;
  }
  const tls = { ca, ...(await readPairFile(joinedPaths(dataDir).clientPair)) };
  const client = connectGrpcJs({ servers, tls, log, identity: "join", program: "trireme" });
  try {
    const { spec } = await client.services.get("kube-dns", "kube-system");
    return spec?.clusterIP;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  } finally {
    client.close();
  }
}

/** Rejects when it is not ready in time, with the end of its log. */
async function whenReady(joined: Joined): Promise<void> {
  const deadline = performance.now() + readyMillisMax;
  let last: string | undefined;
  while (performance.now() < deadline) {
    try {
      last = await joined.missing();
      if (last === undefined) return;
    } catch (error) {
      last = StatusError.from(error).message;
    }
    await new Promise((resolve) => setTimeout(resolve, lookMillis));
  }
  const tail = readFileSync(joined.logFile, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  const seconds = readyMillisMax / 1000;
  const text = `${joined.what} is not ready after ${seconds} s: ${last}; the end of ${joined.logFile}:\n${tail}`;
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
