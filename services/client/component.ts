/** The flags and manners that all components which stand on the client share. */
import { randomBytes } from "node:crypto";
import { unwatchFile, watchFile } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { validateElectionOptions } from "../../ha/election/mod.ts";
import type { FlagValues } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { defaultTimers, durationText } from "../../ha/runtime/timers.ts";
import type { Tracer } from "../../ha/runtime/trace.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { checkPair, type PemPair } from "./certificate-file.ts";
import type { TriremeClient } from "./client.ts";
import { parseDuration } from "./duration.ts";
import { connectClient } from "./engine-wire.ts";

const serverHelp = "host:port of the API, comma-separated for several balancers or masters";

export const clientFlags = {
  server: { type: "string", required: true, help: serverHelp },
  "certificate-authority": {
    type: "string",
    help: "PEM file of the CA of the API's certificate; without it the connection is plaintext",
  },
  "client-certificate": { type: "string", help: "PEM file of the component's certificate" },
  "client-key": { type: "string", help: "PEM file of the certificate's key" },
} as const;

/** For programs that also work for any other Kubernetes apiserver. */
export const anyClientFlags = {
  ...clientFlags,
  server: { type: "string", help: serverHelp },
  kubeconfig: {
    type: "string",
    help: "kubeconfig file of any Kubernetes apiserver, reached by its REST API; instead of --server",
  },
  master: {
    type: "string",
    help: "https:// URL of that apiserver, in place of the kubeconfig's",
  },
} as const;

/**
 * A killed leader is replaced within five seconds: its Lease runs out, and half a second is left for
 * the standby to take it. A leader outlives an election of the store, which takes two seconds at most
 * after a renewal was due. One renewal in two seconds keeps two leaders of an idle cluster at one
 * write a second together.
 */
export const electionFlags = {
  "leader-elect": {
    type: "string",
    default: "true",
    help: "true or false: elect a leader among the replicas before working",
  },
  "leader-elect-lease-duration": {
    type: "string",
    default: durationText(defaultTimers.leaderLease),
    help: "how long others wait after the leader's last renewal before they take over",
  },
  "leader-elect-renew-deadline": {
    type: "string",
    default: durationText(defaultTimers.leaderRenew),
    help: "how long a leader tries to renew before it stops leading",
  },
  "leader-elect-retry-period": {
    type: "string",
    default: durationText(defaultTimers.leaderRetry),
    help: "pause between attempts to take or renew the lease",
  },
  "leader-elect-resource-namespace": {
    type: "string",
    default: "kube-system",
    help: "namespace of the Lease",
  },
} as const;

/** By gRPC or REST, as the flags say. Rejects with the flag that is wrong. */
export async function connectByAnyFlags(
  values: FlagValues<typeof anyClientFlags>,
  identity: string,
  log: Log,
  options: { tracer?: Tracer | undefined } = {},
): Promise<TriremeClient> {
  const { server, kubeconfig, master } = values;
  if (kubeconfig === undefined && master === undefined) {
    if (server !== undefined) return connectByFlags({ ...values, server }, identity, log, options);
    throw new StatusError(Code.invalidArgument, "--server or --kubeconfig is required");
  }
  const others = ["server", "certificate-authority", "client-certificate", "client-key"] as const;
  const other = others.find((flag) => values[flag] !== undefined);
  if (other !== undefined) {
    const text = `--${other} is not given together with --kubeconfig or --master`;
    throw new StatusError(Code.invalidArgument, text);
  }
  log.info("an apiserver is called by its REST API: without fences and request ids", {
    kubeconfig,
    master,
  });
  const { connectRest } = await import("./rest/connect.ts");
  return connectRest({ kubeconfig, master, program: identity });
}

/**
 * Reads the PEM files and connects. Rejects with the flag and file that are wrong. `program`: what
 * every instance of the component is called, where that is not its identity.
 */
export async function connectByFlags(
  values: FlagValues<typeof clientFlags>,
  identity: string,
  log: Log,
  { program = identity, tracer }: { program?: string; tracer?: Tracer | undefined } = {},
): Promise<TriremeClient> {
  const servers = values.server.split(",").map((server) => server.trim());
  for (const server of servers) {
    if (!/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/.test(server)) {
      throw new StatusError(Code.invalidArgument, `--server: "${server}" is not host:port`);
    }
  }
  const ca = await pem("certificate-authority", values["certificate-authority"]);
  const cert = await pem("client-certificate", values["client-certificate"]);
  const key = await pem("client-key", values["client-key"]);
  if ((cert === undefined) !== (key === undefined)) {
    throw new StatusError(
      Code.invalidArgument,
      "--client-certificate and --client-key are given together or not at all",
    );
  }
  if (ca === undefined && cert !== undefined) {
    throw new StatusError(
      Code.invalidArgument,
      "--client-certificate needs --certificate-authority",
    );
  }
  const tls = ca === undefined ? undefined : { ca, cert, key };
  const client = connectClient({ servers, log, identity, program, tls, tracer });
  const files = [values["client-certificate"], values["client-key"]];
  const [certFile, keyFile] = files;
  if (certFile === undefined || keyFile === undefined || ca === undefined) return client;
  const renew = () => {
    readPair(certFile, keyFile).then(
      (pair) => {
        client.renewTls({ ca, ...pair });
        log.info("the client's certificate has been renewed", { file: certFile });
      },
      // The other file is still to come, or is being written: the next change tells.
      (error: Error) => log.warn("a changed certificate cannot be used", { error: error.message }),
    );
  };
  const watched = [...new Set([certFile, keyFile])];
  for (const file of watched) watchFile(file, watching, renew);
  return {
    ...client,
    close() {
      for (const file of watched) unwatchFile(file, renew);
      client.close();
    },
  };
}

/** Who renews a certificate replaces its files. */
const watching = { interval: 1_000, persistent: false } as const;

/** Rejects when they are no pair. */
async function readPair(certFile: string, keyFile: string): Promise<PemPair> {
  const pair = { cert: await readFile(certFile, "utf8"), key: await readFile(keyFile, "utf8") };
  checkPair(pair);
  return pair;
}

export interface ElectionSettings {
  readonly enabled: boolean;
  /** Of the Lease. */
  readonly name: string;
  readonly namespace: string;
  readonly identity: string;
  readonly leaseMillis: number;
  readonly renewDeadlineMillis: number;
  readonly retryMillis: number;
}

/** Refuses, before anything starts, durations whose relations cannot work. */
export function electionByFlags(
  values: FlagValues<typeof electionFlags>,
  name: string,
): ElectionSettings {
  const enabled = values["leader-elect"];
  if (enabled !== "true" && enabled !== "false") {
    throw new StatusError(
      Code.invalidArgument,
      `--leader-elect: "${enabled}" is not true or false`,
    );
  }
  const duration = (
    flag:
      | "leader-elect-lease-duration"
      | "leader-elect-renew-deadline"
      | "leader-elect-retry-period",
  ) => parseDuration(values[flag], `--${flag}`);
  const settings: ElectionSettings = {
    enabled: enabled === "true",
    name,
    namespace: values["leader-elect-resource-namespace"],
    identity: `${hostname()}_${process.pid}_${randomBytes(4).toString("hex")}`,
    leaseMillis: duration("leader-elect-lease-duration"),
    renewDeadlineMillis: duration("leader-elect-renew-deadline"),
    retryMillis: duration("leader-elect-retry-period"),
  };
  if (settings.enabled) validateElectionOptions(settings);
  return settings;
}

async function pem(flag: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StatusError(Code.invalidArgument, `--${flag}: ${why}`);
  }
}
