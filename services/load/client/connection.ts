/** One HTTP/2 connection to one server, dialled again for as long as it is wanted. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  attachSocket,
  Connection,
  type ConnectionHandler,
  ErrorCode,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../../../ha/http2/mod.ts";
import { type Call, grpcCodes, okCode } from "./call.ts";
import type { RequestTemplate } from "./template.ts";

/** PEM texts. */
export interface LoadTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name in the server's certificate, where it is not the address. */
  readonly serverName?: string | undefined;
  /** kubeconfig's `insecure-skip-tls-verify`. */
  readonly unverified?: boolean | undefined;
}

export interface ConnectionSettings {
  /** `host:port`. */
  readonly address: string;
  readonly protocol: "grpc" | "rest";
  readonly tls?: LoadTls | undefined;
  /** It can take calls from now on. */
  readonly ready: () => void;
}

const redialMillisMin = 20;
const redialMillisMax = 1_000;
const dialMillisMax = 5_000;
/** Characters of an error's text that are kept. */
const messageCharsMax = 300;
const unavailable = "UNAVAILABLE";

/** Lists are long, and are thrown away as they come. */
const limits = {
  connectionWindowBytes: 64 * 1024 * 1024,
  streamWindowBytes: 16 * 1024 * 1024,
  headerListBytes: 64 * 1024,
};

export class LoadConnection implements ConnectionHandler {
  readonly #settings: ConnectionSettings;
  #connection: Connection | undefined;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #redialMillis = redialMillisMin;
  #closed = false;
  /** The server's settings have come: it speaks HTTP/2. */
  #greeted = false;
  /** Why the last attempt to connect failed. */
  lastError: string | undefined;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
    this.#dial();
  }

  get ready(): boolean {
    return this.#greeted && this.#connection?.hasCapacity === true;
  }

  /** False: it cannot be sent now, and nothing was done. */
  send(template: RequestTemplate, call: Call, name: number, stamp: number): boolean {
    const connection = this.#connection;
    if (connection === undefined || !this.#greeted) return false;
    const bare = !template.hasBody;
    const stream = connection.request(template.head, bare, call, template.fields(name));
    if (stream === undefined) return false;
    if (!bare) connection.data(stream, template.body(name, stamp), !template.open);
    return true;
  }

  /** Ends calls whose time is over. */
  sweep(now: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const stream of [...connection.streams]) {
      const call = stream.user as Call;
      if (call.deadlineAt > now) continue;
      connection.reset(stream, ErrorCode.cancel);
      call.end("DEADLINE_EXCEEDED", "no answer came in time");
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#connection?.abort(ErrorCode.noError, "");
    this.#connection = undefined;
    this.#socket?.destroy();
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.#settings.protocol === "grpc") {
      if (endStream) this.onTrailers(stream, block);
      return;
    }
    const call = stream.user as Call;
    const status = block.get(":status") ?? "";
    call.code = status.startsWith("2") ? okCode : `HTTP ${status}`;
    if (endStream) call.end(call.code, "");
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.#connection?.consume(stream, end - start);
    const call = stream.user as Call;
    if (this.#settings.protocol === "rest" && call.code !== okCode) {
      if (call.message.length < messageCharsMax) {
        const upTo = Math.min(end, start + messageCharsMax - call.message.length);
        call.message += bytes.toString("utf8", start, upTo);
      }
    } else call.piece(bytes, start, end);
    if (!endStream) return;
    if (this.#settings.protocol === "rest") call.end(call.code, call.message);
    else call.end("UNKNOWN", "the answer ended without trailers");
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    const call = stream.user as Call;
    if (this.#settings.protocol === "rest") {
      call.end(call.code, call.message);
      return;
    }
    const status = block.get("grpc-status");
    if (status === "0") {
      call.end(okCode, "");
      return;
    }
    const code = grpcCodes[Number(status)];
    const message = decodeURIComponent(safe(block.get("grpc-message") ?? ""));
    call.end(code ?? "UNKNOWN", code === undefined ? `HTTP ${block.get(":status")}` : message);
  }

  onReset(stream: Stream, code: number, cause: ResetCause): void {
    const text = cause === "closed" ? "the connection was lost" : `reset with code ${code}`;
    (stream.user as Call).end(unavailable, text);
  }

  onWritable(): void {}

  /** Calls under way may still be answered; the next ones need a new connection. */
  onGoaway(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#redial();
    if (connection?.openStreams === 0) connection.abort(ErrorCode.noError, "");
  }

  onSettings(): void {
    this.#greeted = true;
    this.#settings.ready();
  }

  onClose(): void {}

  #dial(): void {
    const { address, tls } = this.#settings;
    const { hostname, port } = new URL(`https://${address}`);
    const host = hostname.replace(/^\[|\]$/g, "");
    const to = { host, port: Number(port || 443), noDelay: true };
    const socket = tls === undefined ? connectTcp(to) : connectSecurely(to, tls);
    this.#socket = socket;
    const late = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${dialMillisMax} ms`));
    }, dialMillisMax);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(late);
      if (this.#closed) return;
      if (tls !== undefined && (socket as { alpnProtocol?: unknown }).alpnProtocol !== "h2") {
        socket.destroy(new Error("it does not speak HTTP/2"));
        return;
      }
      this.#redialMillis = redialMillisMin;
      const connection = new Connection("client", this, { limits });
      this.#connection = connection;
      this.#greeted = false;
      attachSocket(connection, socket);
    });
    socket.on("error", (error) => {
      this.lastError = error.message;
    });
    socket.once("close", () => {
      clearTimeout(late);
      if (this.#socket !== socket) return;
      if (!this.#greeted) this.lastError ??= "it closes the connection before it says anything";
      this.#connection = undefined;
      this.#redial();
    });
  }

  #redial(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#dial(), this.#redialMillis);
    this.#redialMillis = Math.min(2 * this.#redialMillis, redialMillisMax);
  }
}

function connectSecurely(to: { host: string; port: number; noDelay: boolean }, tls: LoadTls) {
  const { ca, cert, key, serverName, unverified } = tls;
  return connectTls({
    ...to,
    ...{ ca, cert, key, ALPNProtocols: ["h2"], rejectUnauthorized: unverified !== true },
    ...(serverName !== undefined && { servername: serverName }),
  });
}

/** A message that is not percent-encoded as it should be is shown as it is. */
function safe(text: string): string {
  const short = text.slice(0, messageCharsMax);
  try {
    decodeURIComponent(short);
    return short;
  } catch {
    return encodeURIComponent(short);
  }
}
