/** The cluster's DNS as a program of its own; usually a node's kube-proxy serves it. */
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { metricsFlags, serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import { program, type Running } from "../../ha/runtime/production/process.ts";
import { clientFlags, connectByFlags, InformerFactory } from "../client/mod.ts";
import { ClusterDns } from "./cluster-dns.ts";

const dns = program({
  name: "dns",
  summary: "answers for the names of services and pods",
  flags: {
    ...clientFlags,
    ...metricsFlags,
    "bind-address": { type: "string", default: "127.0.0.1", help: "address that is served" },
    port: { type: "number", default: 53, help: "UDP and TCP port" },
    "cluster-domain": { type: "string", default: "cluster.local", help: "domain of the cluster" },
    "resolv-conf": {
      type: "string",
      default: "/etc/resolv.conf",
      help: "its servers are asked for names of other domains; empty: these are refused",
    },
  },
  async start(values, log, tracing): Promise<Running> {
    const client = await connectByFlags(values, "dns", log, {
      program: "dns",
      tracer: tracing?.tracer,
    });
    const informers = new InformerFactory({ client, log, clock: productionClock });
    const server = new ClusterDns({
      informers,
      address: values["bind-address"],
      port: values.port,
      domain: values["cluster-domain"],
      upstreamFile: values["resolv-conf"] === "" ? undefined : values["resolv-conf"],
      clock: productionClock,
      log,
      metrics: processMetrics,
    });
    const metrics = await serveMetrics({
      address: values["metrics-bind-address"],
      ready: { "dns-server": () => server.obstacle },
    });
    const stop = new AbortController();
    informers.start(stop.signal);
    server.start(stop.signal).catch((error: unknown) => {
      if (stop.signal.aborted) return;
      log.error("the DNS server could not start its work", { error });
      process.exitCode = 1;
      process.kill(process.pid, "SIGTERM");
    });
    return {
      async stop() {
        stop.abort();
        server.close();
        await informers.ended();
        await metrics?.close();
        client.close();
      },
    };
  },
});

export { dns as program };
