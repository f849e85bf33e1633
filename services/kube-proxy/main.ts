/** The service proxy of one node as a program. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { metricsFlags, serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import { program, type Running } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { announceTimers } from "../../ha/runtime/timers.ts";
import { clientFlags, connectByFlags } from "../client/mod.ts";
import { KubeProxy } from "./kube-proxy.ts";

const kubeProxy = program({
  name: "kube-proxy",
  summary: "leads connections to service addresses to the pods behind them",
  flags: {
    ...clientFlags,
    ...metricsFlags,
    "hostname-override": { type: "string", help: "name of the node; default: the host's name" },
    "proxy-mode": { type: "string", default: "userspace", help: "userspace" },
    "bind-address": {
      type: "string",
      default: "127.0.0.1",
      help: "address on which node ports are opened; the proxies of one machine may share it",
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
    if (values["proxy-mode"] !== "userspace") {
      throw new StatusError(
        Code.invalidArgument,
        `--proxy-mode: "${values["proxy-mode"]}" is not supported; there is userspace`,
      );
    }
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
      nodeIP: values["bind-address"],
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

export { kubeProxy as program };
