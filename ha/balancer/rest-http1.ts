/**
 * Clients that speak REST over HTTP/1.1: old ones, and those that upgrade. Their requests go to the
 * masters over HTTP/2 like all others.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { PeerIdentity } from "../rpc/listener.ts";
import { Code } from "../runtime/status-error.ts";
import type { IncomingCall, IncomingHandlers } from "./calls.ts";
import type { Http1Clients } from "./client-listener.ts";
import { refusalOf } from "./identity.ts";
import type { BalancerLimits } from "./limits.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { restErrorOf } from "./rest-errors.ts";
import { type RestHead, RestReader } from "./rest-head.ts";

export interface RestHttp1Options {
  readonly limits: BalancerLimits;
  call(call: IncomingCall): void;
  upgrade(upgrade: Upgrade): void;
}

/** A request to turn the connection into one of another protocol. */
export interface Upgrade {
  readonly head: RestHead;
  /** The protocol that it is to become. */
  readonly protocol: string;
  readonly refusal: string | undefined;
  readonly socket: Socket;
  /** What the client has sent behind its request. */
  readonly rest: Buffer;
}

interface Client {
  readonly reader: RestReader;
  readonly refusal: string | undefined;
}

export class RestHttp1 implements Http1Clients {
  readonly #server: Server;
  readonly #options: RestHttp1Options;
  readonly #clients = new WeakMap<Socket, Client>();
  readonly #calls = new Set<Http1Call>();
  #draining = false;

  constructor(options: RestHttp1Options) {
    this.#options = options;
    const { limits } = options;
    const server = createServer({
      maxHeaderSize: limits.restHeaderBytes,
      headersTimeout: limits.http1HeadMillis,
      requestTimeout: limits.requestBodyMillis,
      keepAliveTimeout: limits.http1IdleMillis,
      connectionsCheckingInterval: Math.min(1_000, limits.http1HeadMillis),
    });
    // Node would drop fields beyond its limit without a word.
    server.maxHeadersCount = 0;
    server.on("request", (request, response) => this.#take(request, response));
    server.on("upgrade", (request, socket, rest) => this.#upgrade(request, socket as Socket, rest));
    // The server gets its connections from elsewhere; this makes it watch over their timeouts.
    server.emit("listening");
    this.#server = server;
  }

  accept(socket: Socket, peer: PeerIdentity): void {
    const reader = new RestReader(peer.certificate, this.#options.limits, peer.address);
    this.#clients.set(socket, { reader, refusal: refusalOf(peer) });
    this.#server.emit("connection", socket);
  }

  drain(): void {
    this.#draining = true;
    // Idle connections are closed, and the timeouts are no longer watched.
    this.#server.close();
    for (const call of this.#calls) call.lastOfConnection();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { limits } = this.#options;
    const client = this.#clients.get(request.socket);
    const head = client && headOf(request, client.reader, limits);
    if (client === undefined || head === undefined) {
      answer(response, restErrorOf(Code.invalidArgument, malformed(limits), limits));
      return;
    }
    const call = new Http1Call(request, response, { head, refusal: client.refusal, limits });
    if (this.#draining) call.lastOfConnection();
    this.#calls.add(call);
    response.on("close", () => this.#calls.delete(call));
    this.#options.call(call);
  }

  #upgrade(request: IncomingMessage, socket: Socket, rest: Buffer): void {
    const { limits } = this.#options;
    const client = this.#clients.get(socket);
    const head = client && headOf(request, client.reader, limits);
    const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
    if (client === undefined || head === undefined || length !== "0" || encoding !== undefined) {
      const text = `${malformed(limits)}; a request for an upgrade has no body`;
      refuseUpgrade(socket, restErrorOf(Code.invalidArgument, text, limits));
      return;
    }
    const { upgrade: protocol = "" } = request.headers;
    this.#options.upgrade({ head, protocol, refusal: client.refusal, socket, rest });
  }
}

function malformed({ restHeaderFields }: BalancerLimits): string {
  const fields = `a request has at most ${restHeaderFields} fields`;
  return `${fields}, and a path in printable ASCII as its target`;
}

/** Undefined: the request is malformed. */
function headOf(
  request: IncomingMessage,
  reader: RestReader,
  { restHeaderFields }: BalancerLimits,
): RestHead | undefined {
  const path = pathOf(request.url ?? "");
  const { rawHeaders } = request;
  if (path === undefined || rawHeaders.length > 2 * restHeaderFields) return undefined;
  const fields = [":method", request.method ?? "", ":path", path];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    fields.push((rawHeaders[at] as string).toLowerCase(), rawHeaders[at + 1] as string);
  }
  const named = (request.headers.connection ?? "").toLowerCase().split(",");
  return reader.readFields(fields, [], new Set(named.map((name) => name.trim())));
}

function pathOf(target: string): string | undefined {
  if (!/^[!-~]+$/.test(target)) return undefined;
  if (target.startsWith("/")) return target;
  // As to a proxy (RFC 9112 section 3.2.2).
  const url = URL.parse(target);
  return url?.protocol === "http:" || url?.protocol === "https:"
    ? `${url.pathname}${url.search}`
    : undefined;
}

function answer(response: ServerResponse, error: ReturnType<typeof restErrorOf>): void {
  response.writeHead(error.status, [...error.fields]);
  response.end(error.body);
}

/** Answers a request for an upgrade as it came, and closes the connection. */
export function refuseUpgrade(socket: Socket, error: ReturnType<typeof restErrorOf>): void {
  if (!socket.writable) return;
  const lines = [`HTTP/1.1 ${error.status} `];
  for (let at = 0; at < error.fields.length; at += 2) {
    lines.push(`${error.fields[at]}: ${error.fields[at + 1]}`);
  }
  socket.write(`${lines.join("\r\n")}\r\nconnection: close\r\n\r\n`);
  socket.end(error.body);
}

const nothing = Buffer.alloc(0);

class Http1Call implements IncomingCall {
  readonly head: RestHead;
  readonly refusal: string | undefined;
  readonly arrivedAt = performance.now();
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #limits: BalancerLimits;
  #handlers: IncomingHandlers | undefined;
  #finished = false;
  #stalled: NodeJS.Timeout | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    {
      head,
      refusal,
      limits,
    }: Pick<Http1Call, "head" | "refusal"> & { readonly limits: BalancerLimits },
  ) {
    this.head = head;
    this.refusal = refusal;
    this.#request = request;
    this.#response = response;
    this.#limits = limits;
    response.on("drain", () => {
      clearTimeout(this.#stalled);
      if (!this.#finished) this.#handlers?.drain();
    });
    response.on("close", () => {
      clearTimeout(this.#stalled);
      if (this.#finished) return;
      this.#finished = true;
      this.#handlers?.cancelled();
    });
  }

  handle(handlers: IncomingHandlers): void {
    const first = this.#handlers === undefined;
    this.#handlers = handlers;
    if (!first) return;
    const request = this.#request;
    request.on("data", (chunk: Buffer) => this.#data(chunk, false));
    request.on("end", () => this.#data(nothing, true));
    // A broken request ends with its response's "close".
    request.on("error", () => {});
  }

  pause(): void {
    this.#request.pause();
  }

  resume(): void {
    this.#request.resume();
  }

  sendHeaders(fields: ReplyFields): void {
    if (this.#finished) return;
    try {
      this.#response.writeHead(Number(fields.httpStatus ?? 200), [...fields.fields]);
    } catch {
      // Fields that HTTP/2 carries and HTTP/1.1 does not; "close" follows, and ends the call.
      this.#response.destroy();
      return;
    }
    if (this.head.route.method.shape === "stream") this.#response.flushHeaders();
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#finished) return true;
    const room = this.#response.write(bytes.subarray(start, end));
    if (!room) this.#watchStall();
    return room;
  }

  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#response.end();
    this.#watchStall();
    // What is left of the request stands in the way of the connection's next one.
    this.#request.resume();
  }

  fail(code: Code, message: string): void {
    if (this.#finished) return;
    this.#finished = true;
    // An answer that breaks off must not look like a whole one.
    if (this.#response.headersSent) this.#response.destroy();
    else answer(this.#response, restErrorOf(code, message, this.#limits));
    this.#request.resume();
  }

  /** The connection ends with this call. */
  lastOfConnection(): void {
    if (this.#response.headersSent) this.#response.shouldKeepAlive = false;
    else this.#response.setHeader("connection", "close");
  }

  #data(bytes: Buffer, last: boolean): void {
    if (!this.#finished) this.#handlers?.data(bytes, 0, bytes.length, last);
  }

  /** The client must read something of what waits for it. */
  #watchStall(): void {
    clearTimeout(this.#stalled);
    const { socket } = this.#response;
    if (socket === null || socket.writableLength === 0) return;
    const sent = socket.bytesWritten - socket.writableLength;
    this.#stalled = setTimeout(() => {
      if (this.#response.closed || socket.writableLength === 0) return;
      if (socket.bytesWritten - socket.writableLength > sent) this.#watchStall();
      else socket.destroy();
    }, this.#limits.http1StalledMillis).unref();
  }
}
