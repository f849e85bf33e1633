/** The gRPC health checking protocol: grpc/grpc `doc/health-checking.md`. */
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../proto/gen/health.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel } from "../runtime/types.ts";
import { serverStream, unary } from "./handlers.ts";
import type { CallContext, RpcServer } from "./types.ts";

export { ServingStatus };

/** The health of each service. The name "" stands for the server as a whole. */
export class HealthRegistry {
  readonly #statuses = new Map<string, ServingStatus>();
  readonly #watchers = new Map<string, Set<() => void>>();
  #over = false;

  /** The server stops: watches end with their last word, for nothing is to hold a drain up. */
  get over(): boolean {
    return this.#over;
  }

  set(service: string, status: ServingStatus): void {
    if (this.#statuses.get(service) === status) return;
    this.#statuses.set(service, status);
    for (const changed of [...(this.#watchers.get(service) ?? [])]) changed();
  }

  /** Undefined for a service that has never been set. */
  get(service: string): ServingStatus | undefined {
    return this.#statuses.get(service);
  }

  /** Every service becomes NOT_SERVING: the first step of a graceful stop. */
  shutDown(): void {
    this.#over = true;
    for (const service of this.#statuses.keys()) {
      this.#statuses.set(service, ServingStatus.NOT_SERVING);
    }
    for (const watchers of [...this.#watchers.values()]) {
      for (const changed of [...watchers]) changed();
    }
  }

  /** Calls back after every change of one service. */
  watch(service: string, changed: () => void): Cancel {
    const watchers = this.#watchers.get(service) ?? new Set();
    this.#watchers.set(service, watchers);
    const entry = () => changed();
    watchers.add(entry);
    return () => {
      watchers.delete(entry);
      if (watchers.size === 0 && this.#watchers.get(service) === watchers) {
        this.#watchers.delete(service);
      }
    };
  }
}

export function addHealth(server: RpcServer, registry: HealthRegistry): void {
  server.addService(HealthService, healthHandlers(registry));
}

function healthHandlers(registry: HealthRegistry): HealthServer {
  return {
    check: unary<HealthCheckRequest, HealthCheckResponse>(async (request) => {
      const service = request.service ?? "";
      const status = registry.get(service);
      if (status === undefined) {
        throw new StatusError(Code.notFound, `service "${service}" is not known here`);
      }
      return { status };
    }),
    watch: serverStream((request: HealthCheckRequest, context) =>
      watchHealth(registry, request.service ?? "", context),
    ),
  };
}

/**
 * The status now and after every change, until the server stops; of changes in quick succession,
 * the last.
 */
async function* watchHealth(
  registry: HealthRegistry,
  service: string,
  context: CallContext,
): AsyncGenerator<HealthCheckResponse, void> {
  let wake = () => {};
  const cancel = registry.watch(service, () => wake());
  const stop = () => wake();
  context.signal.addEventListener("abort", stop);
  try {
    let sent: ServingStatus | undefined;
    while (!context.signal.aborted) {
      const status = registry.get(service) ?? ServingStatus.SERVICE_UNKNOWN;
      if (status !== sent) {
        sent = status;
        yield { status };
        continue;
      }
      if (registry.over) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    context.signal.removeEventListener("abort", stop);
    cancel();
  }
}
