/**
 * One UDP service port. Each client address has an association: a socket of its own towards one
 * endpoint, by which answers find their way back; it ends after a silence.
 */
import { createSocket, type Socket } from "node:dgram";
import type { Log } from "../../ha/runtime/types.ts";
import type { Balance } from "./balance.ts";
import { proxyLimits } from "./limits.ts";
import type { Rule, Target } from "./rules.ts";
import type { PortListener } from "./tcp.ts";

interface Association {
  readonly socket: Socket;
  readonly target: Target;
  timer: NodeJS.Timeout;
}

export class UdpListener implements PortListener {
  readonly #rule: Rule;
  readonly #balance: Balance;
  readonly #log: Log;
  readonly #socket: Socket;
  readonly #clients = new Map<string, Association>();
  #closed = false;

  constructor(rule: Rule, balance: Balance, log: Log) {
    this.#rule = rule;
    this.#balance = balance;
    this.#log = log;
    this.#socket = createSocket({ type: rule.ip.includes(":") ? "udp6" : "udp4", reusePort: true });
    this.#socket.on("message", (bytes, from) => this.#forward(bytes, from.address, from.port));
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once("error", reject);
      this.#socket.bind({ address: this.#rule.ip, port: this.#rule.port }, () => {
        this.#socket.off("error", reject);
        this.#socket.on("error", (error) => {
          this.#log.warn("a service listener reports an error", { error, rule: this.#rule.key });
        });
        resolve();
      });
    });
  }

  refresh(): void {
    for (const [client, { target }] of this.#clients) {
      if (!this.#balance.has(target)) this.#drop(client);
    }
  }

  close(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    for (const client of [...this.#clients.keys()]) this.#drop(client);
  }

  #forward(bytes: Buffer, address: string, port: number): void {
    const client = `${address}:${port}`;
    const association = this.#clients.get(client) ?? this.#associate(client, address, port);
    if (association === undefined) return;
    association.timer.refresh();
    association.socket.send(bytes, association.target.port, association.target.ip, (error) => {
      // Datagrams may be lost; an endpoint that refuses them is left for another.
      if (error) this.#drop(client);
    });
  }

  #associate(client: string, address: string, port: number): Association | undefined {
    if (this.#clients.size >= proxyLimits.udpClientsMax) {
      this.#log.debug("too many UDP clients; a datagram is dropped", { rule: this.#rule.key });
      return undefined;
    }
    const now = performance.now();
    const [target] = this.#balance.order(address, now);
    if (target === undefined) return undefined;
    this.#balance.chosen(address, target, now);
    const socket = createSocket(target.ip.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => this.#drop(client), proxyLimits.udpIdleMillis);
    timer.unref();
    const association = { socket, target, timer };
    this.#clients.set(client, association);
    socket.on("message", (bytes) => {
      timer.refresh();
      if (!this.#closed) this.#socket.send(bytes, port, address);
    });
    socket.on("error", () => this.#drop(client));
    return association;
  }

  #drop(client: string): void {
    const association = this.#clients.get(client);
    if (association === undefined) return;
    clearTimeout(association.timer);
    association.socket.close();
    this.#clients.delete(client);
  }
}
