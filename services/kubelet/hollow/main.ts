/** Hollow nodes as a program. */
import { readFile } from "node:fs/promises";
import { processMetrics } from "../../../ha/runtime/metrics.ts";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { metricsFlags, serveMetrics } from "../../../ha/runtime/production/metrics-server.ts";
import { program, type Running } from "../../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { announceTimers } from "../../../ha/runtime/timers.ts";
import { clientFlags, connectByFlags, type TriremeClient } from "../../client/mod.ts";
import { gitVersion, parseQuantity } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import { parseNodeIPs } from "../node/node-ips.ts";
import { parseLabels, parseTaints } from "../node/node-status.ts";
import { fleetLimits, HollowFleet } from "./fleet.ts";
import { hollowRuntime } from "./pod.ts";
import { parseStages, Stages } from "./stages.ts";

/** Tells hollow nodes from others. */
const hollowLabel = "trireme.dev/hollow";

const hollow = program({
  name: "hollow",
  summary: "stands in for many nodes, whose pods take time and nothing else",
  flags: {
    ...clientFlags,
    ...metricsFlags,
    nodes: { type: "number", required: true, help: `how many, 1 to ${fleetLimits.nodes}` },
    "node-name-prefix": { type: "string", default: "hollow-", help: "a number follows it" },
    "stage-file": {
      type: "string",
      help: "YAML: how long pods take to start, run and stop, and how they end",
    },
    "capacity-cpu": { type: "string", default: "32", help: "quantity that each node claims" },
    "capacity-memory": { type: "string", default: "256Gi", help: "quantity that each claims" },
    "max-pods": { type: "number", default: kubeletLimits.maxPods, help: "pods of each at a time" },
    "node-ip": {
      type: "string",
      default: "127.0.0.1",
      help: "address that each node states, or one of each family, with a comma between",
    },
    "node-labels": {
      type: "string",
      default: "",
      help: `key=value,… added to each node, beside ${hollowLabel}=true`,
    },
    "node-zones": { type: "number", default: 0, help: "zones over which the nodes are dealt out" },
    "register-with-taints": { type: "string", default: "", help: "key=value:effect,…" },
  },
  async start(values, log, tracing): Promise<Running> {
    const count = whole("nodes", values.nodes, 1, fleetLimits.nodes);
    const maxPods = whole("max-pods", values["max-pods"], 1, 253);
    const node = {
      ...parseNodeIPs(values["node-ip"], "--node-ip"),
      port: 0,
      maxPods,
      labels: { [hollowLabel]: "true", ...parseLabels(values["node-labels"], "--node-labels") },
      taints: parseTaints(values["register-with-taints"], "--register-with-taints"),
      capacityCpu: quantity("capacity-cpu", values["capacity-cpu"]),
      capacityMemory: quantity("capacity-memory", values["capacity-memory"]),
      reserved: {},
      runtimeVersion: `${hollowRuntime}://1`,
      kubeletVersion: gitVersion(),
    };
    const zones = whole("node-zones", values["node-zones"], 0, fleetLimits.nodes);
    const file = values["stage-file"];
    const stages = file === undefined ? new Stages() : parseStages(await textOf(file));
    const connect = () =>
      connectByFlags(values, "hollow", log, { program: "kubelet", tracer: tracing?.tracer });
    const clients: [TriremeClient, ...TriremeClient[]] = [await connect()];
    while (clients.length * fleetLimits.nodesPerConnection < count) clients.push(await connect());
    announceTimers("kubelet", {}, { log, metrics: processMetrics });
    const fleet = new HollowFleet({
      ...{ clients, clock: productionClock, log, random: Math.random, count, node, stages, zones },
      namePrefix: values["node-name-prefix"],
    });
    processMetrics.collect("gauge", "hollow_nodes", "Hollow nodes by their state.", () => [
      { labels: { state: "registered" }, value: fleet.registered },
      { labels: { state: "connected" }, value: fleet.connected },
    ]);
    const metrics = await serveMetrics({ address: values["metrics-bind-address"] });
    // Registration waits for the API; being stopped meanwhile must work.
    fleet.start().then(
      () => log.info("all hollow nodes are registered", { nodes: count }),
      (error: unknown) => {
        log.error("the hollow nodes could not start", { error });
        process.exitCode = 1;
        process.kill(process.pid, "SIGTERM");
      },
    );
    return {
      async stop() {
        await fleet.close();
        for (const client of clients) client.close();
        await metrics?.close();
      },
    };
  },
});

export { hollow as program };

function whole(flag: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  const text = `--${flag} ${value}: must be a whole number in ${least}..${most}`;
  throw new StatusError(Code.invalidArgument, text);
}

function quantity(flag: string, text: string): string {
  const nanos = parseQuantity(text)?.nanos;
  if (nanos !== undefined && nanos > 0n) return text;
  throw new StatusError(Code.invalidArgument, `--${flag} ${text}: must be a positive quantity`);
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const message = `--stage-file: ${(error as Error).message}`;
    throw new StatusError(Code.invalidArgument, message);
  }
}
