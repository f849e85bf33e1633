/** A port of a process for what watches over it: `/metrics` and health, over HTTP/1.1. */
import { createServer, type ServerResponse } from "node:http";
import { answerCheck, answerChecks, type HealthChecks } from "../health-checks.ts";
import { type MetricsRegistry, metricsContentType, processMetrics } from "../metrics.ts";
import { Code, StatusError } from "../status-error.ts";
import { addProcessMetrics } from "./process-metrics.ts";

export const metricsFlags = {
  "metrics-bind-address": {
    type: "string",
    help: "host:port of /metrics and health over plain HTTP; absent: they are not served",
  },
} as const;

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

export interface MetricsServerOptions {
  /** `host:port`, as the flag has it; undefined: nothing is served. */
  readonly address: string | undefined;
  readonly registry?: MetricsRegistry;
  /** Whether the process lives: of `/livez` and `/healthz`. */
  readonly live?: HealthChecks;
  /** Whether it does its work: of `/readyz`, beside those. */
  readonly ready?: HealthChecks;
}

const requestMillis = 10_000;
const connectionsMax = 100;

/** Rejects with a StatusError that names the address. */
export async function serveMetrics(
  options: MetricsServerOptions,
): Promise<MetricsServer | undefined> {
  const { address, registry = processMetrics } = options;
  if (address === undefined) return undefined;
  const { host, port } = parsed(address);
  const endMeasuring = measured(registry);
  const live: HealthChecks = { ping: () => undefined, ...options.live };
  const checks: Readonly<Record<string, HealthChecks>> = {
    livez: live,
    healthz: live,
    readyz: { ...live, ...options.ready },
  };
  const answer = async (url: URL, response: ServerResponse): Promise<void> => {
    if (url.pathname === "/metrics") return say(response, 200, registry.text(), metricsContentType);
    const [, name = "", check] = url.pathname.split("/");
    const named = Object.hasOwn(checks, name) ? checks[name] : undefined;
    const one =
      check !== undefined && named && Object.hasOwn(named, check) ? named[check] : undefined;
    if (named === undefined || (check !== undefined && one === undefined)) {
      return say(response, 404, "404 page not found\n", plainText);
    }
    const { searchParams } = url;
    const asked = {
      verbose: searchParams.has("verbose"),
      exclude: searchParams.getAll("exclude"),
    };
    const { status, text } = one ? await answerCheck(one) : await answerChecks(name, named, asked);
    say(response, status, text, plainText);
  };
  const timeouts = { requestTimeout: requestMillis, headersTimeout: requestMillis };
  const server = createServer({ ...timeouts, maxHeaderSize: 16 * 1024 }, (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return say(response, 405, `${request.method}: only GET is served\n`, plainText);
    }
    answer(new URL(request.url ?? "/", "http://process"), response).catch((thrown: unknown) => {
      say(response, 500, `${StatusError.from(thrown).message}\n`, plainText);
    });
  });
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const text = `--metrics-bind-address ${address}: ${error.message}`;
      reject(new StatusError(Code.unavailable, text));
    });
    server.listen({ host, port }, resolve);
  });
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : port,
    async close() {
      endMeasuring();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const measuring = new WeakSet<MetricsRegistry>();

/** A registry that is served twice has the metrics of the process once. */
function measured(registry: MetricsRegistry): () => void {
  if (measuring.has(registry)) return () => {};
  measuring.add(registry);
  return addProcessMetrics(registry);
}

const plainText = "text/plain; charset=utf-8";

function say(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" });
  response.end(text);
}

function parsed(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(address);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host !== undefined && port <= 65_535) return { host, port };
  throw new StatusError(
    Code.invalidArgument,
    `--metrics-bind-address ${address}: must be host:port, e.g. 127.0.0.1:10249`,
  );
}
