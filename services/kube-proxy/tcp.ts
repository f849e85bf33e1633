/**
 * One TCP service port. Bytes are relayed both ways, each direction ends on its own (half-close),
 * and a reset on one side resets the other.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { isWithoutIPv6, mappedAddress } from "../../ha/runtime/production/mapped-address.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { plainAddress } from "./addresses.ts";
import type { Balance } from "./balance.ts";
import { podAddressOfClient } from "./client-process.ts";
import type { Target } from "./endpoints.ts";
import { proxyLimits } from "./limits.ts";
import type { PortListener } from "./listener.ts";
import type { Rule } from "./rules.ts";

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
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  /** Before all proxies that listen on the mapped address only. */
  #front: Server | undefined;
  #stopped = false;

  constructor(rule: Rule, balance: Balance, budget: ConnectionBudget, log: Log) {
    this.#rule = rule;
    this.#balance = balance;
    this.#budget = budget;
    this.#log = log;
  }

  async listen(): Promise<void> {
    const { ip } = this.#rule;
    const mapped = mappedAddress(ip);
    try {
      this.#server = await this.#open(mapped ?? ip);
    } catch (error) {
      if (mapped === undefined || !isWithoutIPv6(error)) throw error;
      this.#server = await this.#open(ip);
    }
    if (this.#stopped) this.#server.close();
  }

  async standIn(): Promise<void> {
    const { ip } = this.#rule;
    if (this.#front !== undefined || mappedAddress(ip) === undefined) return;
    const front = await this.#open(ip);
    if (this.#stopped || this.#front !== undefined) front.close();
    else this.#front = front;
  }

  stepBack(): void {
    const front = this.#front;
    this.#front = undefined;
    // The check phase comes after every waiting connection has been accepted.
    if (front !== undefined) setImmediate(() => front.close());
  }

  refresh(): void {
    for (const pair of this.#pairs) {
      if (pair.target !== undefined && !this.#balance.has(pair.target)) this.#drain(pair);
    }
  }

  close(): void {
    this.#stopListening();
    for (const pair of this.#pairs) this.#drain(pair);
  }

  destroy(): void {
    this.#stopListening();
    for (const pair of this.#pairs) this.#end(pair);
  }

  #stopListening(): void {
    this.#stopped = true;
    this.#server?.close();
    this.#front?.close();
    this.#front = undefined;
  }

  #open(host: string): Promise<Server> {
    const { port, key } = this.#rule;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.on("connection", (client) => void this.#serve(client));
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, reusePort: true }, () => {
        server.off("error", reject);
        server.on("error", (error) => {
          this.#log.warn("a service listener reports an error", { error, rule: key });
        });
        resolve(server);
      });
    });
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
    const address = await this.#originOf(client);
    for (const target of this.#balance.order(address, performance.now())) {
      const backend = await dial(target, client);
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

  /** The client's address, or its pod's where that matters and can be found out. */
  async #originOf({ remoteAddress, remotePort = 0 }: Socket): Promise<string> {
    const ip = plainAddress(remoteAddress ?? "");
    if (!this.#balance.wantsOrigin(ip)) return ip;
    const { ip: own, port } = this.#rule;
    return (await podAddressOfClient({ ip, port: remotePort }, { ip: own, port })) ?? ip;
  }

  #join(pair: Pair, backend: Socket): void {
    const { client } = pair;
    backend.on("error", () => this.#end(pair));
    backend.on("close", () => this.#closed(pair));
    for (const socket of [client, backend]) {
      // Relayed bytes are activity on both sockets, so one timeout speaks for both directions.
      socket.setTimeout(proxyLimits.idleMillis, () => this.#end(pair));
    }
    relay(client, backend);
    backend.on("drain", () => client.resume());
    client.on("drain", () => backend.resume());
    client.on("end", () => backend.end());
    backend.on("end", () => client.end());
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

/** Bytes of the client; `pipe` would do the same with more listeners. */
function relay(client: Socket, backend: Socket): void {
  client.on("data", (piece) => {
    if (!backend.write(piece)) client.pause();
  });
}

/** What any endpoint has sent is read into here, and copied at once: a stream costs more. */
const received = Buffer.allocUnsafe(65_536);

/** Undefined: refused, unreachable or too slow. What the endpoint sends goes to the client. */
function dial(target: Target, client: Socket): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: target.ip,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      timeout: proxyLimits.connectMillis,
      onread: {
        buffer: received,
        // False pauses the endpoint until the client has drained.
        callback: (bytes) => client.write(Buffer.from(received.subarray(0, bytes))),
      },
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
