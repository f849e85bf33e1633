/** The flags of `trireme store`: etcd's own, and those with peer ids in the founding line. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type JwtOptions,
  type Retention,
  readAuthToken,
  readRetention,
} from "../../../ha/etcd/mod.ts";
import type { NamedMember } from "../../../ha/member/mod.ts";
import { parseAddress, type ServerTls } from "../../../ha/rpc/mod.ts";
import { isLoopback } from "../../../ha/runtime/production/loopback.ts";
import type { FlagValues } from "../../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { clusterState, parseInitialCluster } from "../../apiserver/mod.ts";

export const storeFlags = {
  name: { type: "string", default: "default", help: "name of this member" },
  "data-dir": { type: "string", help: "directory of its data (default: the name with .etcd)" },
  "listen-client-urls": {
    type: "string",
    help: "URLs on which etcd clients are served (default: http://localhost:2379)",
  },
  "advertise-client-urls": {
    type: "string",
    help: "URLs under which clients reach this member (default: --listen-client-urls)",
  },
  "listen-peer-urls": {
    type: "string",
    help: "URL on which the other members reach this one (default: http://localhost:2380)",
  },
  "initial-advertise-peer-urls": {
    type: "string",
    help: "URL under which the others know this member (default: --listen-peer-urls)",
  },
  "initial-cluster": {
    type: "string",
    help:
      "all members: name=http://host:port, or name=host:port/peerid, separated by commas; only " +
      "looked at until the cluster is founded (default: this member alone)",
  },
  "initial-cluster-token": {
    type: "string",
    default: "etcd-cluster",
    help: "the same on all members: only who knows it is told who the members are",
  },
  "initial-cluster-state": {
    type: "string",
    default: "new",
    help: "existing: this member joins a cluster that has added it",
  },
  "cert-file": { type: "string", help: "the server's certificate in PEM, for https:// URLs" },
  "key-file": { type: "string", help: "its private key in PEM" },
  "trusted-ca-file": {
    type: "string",
    help: "CA certificate in PEM to which clients' certificates must chain",
  },
  "client-cert-auth": {
    type: "boolean",
    default: false,
    help: "clients must present a certificate (with --trusted-ca-file they must anyway)",
  },
  "quota-backend-bytes": {
    type: "number",
    help: "bytes on disk beyond which writes are refused; 0: 2 GiB, below 0: no limit",
  },
  "auto-compaction-mode": {
    type: "string",
    default: "periodic",
    help: "periodic or revision: what --auto-compaction-retention counts",
  },
  "auto-compaction-retention": {
    type: "string",
    default: "0",
    help: "history that is kept: hours or a duration such as 30m, or revisions; 0: all of it",
  },
  "peer-key-file": {
    type: "string",
    help: "Ed25519 private key in PEM, made at first start (default: --data-dir with .key)",
  },
  "listen-client": { type: "string", help: "host:port, in the place of --listen-client-urls" },
  "listen-peer": { type: "string", help: "host:port, in the place of --listen-peer-urls" },
  "quota-bytes": { type: "number", help: "in the place of --quota-backend-bytes" },
  "tls-cert-file": { type: "string", help: "in the place of --cert-file, with --listen-client" },
  "tls-private-key-file": { type: "string", help: "in the place of --key-file" },
  "client-ca-file": { type: "string", help: "in the place of --trusted-ca-file" },
  "auth-token": {
    type: "string",
    default: "simple",
    help: "simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m",
  },
  "enable-faults": {
    type: "boolean",
    default: false,
    help: "administrators may set faults into this member, for drills",
  },
  "insecure-loopback": {
    type: "boolean",
    default: false,
    help: "serve without TLS, and encrypt nothing between members; only on loopback addresses",
  },
} as const;

export type StoreFlags = FlagValues<typeof storeFlags>;

type Address = ReturnType<typeof parseAddress>;

/** What the flags come to. */
export interface StoreSettings {
  readonly name: string;
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly clients: readonly Address[];
  readonly clientUrls: readonly string[];
  readonly tls: ServerTls | undefined;
  /** Users' tokens are JSON Web Tokens; undefined: etcd's simple ones. */
  readonly jwt: JwtOptions | undefined;
  readonly peers: Address;
  /** host:port under which the others know this member. */
  readonly peerAddress: string;
  readonly plaintextPeers: boolean;
  readonly cluster: readonly NamedMember[];
  readonly clusterToken: string;
  readonly clusterState: "new" | "existing";
  readonly quotaBytes: number;
  /** Of history; undefined: it is kept until a client compacts it. */
  readonly retention: Retention | undefined;
  readonly enableFaults: boolean;
}

/** Throws a StatusError that names the flag and what is wrong with it. */
export async function storeSettings(flags: StoreFlags): Promise<StoreSettings> {
  const listening = usesOwnForm(flags) ? await ownForm(flags) : await etcdForm(flags);
  const { name, "initial-cluster-token": clusterToken } = flags;
  const dataDirectory = flags["data-dir"] ?? `${name}.etcd`;
  const { peerAddress } = listening;
  const cluster = flags["initial-cluster"] ?? `${name}=http://${peerAddress}`;
  const members = parseInitialCluster(cluster, name);
  const advertised = members.find((member) => member.name === name)?.address;
  if (flags["initial-advertise-peer-urls"] !== undefined && advertised !== peerAddress) {
    throw refuse(
      `--initial-cluster has ${name} at ${advertised}, --initial-advertise-peer-urls at ${peerAddress}`,
    );
  }
  return {
    ...listening,
    name,
    dataDirectory,
    keyFile: flags["peer-key-file"] ?? `${resolve(dataDirectory)}.key`,
    peerAddress: advertised ?? peerAddress,
    cluster: members,
    clusterToken,
    clusterState: clusterState(flags["initial-cluster-state"]),
    jwt: await readAuthToken(flags["auth-token"]),
    quotaBytes: flags["quota-backend-bytes"] ?? flags["quota-bytes"] ?? 0,
    retention: readRetention(flags["auto-compaction-mode"], flags["auto-compaction-retention"]),
    enableFaults: flags["enable-faults"],
  };
}

type Listening = Pick<
  StoreSettings,
  "clients" | "clientUrls" | "tls" | "peers" | "peerAddress" | "plaintextPeers"
>;

const ownFlags = [
  "listen-client",
  "listen-peer",
  "quota-bytes",
  "tls-cert-file",
  "tls-private-key-file",
  "client-ca-file",
  "insecure-loopback",
] as const;
const etcdFlags = [
  "listen-client-urls",
  "advertise-client-urls",
  "listen-peer-urls",
  "initial-advertise-peer-urls",
  "cert-file",
  "key-file",
  "trusted-ca-file",
  "client-cert-auth",
  "quota-backend-bytes",
] as const;

/** Throws when flags of both forms are given. */
function usesOwnForm(flags: StoreFlags): boolean {
  const given = (name: keyof StoreFlags) => flags[name] !== undefined && flags[name] !== false;
  const own = ownFlags.find(given);
  const etcd = etcdFlags.find(given);
  if (own !== undefined && etcd !== undefined) {
    throw refuse(`--${own} and --${etcd} are not given together: each has the other's place`);
  }
  return own !== undefined;
}

async function ownForm(flags: StoreFlags): Promise<Listening> {
  const client = flags["listen-client"] ?? "127.0.0.1:2379";
  const peer = flags["listen-peer"] ?? "127.0.0.1:2380";
  const [listen, peers] = [parseAddress(client), parseAddress(peer)];
  const plaintext = flags["insecure-loopback"];
  if (plaintext) {
    requireLoopback("listen-client", listen.host);
    requireLoopback("listen-peer", peers.host);
  }
  const need = (flag: keyof StoreFlags) =>
    readPem(flags, flag, "is required, or --insecure-loopback for trying things out");
  const tls = plaintext
    ? undefined
    : {
        cert: await need("tls-cert-file"),
        key: await need("tls-private-key-file"),
        clientCa: await need("client-ca-file"),
        clientsRequired: {},
      };
  const clientUrls = [`${tls ? "https" : "http"}://${client}`];
  return {
    clients: [listen],
    clientUrls,
    tls,
    peers,
    peerAddress: peer,
    plaintextPeers: plaintext,
  };
}

async function etcdForm(flags: StoreFlags): Promise<Listening> {
  const clients = urls(
    "listen-client-urls",
    flags["listen-client-urls"] ?? "http://localhost:2379",
  );
  const schemes = new Set(clients.map(({ scheme }) => scheme));
  if (schemes.size > 1) throw refuse("--listen-client-urls: http:// and https:// are mixed");
  const peer = one("listen-peer-urls", flags["listen-peer-urls"] ?? "http://localhost:2380");
  const advertisedPeer = flags["initial-advertise-peer-urls"];
  const peerAddress = advertisedPeer
    ? one("initial-advertise-peer-urls", advertisedPeer).address
    : peer.address;
  const advertised = flags["advertise-client-urls"];
  const clientUrls = advertised ? urls("advertise-client-urls", advertised) : clients;
  return {
    clients: clients.map(({ address }) => parseAddress(address)),
    clientUrls: clientUrls.map(({ scheme, address }) => `${scheme}://${address}`),
    tls: schemes.has("https") ? await etcdTls(flags) : refuseTls(flags),
    peers: parseAddress(peer.address),
    peerAddress,
    plaintextPeers: false,
  };
}

/** As in etcd: a CA is one that all clients' certificates are checked against. */
async function etcdTls(flags: StoreFlags): Promise<ServerTls> {
  const need = (flag: keyof StoreFlags) => readPem(flags, flag, "is required for an https:// URL");
  const cert = await need("cert-file");
  const key = await need("key-file");
  if (flags["trusted-ca-file"] === undefined) {
    if (flags["client-cert-auth"]) throw refuse("--client-cert-auth needs --trusted-ca-file");
    // No client is asked for a certificate that could chain to this one.
    return { cert, key, clientCa: cert };
  }
  return { cert, key, clientCa: await need("trusted-ca-file"), clientsRequired: {} };
}

function refuseTls(flags: StoreFlags): undefined {
  for (const flag of ["cert-file", "key-file", "trusted-ca-file", "client-cert-auth"] as const) {
    if (flags[flag]) throw refuse(`--${flag} is for https:// in --listen-client-urls`);
  }
  return undefined;
}

interface ListenUrl {
  readonly scheme: "http" | "https";
  readonly address: string;
}

function urls(flag: string, text: string): ListenUrl[] {
  return text.split(",").map((url) => {
    const [, scheme, address = ""] = /^(https?):\/\/([^/?#@]+)\/?$/.exec(url) ?? [];
    if (scheme === undefined) {
      throw refuse(`--${flag} "${url}": http://host:port or https://host:port is wanted`);
    }
    parseAddress(address);
    return { scheme: scheme as ListenUrl["scheme"], address };
  });
}

function one(flag: string, text: string): ListenUrl {
  const [url, second] = urls(flag, text);
  if (url === undefined || second !== undefined) {
    throw refuse(`--${flag} "${text}": exactly one URL is wanted`);
  }
  return url;
}

function refuse(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

function requireLoopback(flag: string, host: string): void {
  if (isLoopback(host)) return;
  throw refuse(`--insecure-loopback: --${flag} ${host} is not a loopback address`);
}

async function readPem(flags: StoreFlags, flag: keyof StoreFlags, why: string): Promise<string> {
  const file = flags[flag];
  if (typeof file !== "string") throw refuse(`--${flag} ${why}`);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new StatusError(Code.failedPrecondition, `--${flag}: ${text}`);
  }
}
