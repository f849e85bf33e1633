/** Where a master keeps its state: a replica in this process, or an external etcd cluster. */
import { readFile } from "node:fs/promises";
import { openEtcdStore, parseEtcdAddress } from "../../ha/etcd/external/mod.ts";
import {
  isExclusion,
  type NamedMember,
  openMemberWorker,
  type WorkerMember,
  type WorkerMemberOptions,
} from "../../ha/member/mod.ts";
import { type ClientTls, parseAddress } from "../../ha/rpc/mod.ts";
import { NoRestartError } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Store } from "../../ha/store/types.ts";
import { machineAddress } from "./cluster-service.ts";
import { clusterState, parseInitialCluster } from "./initial-cluster.ts";

type Text = string | undefined;

/** The flags that say it. */
export interface StoreFlags {
  readonly name: string;
  readonly store: Text;
  readonly "etcd-cafile": Text;
  readonly "etcd-certfile": Text;
  readonly "etcd-keyfile": Text;
  readonly "etcd-port": number | undefined;
  readonly "data-dir": Text;
  readonly "listen-peer": Text;
  readonly "initial-cluster": Text;
  readonly "initial-cluster-state": string;
  readonly "peer-key-file": Text;
  readonly "quota-bytes": number;
  readonly "bind-address": string;
  readonly "advertise-address": Text;
  readonly "grpc-port": number;
  readonly "https-port": number | undefined;
  readonly "enable-faults"?: boolean;
}

export interface OpenedStore {
  readonly store: Store;
  /** The replica of this process; absent with an external cluster. */
  readonly member: WorkerMember | undefined;
}

/** Objects are of some kilobytes; `npm run bench -- api` shows the difference for pods. */
const youngMegabytes = 24;

/** Throws a StatusError that names the flag that is missing, or too many. */
export async function openStore(
  flags: StoreFlags,
  log: Log,
  clockJumped: (offsetMillis: number) => void = () => {},
): Promise<OpenedStore> {
  if (flags["enable-faults"] && (flags.store !== undefined || flags["etcd-port"] === undefined)) {
    throw invalid("--enable-faults is for a replica, and needs --etcd-port, where they are set");
  }
  if (flags.store !== undefined) {
    return { store: await openExternal(flags, flags.store, log), member: undefined };
  }
  refuse(flags, ["etcd-cafile", "etcd-certfile", "etcd-keyfile"], "needs --store");
  const { name, "etcd-port": etcdPort } = flags;
  const host = advertisedHost(flags["advertise-address"] ?? flags["bind-address"]);
  const clientAddresses = [`https://${host}:${etcdPort}`];
  const member = await openReplica({
    name,
    dataDirectory: required(flags, "data-dir"),
    listen: parseAddress(required(flags, "listen-peer")),
    keyFile: required(flags, "peer-key-file"),
    cluster: identified(parseInitialCluster(required(flags, "initial-cluster"), name)),
    initialClusterState: clusterState(flags["initial-cluster-state"]),
    quotaBytes: flags["quota-bytes"],
    ...(etcdPort !== undefined && { clientAddresses }),
    apiAddresses: apiAddresses(host, flags),
    youngMegabytes,
    ...(flags["enable-faults"] && { faults: { clockJumped } }),
    log,
  });
  return { store: member, member };
}

/** Where balancers find this master: what listens on all addresses is reached at one of them. */
function advertisedHost(host: string): string {
  if (host === "0.0.0.0") return machineAddress("IPv4");
  return host === "::" ? machineAddress() : host;
}

function apiAddresses(host: string, flags: StoreFlags): string[] {
  const { "grpc-port": grpc, "https-port": https, "etcd-port": etcd } = flags;
  const at = host.includes(":") ? `[${host}]` : host;
  return Object.entries({ grpc, https, etcd }).flatMap(([face, port]) =>
    port === undefined ? [] : [`${face}://${at}:${port}`],
  );
}

/** Rejects with a NoRestartError when the cluster goes on without this member. */
export async function openReplica(options: WorkerMemberOptions): Promise<WorkerMember> {
  try {
    return await openMemberWorker(options);
  } catch (error) {
    throw isExclusion(error) ? new NoRestartError(error.message) : error;
  }
}

/** Why the process of a replica ends by itself. */
export async function endOf(member: WorkerMember): Promise<NoRestartError> {
  const { message } = await member.excluded;
  return new NoRestartError(message);
}

async function openExternal(flags: StoreFlags, address: string, log: Log): Promise<Store> {
  const unused = ["data-dir", "listen-peer", "initial-cluster", "peer-key-file"] as const;
  refuse(flags, unused, "is for a replica, and --store names an external cluster");
  refuse(flags, ["etcd-port"], "shows a replica, and --store names an external cluster");
  const endpoints = parseEtcdAddress(address);
  return openEtcdStore({
    endpoints,
    tls: await etcdTls(flags),
    log: log.child({ store: address }),
  });
}

async function etcdTls(flags: StoreFlags): Promise<ClientTls | undefined> {
  const { "etcd-cafile": caFile, "etcd-certfile": certFile, "etcd-keyfile": keyFile } = flags;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw invalid("--etcd-certfile and --etcd-keyfile are given together or not at all");
  }
  if (caFile === undefined) {
    refuse(flags, ["etcd-certfile", "etcd-keyfile"], "needs --etcd-cafile");
    return undefined;
  }
  const ca = await readPem("etcd-cafile", caFile);
  if (certFile === undefined || keyFile === undefined) return { ca };
  const cert = await readPem("etcd-certfile", certFile);
  return { ca, cert, key: await readPem("etcd-keyfile", keyFile) };
}

function refuse(flags: StoreFlags, names: readonly (keyof StoreFlags)[], why: string): void {
  for (const name of names) if (flags[name] !== undefined) throw invalid(`--${name} ${why}`);
}

/** Masters are known by their keys from the beginning: they share no token. */
function identified(members: readonly NamedMember[]): readonly NamedMember[] {
  const unknown = members.find(({ identity }) => identity === undefined);
  if (unknown === undefined) return members;
  throw invalid(
    `--initial-cluster: ${unknown.name} has no peer id; name=host:port/peerid is wanted`,
  );
}

function required(
  flags: StoreFlags,
  name: "data-dir" | "listen-peer" | "initial-cluster" | "peer-key-file",
): string {
  const value = flags[name];
  if (value === undefined) throw invalid(`--${name} is required, or --store`);
  return value;
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

/** The file that the flag names. */
export async function readPem(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StatusError(Code.failedPrecondition, `--${flag} ${file} cannot be read: ${why}`);
  }
}
