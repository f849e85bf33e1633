/**
 * Relays HTTP requests to the endpoints behind their hosts and paths: HTTP/1.1 on one port, HTTP/1.1
 * and HTTP/2 over TLS on the other; to the endpoints HTTP/1.1, or HTTP/2 where their port has the
 * appProtocol `kubernetes.io/h2c`. HTTP/2 is that of the balancer's engine. A request is tried on
 * another endpoint only as long as no endpoint has taken its connection.
 */
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
} from "node:http";
import type { Socket } from "node:net";
import {
  createServer as createTlsServer,
  type SecureContext,
  type Server as TlsServer,
} from "node:tls";
import type { Log } from "../../ha/runtime/types.ts";
import { H2cSessions } from "./h2c.ts";
import {
  forwardedHeaders,
  headText,
  type Incoming,
  isPlain,
  type Outgoing,
  targetOf,
} from "./heads.ts";
import { Http2Front } from "./http2-front.ts";
import { ingressLimits as limits } from "./limits.ts";
import { type Endpoint, Relay, refuseWith, type Upstreams } from "./relay.ts";

/** Endpoints in the order to try them, or what is answered instead. */
export type Resolution =
  | { readonly endpoints: readonly Endpoint[] }
  | { readonly status: 404 | 503; readonly message: string };

export interface IngressProxyOptions {
  readonly host: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly resolve: (host: string, path: string) => Resolution;
  readonly contextFor: (host: string) => SecureContext | undefined;
  readonly log: Log;
  /** Called for every answer. */
  readonly answered?: (status: number) => void;
}

export class IngressProxy {
  readonly #options: IngressProxyOptions;
  readonly #upstreams: Upstreams = {
    agent: new Agent({
      keepAlive: true,
      maxFreeSockets: limits.keptConnections,
      timeout: limits.backendSilenceMillis,
    }),
    sessions: new H2cSessions(),
  };
  readonly #plain: Server;
  readonly #secure: TlsServer;
  /** Of the connections of `#secure`, by their protocol. */
  readonly #secureHttp1: Server;
  readonly #secureHttp2: Http2Front;
  readonly #sockets = new Set<Socket>();
  #requests = 0;

  constructor(options: IngressProxyOptions) {
    this.#options = options;
    this.#plain = this.#http1("http");
    this.#secureHttp1 = this.#http1("https");
    // It gets its connections from elsewhere; this makes it watch over their timeouts.
    this.#secureHttp1.emit("listening");
    this.#secureHttp2 = new Http2Front((exchange) => this.#serve(exchange, exchange, "https"));
    this.#secure = createTlsServer(
      {
        ALPNProtocols: ["h2", "http/1.1"],
        minVersion: "TLSv1.2",
        handshakeTimeout: limits.headMillis,
        SNICallback: (host, done) => {
          const context = options.contextFor(host);
          done(context === undefined ? new Error(`no certificate for "${host}"`) : null, context);
        },
      },
      (socket) => {
        // A client that breaks off ends its requests by the "close" that follows.
        socket.on("error", () => undefined);
        if (socket.alpnProtocol === "h2") this.#secureHttp2.accept(socket);
        else this.#secureHttp1.emit("connection", socket);
      },
    );
    // A client that cannot be spoken with is no fault of the proxy.
    this.#secure.on("tlsClientError", (_, socket) => socket.destroy());
    for (const server of [this.#plain, this.#secure]) {
      server.maxConnections = limits.connectionsMax;
      server.on("connection", (socket: Socket) => {
        this.#sockets.add(socket);
        socket.on("close", () => this.#sockets.delete(socket));
      });
    }
  }

  #http1(scheme: string): Server {
    const server = createServer({
      maxHeaderSize: limits.headBytesMax,
      headersTimeout: limits.headMillis,
      // A body may take as long as it moves; see `serve`.
      requestTimeout: 0,
      keepAliveTimeout: limits.idleMillis,
      connectionsCheckingInterval: 1_000,
    });
    server.maxHeadersCount = limits.headFieldsMax;
    server.on("request", (request, response) => this.#serve(request, response, scheme));
    server.on("upgrade", (request: IncomingMessage, socket: Socket, rest: Buffer) => {
      this.#tunnel(request, socket, rest, scheme);
    });
    return server;
  }

  /** The ports that were asked for, or those that were free for 0. Rejects when one is taken. */
  async listen(): Promise<{ readonly http: number; readonly https: number }> {
    const { host, httpPort, httpsPort, log } = this.#options;
    const bind = (server: Server | TlsServer, port: number) =>
      new Promise<number>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          server.on("error", (error) =>
            log.warn("an ingress listener reports an error", { error }),
          );
          resolve((server.address() as { port: number }).port);
        });
      });
    return { http: await bind(this.#plain, httpPort), https: await bind(this.#secure, httpsPort) };
  }

  /** Lets requests end for a while. Idempotent. */
  async close(): Promise<void> {
    const closed = [this.#plain, this.#secure].map(
      (server) => new Promise((resolve) => server.close(resolve)),
    );
    this.#plain.closeIdleConnections();
    this.#secureHttp1.close();
    this.#secureHttp2.drain();
    const end = setTimeout(
      () => {
        for (const socket of this.#sockets) socket.destroy();
      },
      this.#requests === 0 ? 0 : limits.drainMillis,
    );
    await Promise.all(closed);
    clearTimeout(end);
    this.#upstreams.agent.destroy();
    this.#upstreams.sessions.close();
  }

  #serve(request: Incoming, response: Outgoing, scheme: string): void {
    const { answered } = this.#options;
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const refuse = (status: number, message: string) => {
      answered?.(status);
      refuseWith(response, status, message);
    };
    const target = targetOf(request);
    if (target === undefined || !isPlain(request.headers)) {
      refuse(400, "the request's host, path or fields are malformed");
      return;
    }
    if (this.#requests >= limits.requestsMax) {
      refuse(503, `more than ${limits.requestsMax} requests are under way`);
      return;
    }
    const resolution = this.#options.resolve(target.host, target.path);
    if ("status" in resolution) {
      refuse(resolution.status, resolution.message);
      return;
    }
    this.#requests += 1;
    response.on("close", () => {
      this.#requests -= 1;
    });
    const headers = forwardedHeaders(request, target.authority, scheme);
    const relay = new Relay(request, response, this.#upstreams, refuse, answered);
    relay.send(resolution.endpoints.slice(0, limits.attemptsMax), target.url, headers);
  }

  /** A WebSocket, or another protocol in place of HTTP: bytes both ways, once the endpoint agrees. */
  #tunnel(request: IncomingMessage, socket: Socket, rest: Buffer, scheme: string): void {
    socket.on("error", () => socket.destroy());
    const target = targetOf(request);
    const resolution = target && this.#options.resolve(target.host, target.path);
    const [endpoint] =
      resolution !== undefined && "endpoints" in resolution ? resolution.endpoints : [];
    if (target === undefined || endpoint === undefined) {
      const status = target === undefined ? 400 : 503;
      this.#options.answered?.(status);
      socket.end(`HTTP/1.1 ${status} \r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const upstream = httpRequest({
      host: endpoint.ip,
      port: endpoint.port,
      method: request.method,
      path: target.url,
      headers: {
        ...forwardedHeaders(request, target.authority, scheme),
        connection: "upgrade",
        upgrade: request.headers.upgrade,
      },
      timeout: limits.backendSilenceMillis,
      agent: false,
    });
    upstream.on("timeout", () => upstream.destroy());
    upstream.on("error", () => {
      this.#options.answered?.(502);
      socket.end("HTTP/1.1 502 \r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    upstream.on("response", (answer) => {
      this.#options.answered?.(answer.statusCode ?? 0);
      socket.write(headText(answer));
      answer.pipe(socket);
    });
    upstream.on("upgrade", (answer, other, first) => {
      this.#options.answered?.(101);
      socket.write(headText(answer));
      if (first.length > 0) socket.write(first);
      if (rest.length > 0) other.write(rest);
      for (const [one, peer] of [
        [socket, other],
        [other, socket],
      ] as const) {
        one.setTimeout(limits.tunnelIdleMillis, () => one.destroy());
        one.on("error", () => peer.destroy());
        one.on("close", () => peer.destroy());
        one.pipe(peer);
      }
    });
    socket.on("close", () => upstream.destroy());
    upstream.end();
  }
}
