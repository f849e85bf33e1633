import { readFile } from "node:fs/promises";
import type { ServerTls } from "../rpc/types.ts";
import { processMetrics } from "../runtime/metrics.ts";
import {
  type MetricsServer,
  metricsFlags,
  serveMetrics,
} from "../runtime/production/metrics-server.ts";
import { program, runProgram } from "../runtime/production/process.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { announceTimers, defaultTimers } from "../runtime/timers.ts";
import type { Log } from "../runtime/types.ts";
import { type Balancer, type BalancerOptions, startBalancer } from "./balancer.ts";
import { type BalancerLimits, balancerLimits } from "./limits.ts";
import { addBalancerMetrics } from "./metrics.ts";

/** A client that sees the store sees everything: the etcd port is for these clients alone. */
const administrators = "system:masters";

const balancer = program({
  name: "balancer",
  summary: "spreads calls over the masters, and hides it when one goes away",
  flags: {
    "bind-address": { type: "string", default: "127.0.0.1", help: "address clients connect to" },
    "grpc-port": { type: "number", default: 7443, help: "port clients connect to" },
    masters: {
      type: "string",
      required: true,
      help:
        "the masters' gRPC addresses: name=host:port, separated by commas; masters that join the " +
        "cluster later are found, and those that leave it are left",
    },
    "https-port": {
      type: "number",
      help: "port of Kubernetes' REST API, with --https-masters; absent: none",
    },
    "https-masters": { type: "string", help: "as --masters: the masters' REST addresses" },
    "client-ca-file": {
      type: "string",
      required: true,
      help: "CA in PEM: of the clients' certificates and of the masters' ones",
    },
    "tls-cert-file": { type: "string", required: true, help: "the server's certificate in PEM" },
    "tls-private-key-file": { type: "string", required: true, help: "its private key in PEM" },
    "proxy-client-cert-file": {
      type: "string",
      required: true,
      help: "certificate in PEM by which masters believe who the balancer says is calling",
    },
    "proxy-client-key-file": { type: "string", required: true, help: "its private key in PEM" },
    "max-concurrent-streams": {
      type: "number",
      default: balancerLimits.concurrentStreams,
      help: "calls under way on one client connection; the next one is refused",
    },
    "etcd-port": { type: "number", help: "port etcd clients connect to; absent: none" },
    "etcd-masters": { type: "string", help: "as --masters: the masters' etcd addresses" },
    "etcd-client-cert-file": {
      type: "string",
      help: `certificate in PEM, of the organization ${administrators}, for the masters' etcd ports`,
    },
    "etcd-client-key-file": { type: "string", help: "its private key in PEM" },
    ...metricsFlags,
  },
  async start(values, log, tracing) {
    const ca = await readPem("client-ca-file", values["client-ca-file"]);
    const tls = {
      cert: await readPem("tls-cert-file", values["tls-cert-file"]),
      key: await readPem("tls-private-key-file", values["tls-private-key-file"]),
      clientCa: ca,
    };
    const host = values["bind-address"];
    const limits = streamLimits(values["max-concurrent-streams"]);
    const grpc: BalancerOptions = {
      listen: { host, port: values["grpc-port"], tls },
      ...restOptions(values.masters, {
        listen: { host, port: values["https-port"], tls },
        masters: values["https-masters"],
      }),
      faces: { grpc: "grpc", rest: values["https-port"] === undefined ? undefined : "https" },
      upstreamTls: {
        ca,
        cert: await readPem("proxy-client-cert-file", values["proxy-client-cert-file"]),
        key: await readPem("proxy-client-key-file", values["proxy-client-key-file"]),
      },
      tracer: tracing?.tracer,
      log,
      limits,
    };
    const etcd = await etcdOptions(
      {
        port: values["etcd-port"],
        masters: values["etcd-masters"],
        certFile: values["etcd-client-cert-file"],
        keyFile: values["etcd-client-key-file"],
      },
      { host, tls, limits, tracer: tracing?.tracer, log: log.child({ face: "etcd" }) },
    );
    const running: Balancer[] = [];
    let metrics: MetricsServer | undefined;
    const stop = async () => {
      await metrics?.close();
      await Promise.all(
        running.map(async (each) => {
          await each.drain(defaultTimers.balancerDrain);
          await each.close();
        }),
      );
    };
    try {
      for (const options of etcd === undefined ? [grpc] : [grpc, etcd]) {
        const { port } = options.listen;
        running.push(await startBalancer(options));
        log.info("balancing", { host, port });
      }
      announceTimers("balancer", {}, { log, metrics: processMetrics });
      const faces = ["api", "etcd"];
      addBalancerMetrics(() => running.map((each, at) => [faces[at] ?? "", each] as const));
      metrics = await serveMetrics({
        address: values["metrics-bind-address"],
        ready: { masters: () => mastersFailure(running) },
      });
    } catch (error) {
      await stop();
      throw error;
    }
    reportToSupervisor(running);
    return { stop };
  },
});

/** Undefined: every face has a master that serves. */
function mastersFailure(balancers: readonly Balancer[]): string | undefined {
  const served = balancers.every((each) => each.status().masters.some(({ healthy }) => healthy));
  return served ? undefined : "no master serves";
}

const reportMillis = 500;

/** A supervisor that listens is told how often each master was asked, and what calls had to bear. */
function reportToSupervisor(running: readonly Balancer[]): void {
  if (process.send === undefined) return;
  const report = () => {
    if (!process.connected) return;
    const attempts: Record<string, number> = {};
    const calls = { waits: 0, retries: 0, refusals: 0, suspicions: 0 };
    for (const status of running.map((each) => each.status())) {
      for (const name of Object.keys(calls) as (keyof typeof calls)[]) calls[name] += status[name];
      for (const { name, attempts: more } of status.masters) {
        attempts[name] = (attempts[name] ?? 0) + more;
      }
    }
    // A supervisor that has just ended hears no more; this process then ends too.
    process.send?.({ attempts, calls }, undefined, undefined, () => {});
  };
  setInterval(report, reportMillis).unref();
}

export { balancer as program };

/** The masters, with their addresses for REST where that is served. Throws a StatusError. */
function restOptions(
  grpcMasters: string,
  rest: {
    readonly listen: {
      readonly host: string;
      readonly port: number | undefined;
      readonly tls: ServerTls;
    };
    readonly masters: string | undefined;
  },
): Pick<BalancerOptions, "masters" | "rest"> {
  const masters = parseMasters("masters", grpcMasters);
  const { port } = rest.listen;
  if (port === undefined && rest.masters === undefined) return { masters };
  if (port === undefined || rest.masters === undefined) {
    const text = "--https-port and --https-masters are given together or not at all";
    throw new StatusError(Code.invalidArgument, text);
  }
  const addresses = new Map(
    parseMasters("https-masters", rest.masters).map(({ name, address }) => [name, address]),
  );
  const strange = [...addresses.keys()].find((name) => !masters.some((one) => one.name === name));
  if (strange !== undefined) {
    const text = `--https-masters: ${strange} is not among --masters`;
    throw new StatusError(Code.invalidArgument, text);
  }
  return {
    masters: masters.map((master) => ({ ...master, rest: addresses.get(master.name) })),
    rest: { ...rest.listen, port },
  };
}

interface EtcdFlags {
  readonly port: number | undefined;
  readonly masters: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

const streamsMax = 100_000;

/** Throws a StatusError that names the flag. A client may cancel as many calls as it may make. */
function streamLimits(concurrentStreams: number): Partial<BalancerLimits> {
  if (
    !Number.isInteger(concurrentStreams) ||
    concurrentStreams < 1 ||
    concurrentStreams > streamsMax
  ) {
    throw new StatusError(
      Code.invalidArgument,
      `--max-concurrent-streams ${concurrentStreams}: a whole number in 1..${streamsMax} is wanted`,
    );
  }
  const clientResetBurst = Math.max(concurrentStreams, balancerLimits.clientResetBurst);
  return { concurrentStreams, clientResetBurst };
}

/**
 * The listener for etcd clients; undefined when none of its flags is given. Throws when some are
 * missing.
 */
async function etcdOptions(
  flags: EtcdFlags,
  listener: {
    readonly host: string;
    readonly tls: ServerTls;
    readonly limits: Partial<BalancerLimits>;
    readonly tracer: BalancerOptions["tracer"];
    readonly log: Log;
  },
): Promise<BalancerOptions | undefined> {
  const { port, masters, certFile, keyFile } = flags;
  if ([port, masters, certFile, keyFile].every((value) => value === undefined)) return undefined;
  if (
    port === undefined ||
    masters === undefined ||
    certFile === undefined ||
    keyFile === undefined
  ) {
    throw new StatusError(
      Code.invalidArgument,
      "--etcd-port, --etcd-masters, --etcd-client-cert-file and --etcd-client-key-file are given " +
        "together or not at all",
    );
  }
  const { host, tls, limits, tracer, log } = listener;
  return {
    listen: { host, port, tls: { ...tls, clientsRequired: { organization: administrators } } },
    masters: parseMasters("etcd-masters", masters),
    faces: { grpc: "etcd" },
    upstreamTls: {
      ca: tls.clientCa,
      cert: await readPem("etcd-client-cert-file", certFile),
      key: await readPem("etcd-client-key-file", keyFile),
    },
    tracer,
    log,
    limits,
  };
}

function parseMasters(flag: string, text: string): { name: string; address: string }[] {
  return text.split(",").map((part) => {
    const [name, address] = part.split("=");
    if (name && address) return { name, address };
    throw new StatusError(Code.invalidArgument, `--${flag} "${part}": name=host:port is wanted`);
  });
}

async function readPem(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const why = `--${flag} ${file} cannot be read: ${(error as Error).message}`;
    throw new StatusError(Code.failedPrecondition, why);
  }
}

if (import.meta.main) await runProgram(balancer, process.argv.slice(2));
