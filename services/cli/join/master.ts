/**
 * A machine that has joined as a master: one more replica of the store, which serves the API. It
 * begins as a learner, which has no vote, and is promoted once it has the whole log.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { call, connect } from "../../../ha/rpc/mod.ts";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { ClusterClient, type Member } from "../../../proto/gen/etcd.ts";
import { connectGrpcJs } from "../../client/grpc-js-wire.ts";
import { sleep, type TriremeClient } from "../../client/mod.ts";
import type { Child } from "../child.ts";
import { type Credentials, ensureCredentials } from "../credentials.ts";
import type { Discovered } from "./discovery.ts";
import { type Joined, joinedPaths, stopMillis, supervised } from "./joined.ts";

/** `join.json` of a master. */
export interface JoinedMaster {
  readonly role: "master";
  readonly name: string;
  /** `host:port` of its own gRPC API. */
  readonly grpc: string;
  /** `http://host:port?p2p=…`, by which the store's members know it. */
  readonly peerUrl: string;
  readonly etcdEndpoints: readonly string[];
  /** PEM files of an administrator. */
  readonly admin: { readonly cert: string; readonly key: string };
  /** Of the apiserver. */
  readonly args: readonly string[];
  /** The scheduler and the controller manager, of which one at a time works in a cluster. */
  readonly beside?: readonly { readonly name: string; readonly args: readonly string[] }[];
}

export interface MasterPlan {
  readonly name: string;
  readonly address: string;
  readonly grpcPort: number;
  readonly httpsPort: number;
  readonly etcdPort: number;
  readonly storePort: number;
  /** Further flags for the apiserver. */
  readonly more: readonly string[];
}

const rangeFlag = "--service-cluster-ip-range=";
const promoteMillis = 500;

/** Issues what the master needs, and adds it to the store's members, once. */
export async function prepareMaster(
  plan: MasterPlan,
  found: Discovered,
  dataDirectory: string,
): Promise<JoinedMaster> {
  const { name, address } = plan;
  const { etcdEndpoints, masterFlags, ca } = found;
  if (etcdEndpoints.length === 0) {
    const text = "no master can join: the masters have no --advertise-etcd-endpoints";
    throw new StatusError(Code.failedPrecondition, text);
  }
  const range = masterFlags.find((flag) => flag.startsWith(rangeFlag));
  const credentials = await ensureCredentials(joinedPaths(dataDirectory).pki, {
    ...{ masters: [name], nodes: [], hosts: [address] },
    serviceRange: range?.slice(rangeFlag.length),
  });
  const peerId = credentials.masters[0]?.peerId ?? "";
  const peerUrl = `http://${address}:${plan.storePort}?p2p=${peerId}`;
  const { admin } = credentials;
  const members = await withMembers({ etcdEndpoints, ca, admin }, (client) =>
    addMember(client, name, peerUrl),
  );
  const cluster = members.map((member) => {
    const [url = ""] = member.peerURLs ?? [];
    return `${url === peerUrl ? name : member.name}=${url}`;
  });
  const args = [
    ...argsOf(plan, credentials, dataDirectory),
    ...["--initial-cluster", cluster.join(","), "--initial-cluster-state", "existing"],
    ...masterFlags,
    ...plan.more,
  ];
  const grpc = `${address}:${plan.grpcPort}`;
  const beside = besideOf(name, found, credentials);
  return { role: "master", name, grpc, peerUrl, etcdEndpoints, admin, args, beside };
}

function besideOf(
  name: string,
  { grpcEndpoints, controllerManagerFlags }: Discovered,
  credentials: Credentials,
): NonNullable<JoinedMaster["beside"]> {
  const { ca, caKey, scheduler, controllerManager, serviceAccountKey } = credentials;
  const api = (pair: { readonly cert: string; readonly key: string }) => [
    ...["--server", grpcEndpoints.join(","), "--certificate-authority", ca],
    ...["--client-certificate", pair.cert, "--client-key", pair.key],
  ];
  return [
    { name: `scheduler-${name}`, args: ["scheduler", ...api(scheduler)] },
    {
      name: `controller-manager-${name}`,
      args: [
        ...["controller-manager", ...api(controllerManager), ...controllerManagerFlags],
        ...["--root-ca-file", ca],
        ...["--service-account-private-key-file", serviceAccountKey.privateKey],
        ...["--cluster-signing-cert-file", ca, "--cluster-signing-key-file", caKey],
      ],
    },
  ];
}

function argsOf(plan: MasterPlan, credentials: Credentials, dataDirectory: string): string[] {
  const { name, address } = plan;
  const [master] = credentials.masters;
  if (master === undefined) throw new Error(`no credentials for ${name}`);
  return [
    ...["apiserver", "--name", name, "--data-dir", join(dataDirectory, name)],
    ...["--bind-address", address, "--grpc-port", String(plan.grpcPort)],
    ...["--https-port", String(plan.httpsPort), "--etcd-port", String(plan.etcdPort)],
    ...["--listen-peer", `${address}:${plan.storePort}`],
    ...["--peer-key-file", master.peerKeyFile, "--client-ca-file", credentials.ca],
    ...["--tls-cert-file", master.server.cert, "--tls-private-key-file", master.server.key],
    ...["--kubelet-client-certificate", master.client.cert],
    ...["--kubelet-client-key", master.client.key],
    ...["--service-account-signing-key-file", credentials.serviceAccountKey.privateKey],
    ...["--service-account-key-file", credentials.serviceAccountKey.publicKey],
  ];
}

interface StoreAccess {
  readonly etcdEndpoints: readonly string[];
  readonly ca: string;
  readonly admin: { readonly cert: string; readonly key: string };
}

async function withMembers<T>(
  { etcdEndpoints, ca, admin }: StoreAccess,
  run: (client: ClusterClient) => Promise<T>,
): Promise<T> {
  const [cert, key] = [readFileSync(admin.cert, "utf8"), readFileSync(admin.key, "utf8")];
  const client = connect(ClusterClient, { addresses: etcdEndpoints, tls: { ca, cert, key } });
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

/** Answers all members. One that an earlier attempt has added is taken as it is. */
async function addMember(
  client: ClusterClient,
  name: string,
  peerUrl: string,
): Promise<readonly Member[]> {
  const { members = [] } = await call(client, "memberList", { linearizable: true });
  if (members.some((member) => member.peerURLs?.includes(peerUrl))) return members;
  if (members.some((member) => member.name === name)) {
    throw new StatusError(Code.alreadyExists, `the cluster has a master "${name}" already`);
  }
  const added = await call(client, "memberAdd", { peerURLs: [peerUrl], isLearner: true });
  return added.members ?? [];
}

export class Master implements Joined {
  readonly what: string;
  readonly logFile: string;
  readonly #state: JoinedMaster;
  readonly #ca: string;
  readonly #child: Child;
  readonly #beside: readonly Child[];
  readonly #client: TriremeClient;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #promotion = "its replica is not started yet";

  /** `ca`: PEM. */
  constructor(state: JoinedMaster, dataDirectory: string, ca: string, log: Log) {
    const { logs } = joinedPaths(dataDirectory);
    mkdirSync(logs, { recursive: true });
    this.what = `master "${state.name}"`;
    this.#state = state;
    this.#ca = ca;
    this.#log = log;
    const { child, logFile } = supervised(state.name, state.args, logs, log);
    this.#child = child;
    this.#beside = (state.beside ?? []).map(
      (program) => supervised(program.name, program.args, logs, log).child,
    );
    this.logFile = logFile;
    const { admin } = state;
    const tls = {
      ca,
      cert: readFileSync(admin.cert, "utf8"),
      key: readFileSync(admin.key, "utf8"),
    };
    this.#client = connectGrpcJs({ servers: [state.grpc], tls, log, identity: "trireme" });
  }

  /**
   * Starts the replica, and has it promoted as soon as the leader finds it ready. Then the scheduler
   * and the controller manager beside it stand by for those of the other masters.
   */
  async start(): Promise<void> {
    this.#child.start();
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (await this.#promoted()) break;
      } catch (thrown) {
        this.#promotion = StatusError.from(thrown).message;
        this.#log.debug("not promoted yet", { error: this.#promotion });
      }
      await sleep(productionClock, promoteMillis, signal);
    }
    if (!signal.aborted) for (const child of this.#beside) child.startOnce();
  }

  #promoted(): Promise<boolean> {
    const { peerUrl, etcdEndpoints, admin } = this.#state;
    return withMembers({ etcdEndpoints, ca: this.#ca, admin }, async (client) => {
      const { members = [] } = await call(client, "memberList", { linearizable: true });
      const own = members.find(({ peerURLs = [] }) => peerURLs.includes(peerUrl));
      if (own === undefined) {
        this.#promotion = "the store has no such member: it has been removed";
        return false;
      }
      if (own.isLearner !== true) return true;
      await call(client, "memberPromote", { ID: own.ID });
      return true;
    });
  }

  async missing(): Promise<string | undefined> {
    const { ready, role } = await this.#client.cluster.status({ timeoutMillis: 2_000 });
    if (role === "learner") return `its replica has no vote yet: ${this.#promotion}`;
    return ready === true ? undefined : "it does not serve yet";
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const child of [this.#child, ...this.#beside]) child.letEnd();
    await Promise.all(this.#beside.map((child) => child.stop(stopMillis)));
    await this.#child.stop(stopMillis);
    this.#client.close();
  }
}
