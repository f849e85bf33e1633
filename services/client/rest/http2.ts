import {
  ClientConnection,
  type ServerTls,
  type StreamHandler,
} from "../../../ha/http2/client/mod.ts";
import {
  type Connection,
  ErrorCode,
  encodeHeaders,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../../../ha/http2/mod.ts";
import { CallFailure } from "../../../ha/rpc/call-failure.ts";
import type { Upkeep } from "../../../ha/rpc/channel/channel.ts";
import { rpcLimits } from "../../../ha/rpc/limits.ts";
import { cancelledError } from "../../../ha/rpc/status-details.ts";
import { Code } from "../../../ha/runtime/status-error.ts";
import { authorityOf, type HttpAnswer, type HttpRequest, type HttpServer } from "./http.ts";

const limits = {
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 32 * 1024 * 1024,
  headerListBytes: 64 * 1024,
};

export interface Http2Address extends Upkeep {
  readonly host: string;
  readonly port: number;
  readonly tls: ServerTls;
}

export class Http2Server implements HttpServer, StreamHandler {
  readonly #to: ClientConnection;
  readonly #authority: string;

  constructor({ host, port, tls, ...upkeep }: Http2Address) {
    this.#authority = authorityOf(host, port);
    const { keepaliveMillis = rpcLimits.keepaliveMillis } = upkeep;
    const { keepaliveTimeoutMillis = rpcLimits.keepaliveTimeoutMillis } = upkeep;
    this.#to = new ClientConnection({
      ...{ address: { host, port }, tls, streams: this, kept: upkeep.kept },
      limits: { ...limits, keepaliveMillis, keepaliveTimeoutMillis },
      dialMillisMax: rpcLimits.connectMillis,
      restMillisMin: upkeep.reconnectMinMillis ?? rpcLimits.reconnectMinMillis,
      restMillisMax: upkeep.reconnectMaxMillis ?? rpcLimits.reconnectMaxMillis,
    });
  }

  /** The server speaks HTTP/1.1 alone. */
  get refusesHttp2(): boolean {
    return this.#to.refusesHttp2;
  }

  async request(request: HttpRequest): Promise<HttpAnswer> {
    const { deadline = Number.POSITIVE_INFINITY, signal, body, method, path, headers } = request;
    if (signal?.aborted) throw cancelledError();
    const millis = Math.min(deadline - Date.now(), rpcLimits.connectMillis);
    const connection = await this.#to.whenReady(performance.now() + millis, signal);
    if (signal?.aborted) throw cancelledError();
    if (connection === undefined) throw this.#unreachable();
    const head = encodeHeaders([
      ...[":method", method, ":scheme", "https", ":authority", this.#authority, ":path", path],
      ...headers,
      ...(body === undefined ? [] : ["content-length", String(body.length)]),
    ]);
    const exchange = new Exchange(request);
    const stream = connection.request(head, body === undefined, exchange);
    if (stream === undefined) throw this.#unreachable();
    exchange.carry(connection, stream);
    if (body !== undefined) connection.data(stream, body, true);
    return exchange.answer;
  }

  close(): void {
    this.#to.close();
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    (stream.user as Exchange).onHeaders(block, endStream);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    (stream.user as Exchange).onData(bytes.subarray(start, end), endStream);
  }

  onTrailers(stream: Stream): void {
    (stream.user as Exchange).end(undefined);
  }

  onReset(stream: Stream, code: number, cause: ResetCause): void {
    (stream.user as Exchange).onReset(code, cause);
  }

  onWritable(): void {}

  #unreachable(): CallFailure {
    const why = this.#to.lastError;
    const text = `no connection to ${this.#authority}${why === undefined ? "" : `: ${why}`}`;
    return new CallFailure(Code.unavailable, text, { notBegun: true });
  }
}

/** One request and its answer. */
class Exchange implements HttpAnswer {
  readonly #head = Promise.withResolvers<HttpAnswer>();
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  #connection: Connection | undefined;
  #stream: Stream | undefined;
  #block: HeaderBlock | undefined;
  #pieces: Buffer[] = [];
  #waiting: PromiseWithResolvers<Buffer | undefined> | undefined;
  #over = false;
  #failure: CallFailure | undefined;

  constructor({ deadline, signal }: HttpRequest) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.cancel, { once: true });
    if (deadline === undefined) return;
    this.#timer = setTimeout(() => {
      this.end(new CallFailure(Code.deadlineExceeded, "Deadline exceeded"));
    }, deadline - Date.now());
  }

  get answer(): Promise<HttpAnswer> {
    return this.#head.promise;
  }

  get status(): number {
    return Number(this.#block?.get(":status"));
  }

  header(name: string): string | undefined {
    return this.#block?.get(name);
  }

  carry(connection: Connection, stream: Stream): void {
    this.#connection = connection;
    this.#stream = stream;
  }

  take(): Promise<Buffer | undefined> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#consume(piece);
      return Promise.resolve(piece);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#over) return Promise.resolve(undefined);
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  readonly cancel = (): void => {
    this.#pieces = [];
    const { code, message } = cancelledError();
    this.end(new CallFailure(code, message));
  };

  onHeaders(block: HeaderBlock, endStream: boolean): void {
    this.#block = block;
    if (endStream) this.end(undefined);
    else this.#head.resolve(this);
  }

  onData(piece: Buffer, endStream: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#pieces.push(piece);
    else {
      this.#consume(piece);
      waiting.resolve(piece);
    }
    if (endStream) this.end(undefined);
  }

  onReset(code: number, cause: ResetCause): void {
    const notBegun = cause === "refused" || code === ErrorCode.refusedStream;
    const text = cause === "closed" ? "Connection dropped" : `the stream was reset: code ${code}`;
    this.end(new CallFailure(Code.unavailable, text, { notBegun, unanswered: !notBegun }));
  }

  end(failure: CallFailure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = failure;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.cancel);
    const stream = this.#stream;
    if (failure !== undefined && stream !== undefined && !stream.closed) {
      this.#connection?.reset(stream, ErrorCode.cancel);
    }
    if (failure === undefined) this.#head.resolve(this);
    else this.#head.reject(failure);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (failure === undefined) waiting?.resolve(undefined);
    else waiting?.reject(failure);
  }

  #consume(piece: Buffer): void {
    if (this.#stream !== undefined) this.#connection?.consume(this.#stream, piece.length);
  }
}
