/**
 * One TCP port for HTTP/2 with prior knowledge, or TLS with ALPN `h2`: what stands in front of the
 * gRPC server and of the balancer. It bounds connections and handshakes and knows each peer. Where
 * HTTP/1.1 is served too, ALPN or the first bytes tell which it is.
 */
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, Server as TlsServer } from "node:tls";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import { identityOf } from "./certificate.ts";
import { rpcLimits } from "./limits.ts";
import type { PeerCertificate, ServerTls } from "./types.ts";

export interface ListenerOptions {
  readonly log: Log;
  readonly tls?: ServerTls | undefined;
  readonly maxConnections?: number | undefined;
  /** Accepts the connections that speak HTTP/1.1; without it they are closed. */
  readonly http1?: Accept | undefined;
  /** A client that offers both protocols gets HTTP/2; otherwise such a client gets HTTP/1.1. */
  readonly preferHttp2?: boolean | undefined;
}

type Accept = (socket: Socket, peer: PeerIdentity) => void;

/** The peer's identity, from the TLS handshake. */
export interface PeerIdentity {
  /** Verified; undefined for plaintext or a client without a certificate. */
  readonly certificate: PeerCertificate | undefined;
  /** Why every call of the connection is answered UNAUTHENTICATED; undefined: it is not. */
  readonly refusal: string | undefined;
  /** The peer's IP address. */
  readonly address?: string | undefined;
}

const anonymous: PeerIdentity = { certificate: undefined, refusal: undefined };

export class Listener {
  readonly #server: Server;
  /** Every TCP connection, also while its TLS handshake is under way. */
  readonly #sockets = new Set<Socket>();
  readonly #gone: (() => void)[] = [];
  #stopped = false;

  /** `accept` is given every connection that is ready for the HTTP/2 preface. */
  constructor(options: ListenerOptions, accept: Accept) {
    const { log, tls, http1, preferHttp2 = false } = options;
    const admit = (socket: Socket, peer: PeerIdentity) => {
      // The handshake ended after the listener was stopped.
      if (this.#stopped) return socket.destroy();
      // A reset connection ends its calls through the session's own events.
      socket.on("error", (error) => log.debug("connection failed", { error: error.message }));
      socket.setNoDelay(true);
      const known = { ...peer, address: socket.remoteAddress };
      if (http1 === undefined) accept(socket, known);
      else tellProtocols(socket, (isHttp2) => (isHttp2 ? accept : http1)(socket, known));
    };
    if (tls === undefined) {
      this.#server = createTcpServer((socket) => admit(socket, anonymous));
    } else {
      this.#server = createTlsServer(
        {
          cert: tls.cert,
          key: tls.key,
          ca: tls.clientCa,
          requestCert: true,
          // Node would end a handshake with a foreign certificate without a word; such a client
          // is let in to be told why.
          rejectUnauthorized: false,
          ALPNProtocols: protocolsOf(http1 !== undefined, preferHttp2),
          minVersion: "TLSv1.2",
          handshakeTimeout: rpcLimits.handshakeMillis,
        },
        (socket) => admit(socket, demanded(inspect(socket), tls.clientsRequired)),
      );
      this.#server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
        log.debug("TLS handshake failed", { error: error.message });
        // A handshake that took too long is told here and goes on, unless it is ended.
        socket.destroy();
      });
    }
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#forget(socket));
    });
    this.#server.maxConnections = options.maxConnections ?? rpcLimits.connections;
    // Such as no file descriptor being left; without a listener it would end the process.
    this.#server.on("error", (error) => log.warn("cannot accept", { error: error.message }));
    let dropped = 0;
    this.#server.on("drop", (peer) => {
      // A flood of connections must not become a flood of lines.
      if (++dropped % 100 !== 1) return;
      log.warn("too many connections", { dropped, peer: peer?.remoteAddress });
    });
  }

  /** Shows another certificate to who connects from now on. Throws for one that cannot be used. */
  renewTls({ cert, key, clientCa }: ServerTls): void {
    if (!(this.#server instanceof TlsServer)) {
      throw new StatusError(Code.failedPrecondition, "this listener speaks no TLS");
    }
    this.#server.setSecureContext({ cert, key, ca: clientCa, minVersion: "TLSv1.2" });
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Rejects with a StatusError that names the address. */
  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const why = error.code === "EADDRINUSE" ? "the address is in use" : error.message;
        const text = `cannot listen on ${address.host}:${address.port}: ${why}`;
        reject(new StatusError(Code.unavailable, text, undefined, { cause: error }));
      };
      this.#server.once("error", failed);
      this.#server.listen({ host: address.host, port: address.port, backlog: 1024 }, () => {
        this.#server.removeListener("error", failed);
        const bound = this.#server.address();
        resolve({ port: bound !== null && typeof bound === "object" ? bound.port : address.port });
      });
    });
  }

  /** No new connections; those that are open stay. */
  stop(): void {
    this.#stopped = true;
    // Closing a server that does not listen is an error, and just what is wanted here.
    this.#server.close(() => {});
  }

  /** Calls back when no connection is left. */
  whenEmpty(done: () => void): void {
    if (this.#sockets.size === 0) done();
    else this.#gone.push(done);
  }

  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #forget(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    for (const done of this.#gone.splice(0)) done();
  }
}

/**
 * What every HTTP/2 client says first (RFC 9113 section 3.4); no HTTP/1.1 method begins like it.
 */
const preface = "PRI";
const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
const beginnings = [preface, ...methods.map((method) => `${method} `)];
const beginningBytesMax = Math.max(...beginnings.map(({ length }) => length));

/** Calls back once the client has said enough; one that does not, or speaks neither, is cut off. */
function tellProtocols(socket: Socket, told: (isHttp2: boolean) => void): void {
  const alpn = "alpnProtocol" in socket ? socket.alpnProtocol : false;
  if (typeof alpn === "string") {
    told(alpn === "h2");
    return;
  }
  const cutOff = setTimeout(() => socket.destroy(), rpcLimits.handshakeMillis);
  socket.once("close", () => clearTimeout(cutOff));
  let heard = Buffer.alloc(0);
  const listen = (chunk: Buffer) => {
    heard = Buffer.concat([heard, chunk]);
    const begun = heard.toString("latin1", 0, beginningBytesMax);
    const beginning = beginnings.find((each) => begun.startsWith(each));
    if (beginning === undefined) {
      // A peer that speaks a third protocol could not read an answer in either of these two.
      if (!beginnings.some((each) => each.startsWith(begun))) socket.destroy();
      return;
    }
    clearTimeout(cutOff);
    socket.off("data", listen);
    socket.pause();
    socket.unshift(heard);
    told(beginning === preface);
    socket.resume();
  };
  socket.on("data", listen);
}

/** A gRPC client offers h2 alone; one that offers both came to look at a page. */
function protocolsOf(http1: boolean, preferHttp2: boolean): string[] {
  if (!http1) return ["h2"];
  return preferHttp2 ? ["h2", "http/1.1"] : ["http/1.1", "h2"];
}

/** Checks that the server makes beyond the validity of a client's certificate. */
function demanded(identity: PeerIdentity, required: ServerTls["clientsRequired"]): PeerIdentity {
  if (required === undefined || identity.refusal !== undefined) return identity;
  const { certificate } = identity;
  if (certificate === undefined) {
    return { certificate, refusal: "a client certificate is required here" };
  }
  const { organization } = required;
  if (organization === undefined || certificate.organizations.includes(organization)) {
    return identity;
  }
  const refusal = `the client certificate is not of the organization ${organization}`;
  return { certificate: undefined, refusal };
}

function inspect(socket: TLSSocket): PeerIdentity {
  const certificate = socket.getPeerCertificate();
  if (certificate === null || Object.keys(certificate).length === 0) return anonymous;
  if (!socket.authorized) {
    const reason = String(socket.authorizationError ?? "not verified");
    const why = certificateReasons[reason] ?? reason;
    return {
      certificate: undefined,
      refusal: `client certificate is not signed by this cluster's CA: ${why} (${reason})`,
    };
  }
  // Node parses the certificate anew at every call; handlers ask once a call.
  socket.getPeerCertificate = (() => certificate) as typeof socket.getPeerCertificate;
  return { certificate: identityOf(certificate), refusal: undefined };
}

/** OpenSSL's verification errors in words, for those a client may cause by mistake. */
const certificateReasons: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its issuer is unknown",
  UNABLE_TO_GET_ISSUER_CERT: "its issuer is unknown",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its issuer is unknown",
  DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "its chain ends in a foreign CA",
  CERT_HAS_EXPIRED: "it has expired",
  CERT_NOT_YET_VALID: "it is not valid yet",
  CERT_SIGNATURE_FAILURE: "its signature does not match",
  INVALID_PURPOSE: "it is not meant for clients",
};
