/**
 * `npm run load -- [put|get] [--seconds 10] [--clients 32]`: closed-loop load on a running cluster,
 * through its balancer. Each client has one call under way; a put is a new ConfigMap of 256 bytes.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLog } from "../../ha/runtime/production/log.ts";
import { refuse, toolArguments, wholeNumber } from "../../ha/runtime/production/tool.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { connectClient, type TriremeClient } from "../client/mod.ts";

const { values, choice: profile } = toolArguments(
  {
    name: "load",
    usage: "npm run load -- [put|get] [--seconds 10] [--clients 32] [--data-dir .trireme] [--json]",
    choices: ["put", "get"],
    flags: {
      "data-dir": { type: "string", default: ".trireme", help: "of the running cluster" },
      seconds: { type: "number", default: 10, help: "how long, 1 to 3600" },
      clients: { type: "number", default: 32, help: "calls under way at a time, 1 to 1024" },
      json: { type: "boolean", default: false, help: "the result as JSON" },
    },
  },
  process.argv.slice(2),
);
const seconds = wholeNumber("load", "seconds", values.seconds, 1, 3_600);
const clients = wholeNumber("load", "clients", values.clients, 1, 1_024);

const directory = resolve(process.env["INIT_CWD"] ?? process.cwd(), values["data-dir"]);
const endpoints = readEndpoints(join(directory, "endpoints.json"));
const pem = (file: string) => readFileSync(file, "utf8");
const client = connectClient({
  servers: [endpoints.grpc],
  tls: { ca: pem(endpoints.ca), cert: pem(endpoints.clientCert), key: pem(endpoints.clientKey) },
  log: createLog({}, { level: "silent" }),
  identity: "load",
});
const run = Date.now().toString(36);
const namespace = `load-${run}`;
await client.namespaces.create({ metadata: { name: namespace } });
try {
  await measure(client);
} finally {
  await client.namespaces.delete(namespace);
  client.close();
}

async function measure(api: TriremeClient): Promise<void> {
  const value = "x".repeat(256);
  await api.configMaps.create({ metadata: { name: "first", namespace }, data: { value } });
  const latencies: number[] = [];
  const errors = new Map<string, number>();
  const end = performance.now() + seconds * 1000;
  const startedAt = performance.now();
  const work = async (worker: number) => {
    for (let i = 0; performance.now() < end; i++) {
      const before = performance.now();
      try {
        if (profile === "get") await api.configMaps.get("first", namespace);
        else {
          const metadata = { name: `put-${worker}-${i}`, namespace };
          await api.configMaps.create({ metadata, data: { value } });
        }
        latencies.push(performance.now() - before);
      } catch (error) {
        const { message } = StatusError.from(error);
        errors.set(message, (errors.get(message) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, worker) => work(worker)));
  const took = (performance.now() - startedAt) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    Number(
      (
        latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
      ).toFixed(2),
    );
  const result = {
    profile,
    clients,
    seconds: Number(took.toFixed(1)),
    perSecond: Math.round(latencies.length / took),
    millis: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
    errors: Object.fromEntries(errors),
  };
  if (values.json) console.log(JSON.stringify(result, null, 2));
  else {
    const { p50, p90, p99, max } = result.millis;
    console.log(
      `${profile}: ${result.perSecond}/s with ${clients} clients over ${result.seconds} s`,
    );
    console.log(`latency in ms: p50 ${p50} · p90 ${p90} · p99 ${p99} · max ${max}`);
    console.log(`errors: ${errors.size === 0 ? "none" : JSON.stringify(result.errors)}`);
    console.log();
  }
  if (errors.size > 0) process.exitCode = 1;
}

function readEndpoints(file: string) {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Record<
      "grpc" | "ca" | "clientCert" | "clientKey",
      string
    >;
  } catch (error) {
    return refuse(
      "load",
      `no running cluster: ${(error as Error).message}; run npm start, or name --data-dir`,
    );
  }
}
