import type { Socket } from "node:net";
import { attachSocket } from "../http2/mod.ts";
import { Listener, type PeerIdentity } from "../rpc/listener.ts";
import type { ServerTls } from "../rpc/types.ts";
import type { Log } from "../runtime/types.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { BalancerLimits } from "./limits.ts";

export interface ClientListenerOptions {
  readonly tls?: ServerTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** Serves an HTTP/2 connection. */
  connect(peer: PeerIdentity): ClientConnection;
  /** Serves HTTP/1.1 connections; absent: none are taken. */
  readonly http1?: Http1Clients | undefined;
}

export interface Http1Clients {
  accept(socket: Socket, peer: PeerIdentity): void;
  /** Each connection closes after its present request. */
  drain(): void;
}

/** Accepts the connections of the clients of one port. */
export class ClientListener {
  readonly #listener: Listener;
  readonly #http1: Http1Clients | undefined;
  readonly #clients = new Set<ClientConnection>();

  constructor(options: ClientListenerOptions) {
    const { log, tls, limits, http1 } = options;
    this.#http1 = http1;
    const accept = (socket: Socket, peer: PeerIdentity) => {
      const client = options.connect(peer);
      this.#clients.add(client);
      socket.on("close", () => this.#clients.delete(client));
      attachSocket(client.connection, socket, { writeAfter: "read" });
    };
    const accept1 = http1 && ((socket: Socket, peer: PeerIdentity) => http1.accept(socket, peer));
    const maxConnections = limits.connections;
    const more = { maxConnections, http1: accept1, preferHttp2: true };
    this.#listener = new Listener({ log, tls, ...more }, accept);
  }

  get connections(): number {
    return this.#listener.connections;
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  /** Takes no new connections and tells the open ones (GOAWAY); each closes after its last call. */
  stop(): void {
    this.#listener.stop();
    for (const client of this.#clients) client.connection.shutdown();
    this.#http1?.drain();
  }

  /** Calls back when no connection is left. */
  whenEmpty(done: () => void): void {
    this.#listener.whenEmpty(done);
  }

  destroy(): void {
    this.#listener.stop();
    this.#listener.destroyConnections();
  }
}
