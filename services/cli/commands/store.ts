/** `trireme store`: a member of the store by itself, with etcd's API, as etcd would be started. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkerMember } from "../../../ha/member/mod.ts";
import { parseAddress, type ServerTls } from "../../../ha/rpc/mod.ts";
import { isLoopback } from "../../../ha/runtime/production/loopback.ts";
import { program } from "../../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import {
  clusterState,
  endOf,
  openReplica,
  parseInitialCluster,
  serveEtcd,
} from "../../apiserver/mod.ts";

const store = program({
  name: "store",
  summary: "a replica of the store alone, for etcd clients",
  flags: {
    name: { type: "string", required: true, help: "name of this member" },
    "data-dir": { type: "string", required: true, help: "directory of its data" },
    "listen-client": {
      type: "string",
      default: "127.0.0.1:2379",
      help: "host:port on which etcd clients are served",
    },
    "listen-peer": {
      type: "string",
      default: "127.0.0.1:2380",
      help: "host:port on which the other members reach this one",
    },
    "initial-cluster": {
      type: "string",
      required: true,
      help: "all members: name=host:port/peerid, separated by commas; only looked at at first",
    },
    "initial-cluster-state": {
      type: "string",
      default: "new",
      help: "existing: this member joins a cluster that has added it",
    },
    "peer-key-file": {
      type: "string",
      help: "Ed25519 private key in PEM, made at first start (default: --data-dir with .key)",
    },
    "quota-bytes": {
      type: "number",
      default: 0,
      help: "bytes on disk beyond which writes are refused; 0: 2 GiB, below 0: no limit",
    },
    "tls-cert-file": { type: "string", help: "the server's certificate in PEM" },
    "tls-private-key-file": { type: "string", help: "its private key in PEM" },
    "client-ca-file": {
      type: "string",
      help: "CA certificate in PEM to which clients' certificates must chain",
    },
    "insecure-loopback": {
      type: "boolean",
      default: false,
      help: "serve without TLS, and encrypt nothing between members; only on loopback addresses",
    },
  },
  async start(values, log) {
    const { name } = values;
    const listen = parseAddress(values["listen-client"]);
    const peers = parseAddress(values["listen-peer"]);
    if (values["insecure-loopback"]) {
      requireLoopback("listen-client", listen.host);
      requireLoopback("listen-peer", peers.host);
    }
    const tls = await tlsOf(values);
    const dataDirectory = values["data-dir"];
    const clientUrl = `${tls ? "https" : "http"}://${values["listen-client"]}`;
    const member = await openReplica({
      name,
      dataDirectory,
      listen: peers,
      plaintextPeers: values["insecure-loopback"],
      keyFile: values["peer-key-file"] ?? `${resolve(dataDirectory)}.key`,
      cluster: parseInitialCluster(values["initial-cluster"], name),
      initialClusterState: clusterState(values["initial-cluster-state"]),
      clientAddresses: [clientUrl],
      quotaBytes: values["quota-bytes"],
      log,
    });
    try {
      if (!(await published(member, name, clientUrl))) {
        log.warn("clients are served before the cluster knows where", { clientUrl });
      }
      const server = await serveEtcd(member, { listen, tls });
      return {
        ended: endOf(member),
        async stop() {
          await server.close();
          // Closing hands leadership over.
          await member.close();
        },
      };
    } catch (thrown) {
      await member.close();
      throw thrown;
    }
  },
});

export { store as program };

/** As long as etcd waits for its cluster by default (`--wait-cluster-ready-timeout`). */
const publishMillisMax = 5_000;
const publishCheckMillis = 50;

/**
 * Waits until the cluster has taken note of where this member's clients connect, so that whoever
 * reaches it finds it in the list of members. False: without a quorum it could not in time.
 */
async function published(member: WorkerMember, name: string, clientUrl: string): Promise<boolean> {
  const deadline = performance.now() + publishMillisMax;
  for (;;) {
    const members = await member.admin.members();
    if (members.some((each) => each.name === name && each.clientUrls.includes(clientUrl))) {
      return true;
    }
    if (performance.now() > deadline) return false;
    await sleep(publishCheckMillis);
  }
}

interface TlsFlags {
  readonly "tls-cert-file": string | undefined;
  readonly "tls-private-key-file": string | undefined;
  readonly "client-ca-file": string | undefined;
  readonly "insecure-loopback": boolean;
}

function refuse(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

function requireLoopback(flag: string, host: string): void {
  if (isLoopback(host)) return;
  throw refuse(`--insecure-loopback: --${flag} ${host} is not a loopback address`);
}

async function tlsOf(flags: TlsFlags): Promise<ServerTls | undefined> {
  if (flags["insecure-loopback"]) return undefined;
  const read = async (flag: keyof TlsFlags): Promise<string> => {
    const file = flags[flag];
    if (typeof file !== "string") {
      throw refuse(`--${flag} is required, or --insecure-loopback for trying things out`);
    }
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      throw new StatusError(Code.failedPrecondition, `--${flag}: ${(error as Error).message}`);
    }
  };
  return {
    cert: await read("tls-cert-file"),
    key: await read("tls-private-key-file"),
    clientCa: await read("client-ca-file"),
    clientsRequired: {},
  };
}
