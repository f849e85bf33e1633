/**
 * What a load balancer asks a node before it sends traffic of a service with externalTrafficPolicy
 * Local: HTTP on the service's healthCheckNodePort answers 200 if the node has an endpoint of its
 * own, else 503 (upstream `pkg/proxy/healthcheck`).
 */
import { createServer, type Server } from "node:http";
import type { Log } from "../../ha/runtime/types.ts";
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";

export interface HealthCheck {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  /** Ready endpoints on the nodes of the address asked. */
  readonly localEndpoints: number;
}

/** By port; of two services with one port the first name wins. */
export function desiredHealthChecks(
  services: readonly Service[],
  slicesOf: (service: Service) => readonly EndpointSlice[],
  nodesAtAddress: ReadonlySet<string>,
): ReadonlyMap<number, HealthCheck> {
  const nameOf = ({ metadata }: Service) => `${metadata?.namespace}/${metadata?.name}`;
  const checks = new Map<number, HealthCheck>();
  for (const service of services.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const { spec, metadata } = service;
    const port = spec?.healthCheckNodePort;
    const isLocal = spec?.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
    if (!isLocal || !port || checks.has(port)) continue;
    const ready = slicesOf(service)
      .flatMap(({ endpoints = [] }) => endpoints)
      .filter(({ conditions }) => conditions?.ready !== false)
      .filter(({ nodeName }) => nodeName !== undefined && nodesAtAddress.has(nodeName));
    checks.set(port, {
      port,
      namespace: metadata?.namespace ?? "",
      name: metadata?.name ?? "",
      localEndpoints: new Set(ready.map(({ addresses: [first] = [] }) => first)).size,
    });
  }
  return checks;
}

interface Entry {
  check: HealthCheck;
  readonly server: Server;
}

const requestMillisMax = 5_000;

export class HealthCheckServers {
  readonly #host: string;
  readonly #log: Log;
  readonly #entries = new Map<number, Entry>();

  constructor(host: string, log: Log) {
    this.#host = host;
    this.#log = log;
  }

  /** Resolves when every new port is bound; one that cannot be is logged, and tried next time. */
  async apply(desired: ReadonlyMap<number, HealthCheck>): Promise<void> {
    for (const [port, { server }] of this.#entries) {
      if (desired.has(port)) continue;
      this.#entries.delete(port);
      end(server);
    }
    const opened = [...desired.values()].map(async (check) => {
      const known = this.#entries.get(check.port);
      if (known !== undefined) known.check = check;
      else await this.#open(check);
    });
    await Promise.all(opened);
  }

  close(): void {
    for (const { server } of this.#entries.values()) end(server);
    this.#entries.clear();
  }

  async #open(check: HealthCheck): Promise<void> {
    const server = createServer({ requestTimeout: requestMillisMax }, (request, response) => {
      const { namespace, name, localEndpoints } = entry.check;
      const service = { namespace, name };
      const body = JSON.stringify({ service, localEndpoints, serviceProxyHealthy: true });
      request.resume();
      response.writeHead(localEndpoints > 0 ? 200 : 503, {
        "content-type": "application/json",
        "x-load-balancing-endpoint-weight": String(localEndpoints),
      });
      response.end(body);
    });
    const entry: Entry = { check, server };
    const { port, namespace, name } = check;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        // The proxies of nodes that share the address answer alike.
        server.listen({ host: this.#host, port, reusePort: true }, () => {
          server.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      const { message } = error as Error;
      this.#log.warn("a health check port cannot be bound", { port, namespace, name, message });
      return;
    }
    server.on("error", (error) => this.#log.warn("a health check server reports", { port, error }));
    this.#entries.set(port, entry);
  }
}

function end(server: Server): void {
  server.close();
  server.closeAllConnections();
}
