/**
 * One TCP service port. Bytes are relayed both ways, each direction ends on its own (half-close),
 * and a reset on one side resets the other.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Log } from "../../ha/runtime/types.ts";
import type { Balance } from "./balance.ts";
import { proxyLimits } from "./limits.ts";
import type { Rule, Target } from "./rules.ts";

export interface PortListener {
  /** Rejects when the address cannot be bound. */
  listen(): Promise<void>;
  /** The endpoints have changed. */
  refresh(): void;
  /** Stops listening at once; connections may end within the drain time. */
  close(): void;
  /** Ends everything now. */
  destroy(): void;
}

/** Counts connections over all listeners of a proxy. */
export interface ConnectionBudget {
  used: number;
}

interface Pair {
  readonly client: Socket;
  backend: Socket | undefined;
  target: Target | undefined;
  drain: NodeJS.Timeout | undefined;
}

export class TcpListener implements PortListener {
  readonly #rule: Rule;
  readonly #balance: Balance;
  readonly #budget: ConnectionBudget;
  readonly #log: Log;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();

  constructor(rule: Rule, balance: Balance, budget: ConnectionBudget, log: Log) {
    this.#rule = rule;
    this.#balance = balance;
    this.#budget = budget;
    this.#log = log;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    this.#server.on("connection", (client) => void this.#serve(client));
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      // Every node of a machine binds the same service address: the kernel spreads connections.
      const { ip: host, port } = this.#rule;
      this.#server.listen({ host, port, reusePort: true }, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => {
          this.#log.warn("a service listener reports an error", { error, rule: this.#rule.key });
        });
        resolve();
      });
    });
  }

  refresh(): void {
    for (const pair of this.#pairs) {
      if (pair.target !== undefined && !this.#balance.has(pair.target)) this.#drain(pair);
    }
  }

  close(): void {
    this.#server.close(() => undefined);
    for (const pair of this.#pairs) this.#drain(pair);
  }

  destroy(): void {
    this.#server.close(() => undefined);
    for (const pair of this.#pairs) this.#end(pair);
  }

  async #serve(client: Socket): Promise<void> {
    if (this.#budget.used >= proxyLimits.connectionsMax) {
      this.#log.warn("too many connections; one is refused", { rule: this.#rule.key });
      client.resetAndDestroy();
      return;
    }
    this.#budget.used += 1;
    const pair: Pair = { client, backend: undefined, target: undefined, drain: undefined };
    this.#pairs.add(pair);
    client.on("error", () => this.#end(pair));
    client.on("close", () => this.#closed(pair));
    const address = client.remoteAddress ?? "";
    for (const target of this.#balance.order(address, performance.now())) {
      const backend = await dial(target);
      if (client.destroyed || !this.#pairs.has(pair)) {
        backend?.destroy();
        return this.#end(pair);
      }
      if (backend === undefined) continue;
      this.#balance.chosen(address, target, performance.now());
      pair.backend = backend;
      pair.target = target;
      this.#join(pair, backend);
      return;
    }
    this.#log.debug("no endpoint accepts a connection", { rule: this.#rule.key });
    client.resetAndDestroy();
  }

  #join(pair: Pair, backend: Socket): void {
    const { client } = pair;
    backend.on("error", () => this.#end(pair));
    backend.on("close", () => this.#closed(pair));
    for (const socket of [client, backend]) {
      // Relayed bytes are activity on both sockets, so one timeout speaks for both directions.
      socket.setTimeout(proxyLimits.idleMillis, () => this.#end(pair));
    }
    client.pipe(backend);
    backend.pipe(client);
    client.resume();
  }

  #drain(pair: Pair): void {
    if (pair.drain !== undefined) return;
    pair.drain = setTimeout(() => this.#end(pair), proxyLimits.drainMillis);
    pair.drain.unref();
  }

  /** One side is gone for good: so is the other, after what it has still to be told. */
  #closed(pair: Pair): void {
    const { client, backend } = pair;
    if (client.destroyed && backend !== undefined && !backend.destroyed) backend.destroySoon();
    if (backend?.destroyed && !client.destroyed) client.destroySoon();
    if (client.destroyed && (backend === undefined || backend.destroyed)) this.#forget(pair);
  }

  #end(pair: Pair): void {
    for (const socket of [pair.client, pair.backend]) {
      if (socket !== undefined && !socket.destroyed) socket.resetAndDestroy();
    }
    this.#forget(pair);
  }

  #forget(pair: Pair): void {
    clearTimeout(pair.drain);
    if (this.#pairs.delete(pair)) this.#budget.used -= 1;
  }
}

/** Undefined: refused, unreachable or too slow. */
function dial(target: Target): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: target.ip,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      timeout: proxyLimits.connectMillis,
    });
    const fail = () => {
      socket.destroy();
      resolve(undefined);
    };
    socket.once("error", fail);
    socket.once("timeout", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      socket.off("timeout", fail);
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}
