/**
 * One UDP service port. Each client address has an association: a socket of its own towards one
 * endpoint, by which answers find their way back; it ends after a silence.
 */
import { createSocket, type Socket } from "node:dgram";
import { isWithoutIPv6, mappedAddress } from "../../ha/runtime/production/mapped-address.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { plainAddress } from "./addresses.ts";
import type { Balance } from "./balance.ts";
import type { Target } from "./endpoints.ts";
import { proxyLimits } from "./limits.ts";
import type { PortListener } from "./listener.ts";
import type { Rule } from "./rules.ts";

interface Association {
  readonly socket: Socket;
  readonly target: Target;
  timer: NodeJS.Timeout;
}

export class UdpListener implements PortListener {
  readonly #rule: Rule;
  readonly #balance: Balance;
  readonly #log: Log;
  readonly #clients = new Map<string, Association>();
  #socket: Socket | undefined;
  /** Before all proxies that listen on the mapped address only. */
  #front: Socket | undefined;
  #closed = false;

  constructor(rule: Rule, balance: Balance, log: Log) {
    this.#rule = rule;
    this.#balance = balance;
    this.#log = log;
  }

  async listen(): Promise<void> {
    const { ip } = this.#rule;
    const mapped = mappedAddress(ip);
    try {
      this.#socket = await this.#open(mapped ?? ip);
    } catch (error) {
      if (mapped === undefined || !isWithoutIPv6(error)) throw error;
      this.#socket = await this.#open(ip);
    }
    if (this.#closed) this.#socket.close();
  }

  async standIn(): Promise<void> {
    const { ip } = this.#rule;
    if (this.#front !== undefined || mappedAddress(ip) === undefined) return;
    const front = await this.#open(ip);
    if (this.#closed || this.#front !== undefined) front.close();
    else this.#front = front;
  }

  stepBack(): void {
    const front = this.#front;
    this.#front = undefined;
    if (front !== undefined) setImmediate(() => front.close());
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
    this.#socket?.close();
    this.#front?.close();
    for (const client of [...this.#clients.keys()]) this.#drop(client);
  }

  #open(address: string): Promise<Socket> {
    const { port, key } = this.#rule;
    const socket = createSocket({ type: address.includes(":") ? "udp6" : "udp4", reusePort: true });
    socket.on("message", (bytes, from) => this.#forward(bytes, from.address, from.port));
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        socket.close();
        reject(error);
      };
      socket.once("error", fail);
      socket.bind({ address, port }, () => {
        socket.off("error", fail);
        socket.on("error", (error) => {
          this.#log.warn("a service listener reports an error", { error, rule: key });
        });
        resolve(socket);
      });
    });
  }

  /** Answers leave by the first listener: it stays, and its address is the service's. */
  #answer(bytes: Uint8Array, port: number, client: string): void {
    const socket = this.#socket;
    if (this.#closed || socket === undefined) return;
    const isMapped = socket.address().family === "IPv6";
    socket.send(bytes, port, isMapped ? (mappedAddress(client) ?? client) : client);
  }

  #forward(bytes: Buffer, from: string, port: number): void {
    const address = plainAddress(from);
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
      this.#answer(bytes, port, address);
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
