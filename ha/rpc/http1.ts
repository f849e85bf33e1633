/** HTTP/1.1 on a gRPC port: for probes and scrapers, which ask little and seldom. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";
import { rpcLimits } from "./limits.ts";
import type { PeerIdentity } from "./listener.ts";

export class Http1 {
  readonly #server: Server;
  readonly #refusals = new WeakMap<Socket, string>();

  constructor(handler: RequestListener) {
    const { http1HeaderBytes: maxHeaderSize, http1RequestMillis: requestTimeout } = rpcLimits;
    const timeouts = { requestTimeout, headersTimeout: requestTimeout };
    const options = { maxHeaderSize, ...timeouts, connectionsCheckingInterval: 1_000 };
    this.#server = createServer(options, (request, response) => {
      const refusal = this.#refusals.get(request.socket);
      // These pages are read only: every method but GET and HEAD is refused.
      if (refusal === undefined && (request.method === "GET" || request.method === "HEAD")) {
        handler(request, response);
        return;
      }
      response.writeHead(refusal === undefined ? 405 : 401, { connection: "close" });
      response.end(`${refusal ?? `${request.method}: only GET is served`}\n`);
    });
    this.#server.keepAliveTimeout = requestTimeout;
    // Node checks its timeouts from this event on, and this server listens nowhere itself.
    this.#server.emit("listening");
    this.#server.maxHeadersCount = rpcLimits.metadataFields;
    // The server gets its connections from elsewhere; this makes it watch over their timeouts.
    this.#server.emit("listening");
  }

  accept(socket: Socket, peer: PeerIdentity): void {
    if (peer.refusal !== undefined) this.#refusals.set(socket, peer.refusal);
    this.#server.emit("connection", socket);
  }

  /** Lets go of connections that have asked nothing lately. */
  drain(): void {
    this.#server.closeIdleConnections();
  }
}
