/** The service proxy of one node as a program. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { metricsFlags, serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import { program, type Running } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { announceTimers } from "../../ha/runtime/timers.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { clientFlags, connectByFlags } from "../client/mod.ts";
import { type Family, families, isOf, isRangeOf } from "./family.ts";
import { KubeProxy } from "./kube-proxy.ts";
import { nftObstacle, runProgram } from "./nftables/mod.ts";

const kubeProxy = program({
  name: "kube-proxy",
  summary: "leads connections to service addresses to the pods behind them",
  flags: {
    ...clientFlags,
    ...metricsFlags,
    "hostname-override": { type: "string", help: "name of the node; default: the host's name" },
    "proxy-mode": {
      type: "string",
      default: "userspace",
      help:
        "userspace, nftables (needs root and the program nft; for a node with a network of its " +
        "own) or auto: nftables where it works",
    },
    "cluster-cidr": {
      type: "string",
      help:
        "range of the pods' addresses, or one of each family, with a comma between; nftables masks " +
        "other clients of services",
    },
    "bind-address": {
      type: "string",
      default: "127.0.0.1",
      help:
        "address on which node ports are opened, or one of each family, with a comma between; the " +
        "proxies of one machine may share it",
    },
    "peer-port": {
      type: "number",
      default: 10_256,
      help: "UDP port on 127.255.255.255 by which the proxies of this machine know of each other",
    },
    "cluster-dns": {
      type: "string",
      default: "",
      help: "address of the cluster's DNS server, which is then served too; empty: it is not",
    },
    "cluster-domain": { type: "string", default: "cluster.local", help: "domain of the cluster" },
    "resolv-conf": {
      type: "string",
      default: "/etc/resolv.conf",
      help: "its servers are asked for names of other domains; empty: these are refused",
    },
  },
  async start(values, log, tracing): Promise<Running> {
    const mode = await modeOf(values["proxy-mode"], log);
    const [nodeIP = "", secondNodeIP] = addressesOf(values["bind-address"]);
    const nodeName = values["hostname-override"] ?? hostname();
    const client = await connectByFlags(values, `kube-proxy-${nodeName}`, log, {
      program: "kube-proxy",
      tracer: tracing?.tracer,
    });
    const proxy = new KubeProxy({
      client,
      clock: productionClock,
      random: Math.random,
      log,
      nodeName,
      mode,
      ...(mode === "nftables" && { families: await familiesHere(log) }),
      clusterRanges: rangesOf(values["cluster-cidr"]),
      ...{ nodeIP, secondNodeIP },
      peerPort: values["peer-port"],
      instance: randomUUID(),
      dns: {
        address: values["cluster-dns"],
        domain: values["cluster-domain"],
        upstreamFile: values["resolv-conf"] === "" ? undefined : values["resolv-conf"],
      },
    });
    announceTimers("kube-proxy", {}, { log, metrics: processMetrics });
    const metrics = await serveMetrics({
      address: values["metrics-bind-address"],
      ready: {
        "informer-sync": () => (proxy.synced ? undefined : "the caches are not filled"),
        ...(values["cluster-dns"] !== "" && { "dns-server": () => proxy.dnsObstacle }),
      },
    });
    proxy.start().catch((error: unknown) => {
      log.error("kube-proxy could not start its work", { error });
      process.exitCode = 1;
      process.kill(process.pid, "SIGTERM");
    });
    return {
      async stop() {
        await proxy.close();
        await metrics?.close();
        client.close();
      },
    };
  },
});

/** Throws a StatusError when the mode is unknown, or does not work here. */
async function modeOf(text: string, log: Log): Promise<"userspace" | "nftables"> {
  if (text === "userspace") return text;
  if (text !== "nftables" && text !== "auto") {
    throw refused(`--proxy-mode: "${text}" is not one of userspace, nftables, auto`);
  }
  const obstacle = await nftObstacle(runProgram, "IPv4");
  if (obstacle === undefined) return "nftables";
  if (text === "nftables") throw refused(`--proxy-mode nftables: ${obstacle}`);
  log.info("services are proxied in userspace", { reason: obstacle });
  return "userspace";
}

/** A kernel without IPv6 still proxies services of IPv4. */
async function familiesHere(log: Log): Promise<readonly Family[]> {
  const obstacle = await nftObstacle(runProgram, "IPv6");
  if (obstacle === undefined) return families;
  log.info("services of IPv6 are not proxied", { reason: obstacle });
  return ["IPv4"];
}

/** Throws a StatusError when they are not ranges, at most one of a family. */
function rangesOf(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const ranges = text.split(",");
  if (isOnePerFamily(ranges, isRangeOf)) return ranges;
  const wanted = "a range of addresses such as 10.244.0.0/16, or one of each family";
  throw refused(`--cluster-cidr: "${text}" is not ${wanted}`);
}

/** Throws a StatusError when they are not addresses, at most one of a family. */
function addressesOf(text: string): readonly string[] {
  const addresses = text.split(",");
  if (isOnePerFamily(addresses, isOf)) return addresses;
  throw refused(`--bind-address: "${text}" is not an address, or one of each family`);
}

function isOnePerFamily(
  texts: readonly string[],
  isOfFamily: (family: Family, text: string) => boolean,
): boolean {
  const counts = families.map((family) => texts.filter((one) => isOfFamily(family, one)).length);
  const known = counts.reduce((sum, count) => sum + count, 0);
  return known === texts.length && counts.every((count) => count <= 1);
}

function refused(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message);
}

export { kubeProxy as program };
