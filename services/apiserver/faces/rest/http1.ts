/** REST over HTTP/1.1, by `node:http`: for old clients, and for connections to be upgraded. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { PeerIdentity, RequestBytes } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import { badRequest, timeout } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { User } from "../../request-info.ts";
import { errorResponse } from "./answers.ts";
import { bodyTooLarge } from "./bodies.ts";
import { Patience } from "./patience.ts";
import { isStream, type RestHandler, type RestRequest, type RestResponse } from "./types.ts";

/**
 * Takes over the connection of a request with an Upgrade header. The user is authenticated, and not
 * yet authorized; the hook answers errors on the socket itself.
 */
export type OnUpgrade = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  user: User,
  peer: PeerIdentity,
) => void;

export interface Http1Options {
  readonly log: Log;
  readonly handle: RestHandler;
  readonly bodies: RequestBytes;
  readonly headMillis: number;
  readonly bodyMillis: number;
  readonly onUpgrade: OnUpgrade | undefined;
  /** Throws Unauthenticated. */
  readonly userOf: (request: Pick<RestRequest, "peer" | "headers" | "namesWith">) => Promise<User>;
}

const anonymousPeer: PeerIdentity = { certificate: undefined, refusal: undefined };

export class Http1Transport {
  readonly #options: Http1Options;
  readonly #server: Server;
  readonly #peers = new WeakMap<Duplex, PeerIdentity>();
  readonly #upgraded = new Set<Duplex>();

  constructor(options: Http1Options) {
    this.#options = options;
    const { headMillis, bodyMillis } = options;
    this.#server = createServer(
      {
        maxHeaderSize: limits.restHeaderBytes,
        headersTimeout: headMillis,
        requestTimeout: headMillis + bodyMillis,
        connectionsCheckingInterval: Math.min(1_000, headMillis),
      },
      (request, response) => void this.#serve(request, response),
    );
    // Node would drop what is beyond a limit; here such a request is refused.
    this.#server.maxHeadersCount = 0;
    this.#server.keepAliveTimeout = keepAliveMillis;
    // Node checks its timeouts from this event on, and this server listens nowhere itself.
    this.#server.emit("listening");
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      if (declaredBytes(request) <= limits.restBodyBytes) response.writeContinue();
      void this.#serve(request, response);
    });
  }

  accept(socket: Socket, peer: PeerIdentity): void {
    this.#peers.set(socket, peer);
    this.#server.emit("connection", socket);
  }

  /** Idle connections are let go of; the others close with their next answer. */
  drain(): void {
    this.#server.closeIdleConnections();
    this.#server.keepAliveTimeout = 1;
  }

  close(): void {
    this.#server.closeAllConnections();
    // It says that the server does not listen, and ends the checks.
    this.#server.close(() => {});
    for (const socket of this.#upgraded) socket.destroy();
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { log, handle } = this.#options;
    const request = new Http1Request(incoming, outgoing, this.#peerOf(incoming));
    try {
      const refusal = await this.#readBody(request, incoming);
      const response = refusal === undefined ? await handle(request) : errorResponse(refusal);
      if (refusal !== undefined) {
        // What is still to come of the body is not read.
        outgoing.shouldKeepAlive = false;
        outgoing.once("finish", () => incoming.socket.destroySoon());
      }
      await send(response, outgoing);
    } catch (thrown) {
      const { message: error } = StatusError.from(thrown);
      log.debug("a REST request over HTTP/1.1 broke", { target: request.target, error });
      outgoing.destroy();
    }
  }

  /** Undefined, or why the body is refused; rejects when the client has gone. */
  #readBody(request: Http1Request, incoming: IncomingMessage): Promise<StatusError | undefined> {
    const { bodies, bodyMillis } = this.#options;
    const fields = incoming.rawHeaders.length / 2;
    if (fields > limits.restHeaderFields) return Promise.resolve(tooManyFields(fields));
    if (declaredBytes(incoming) > limits.restBodyBytes) return Promise.resolve(bodyTooLarge());
    const pieces: Buffer[] = [];
    let bytes = 0;
    const { promise, resolve, reject } = Promise.withResolvers<StatusError | undefined>();
    const late = timeout(`the body did not come in full within ${bodyMillis} ms`);
    const timer = setTimeout(() => resolve(late), bodyMillis);
    incoming.on("data", (piece: Buffer) => {
      try {
        if (bytes + piece.length > limits.restBodyBytes) throw bodyTooLarge();
        bodies.take(piece.length);
        bytes += piece.length;
        pieces.push(piece);
      } catch (thrown) {
        incoming.pause();
        resolve(StatusError.from(thrown));
      }
    });
    incoming.once("end", () => {
      request.body = Buffer.concat(pieces);
      resolve(undefined);
    });
    incoming.once("error", reject);
    return promise.finally(() => {
      clearTimeout(timer);
      bodies.give(bytes);
      incoming.removeAllListeners("data");
    });
  }

  #peerOf(incoming: IncomingMessage): PeerIdentity {
    return this.#peers.get(incoming.socket) ?? anonymousPeer;
  }

  #upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { onUpgrade, userOf, log } = this.#options;
    this.#upgraded.add(socket);
    socket.once("close", () => this.#upgraded.delete(socket));
    socket.on("error", (error) =>
      log.debug("an upgraded connection broke", { error: error.message }),
    );
    const identified = userOf({
      peer: this.#peerOf(incoming),
      headers: (name) => valuesOf(incoming, name),
      namesWith: (prefix) => namesWith(incoming, prefix),
    });
    identified
      .then((user) => {
        if (onUpgrade !== undefined) {
          return onUpgrade(incoming, socket, head, user, this.#peerOf(incoming));
        }
        throw new StatusError(Code.unimplemented, "upgrades are not served here");
      })
      .catch((thrown: unknown) => writeError(socket, thrown));
  }
}

function tooManyFields(count: number): StatusError {
  return badRequest(
    `the request has ${count} header fields, at most ${limits.restHeaderFields} are taken`,
  );
}

const keepAliveMillis = 90_000;

/** An error as a whole response on a raw socket, which it ends. */
export function writeError(socket: Duplex, thrown: unknown): void {
  const { status, headers, body } = errorResponse(thrown);
  const bytes = isStream(body) ? Buffer.alloc(0) : body;
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.write(
    `HTTP/1.1 ${status} \r\n${lines}content-length: ${bytes.length}\r\nconnection: close\r\n\r\n`,
  );
  socket.end(bytes);
}

function declaredBytes(incoming: IncomingMessage): number {
  return Number(incoming.headers["content-length"] ?? 0);
}

function namesWith({ headers }: IncomingMessage, prefix: string): readonly string[] {
  return Object.keys(headers).filter((name) => name.startsWith(prefix));
}

function valuesOf(incoming: IncomingMessage, name: string): readonly string[] {
  return incoming.headersDistinct[name] ?? [];
}

class Http1Request implements RestRequest {
  readonly method: string;
  readonly target: string;
  readonly peer: PeerIdentity;
  body: Uint8Array = new Uint8Array();
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  #controller: AbortController | undefined;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, peer: PeerIdentity) {
    this.method = incoming.method ?? "";
    this.target = incoming.url ?? "";
    this.peer = peer;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  header(name: string): string | undefined {
    return valuesOf(this.#incoming, name)[0];
  }

  headers(name: string): readonly string[] {
    return valuesOf(this.#incoming, name);
  }

  namesWith(prefix: string): readonly string[] {
    return namesWith(this.#incoming, prefix);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#outgoing.destroyed) controller.abort();
      this.#outgoing.once("close", () => controller.abort());
    }
    return this.#controller.signal;
  }
}

async function send(
  { status, headers, body, isDocument }: RestResponse,
  outgoing: ServerResponse,
): Promise<void> {
  const all = new Map<string, string[]>();
  for (const [name, value] of headers) all.set(name, [...(all.get(name) ?? []), value]);
  for (const [name, values] of all) {
    const [only = ""] = values;
    outgoing.setHeader(name, values.length === 1 ? only : values);
  }
  outgoing.writeHead(status);
  if (!isStream(body)) {
    outgoing.end(body);
    return;
  }
  outgoing.flushHeaders();
  const patience = isDocument ? new Patience(() => outgoing.destroy()) : undefined;
  for await (const piece of body) {
    if (outgoing.destroyed) return;
    if (outgoing.write(piece)) continue;
    patience?.begin();
    await drained(outgoing);
    patience?.end();
  }
  outgoing.end();
}

/** The client has taken what was written, or has gone. */
function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}
