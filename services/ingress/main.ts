/** The ingress controller as a program. */
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { metricsFlags, serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import { program, type Running } from "../../ha/runtime/production/process.ts";
import { clientFlags, connectByFlags } from "../client/mod.ts";
import { IngressController } from "./controller.ts";

const ingress = program({
  name: "ingress",
  summary: "leads HTTP requests to services by their hosts and paths",
  flags: {
    ...clientFlags,
    ...metricsFlags,
    "bind-address": { type: "string", default: "127.0.0.1", help: "address that is served" },
    "http-port": { type: "number", default: 80, help: "port of HTTP" },
    "https-port": { type: "number", default: 443, help: "port of HTTP over TLS" },
    "publish-status-address": {
      type: "string",
      help: "what the status of Ingresses says; default: the address that is served",
    },
    "ingress-class": {
      type: "string",
      default: "trireme",
      help: "name of the class that is made if this controller has none; empty: none is made",
    },
  },
  async start(values, log, tracing): Promise<Running> {
    const client = await connectByFlags(values, "ingress", log, {
      program: "ingress",
      tracer: tracing?.tracer,
    });
    const controller = new IngressController({
      client,
      host: values["bind-address"],
      httpPort: values["http-port"],
      httpsPort: values["https-port"],
      publishAddress: values["publish-status-address"],
      className: values["ingress-class"],
      clock: productionClock,
      log,
      metrics: processMetrics,
    });
    const metrics = await serveMetrics({
      address: values["metrics-bind-address"],
      ready: { "informer-sync": () => (controller.synced ? undefined : "it does not serve yet") },
    });
    controller
      .start()
      .then((ports) => log.info("ingresses are served", { ...ports }))
      .catch((error: unknown) => {
        log.error("the ingress controller could not start its work", { error });
        process.exitCode = 1;
        process.kill(process.pid, "SIGTERM");
      });
    return {
      async stop() {
        await controller.close();
        await metrics?.close();
        client.close();
      },
    };
  },
});

export { ingress as program };
