/** {@link Upstream} on node:http2: one session, and those that are saying goodbye. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { rpcLimits } from "../rpc/limits.ts";
import type {
  Failure,
  Headers,
  OutgoingCall,
  OutgoingHandlers,
  OutgoingRequest,
  Upstream,
  UpstreamOptions,
} from "./forwarder.ts";
import { sessionMemoryMegabytes } from "./http2-front.ts";
import { regularHeaders } from "./http2-headers.ts";
import { keepAlive } from "./http2-ping.ts";

interface Session {
  readonly http2: ClientHttp2Session;
  streams: number;
  /** From the other end's GOAWAY: calls above it have not been begun. */
  lastStreamId: number | undefined;
}

export class Http2Upstream implements Upstream {
  readonly #options: UpstreamOptions;
  readonly #sessions = new Set<Session>();
  #session: Session | undefined;
  #delay: number;
  #timer: NodeJS.Timeout | undefined;
  #dialling = false;
  #closed = false;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#delay = options.limits.redialMinMillis;
    this.#dial();
  }

  get connected(): boolean {
    return this.#session !== undefined;
  }

  get hasCapacity(): boolean {
    const session = this.#session;
    if (session === undefined) return false;
    return session.streams < (session.http2.remoteSettings.maxConcurrentStreams ?? Infinity);
  }

  open(request: OutgoingRequest, handlers: OutgoingHandlers): OutgoingCall {
    const session = this.#session;
    let stream: ClientHttp2Stream | undefined;
    try {
      stream = session && this.#request(session, request);
    } catch (error) {
      // A header that HTTP/2 allows and Node does not send, such as http2-settings.
      this.#options.log.debug("a request cannot be sent", { error: String(error) });
      const code = constants.NGHTTP2_PROTOCOL_ERROR;
      process.nextTick(() => handlers.failed({ kind: "rejected", code }));
      return deadCall;
    }
    if (session === undefined || stream === undefined) {
      process.nextTick(() => handlers.failed({ kind: "refused", code: 0 }));
      return deadCall;
    }
    session.streams++;
    stream.on("close", () => {
      session.streams--;
    });
    return new Http2OutgoingCall(stream, session, handlers);
  }

  close(): void {
    this.#closed = true;
    this.#session = undefined;
    clearTimeout(this.#timer);
    for (const session of this.#sessions) session.http2.destroy();
  }

  /** Undefined: the session takes no more calls. Throws when the request cannot be sent at all. */
  #request(session: Session, request: OutgoingRequest): ClientHttp2Stream | undefined {
    try {
      return session.http2.request({
        ...(request.headers as Record<string, string | string[]>),
        ":method": "POST",
        ":path": request.path,
        ...(request.authority !== "" && { ":authority": request.authority }),
      });
    } catch (error) {
      if (!exhaustedCodes.has(String((error as NodeJS.ErrnoException).code))) throw error;
      this.#retire(session);
      session.http2.close();
      return undefined;
    }
  }

  #dial(): void {
    if (this.#closed) return;
    this.#dialling = true;
    const { address, tls, log, limits } = this.#options;
    const http2 = connect(`${tls === undefined ? "http" : "https"}://${address}`, {
      ...{ noDelay: true },
      ...(tls && { ca: tls.ca, cert: tls.cert, key: tls.key }),
      settings: {
        enablePush: false,
        initialWindowSize: rpcLimits.streamWindowBytes,
        maxHeaderListSize: 4 * rpcLimits.metadataBytes,
      },
      maxSessionMemory: sessionMemoryMegabytes,
    });
    const session: Session = { http2, streams: 0, lastStreamId: undefined };
    this.#sessions.add(session);
    let connected = false;
    const tooLong = setTimeout(() => http2.destroy(), limits.dialMillis);
    // The kernel of a stopped process still completes connections; its SETTINGS prove it alive.
    http2.once("remoteSettings", () => {
      clearTimeout(tooLong);
      connected = true;
      this.#dialling = false;
      if (this.#closed || http2.destroyed) return;
      keepAlive(http2, limits.pingMillis, limits.pingTimeoutMillis);
      this.#delay = limits.redialMinMillis;
      this.#session = session;
      this.#options.changed();
    });
    http2.on("goaway", (_, lastStreamId) => {
      session.lastStreamId = lastStreamId;
      this.#retire(session);
    });
    // "close" follows, and calls learn of it through their streams.
    http2.on("error", (error) => log.debug("connection failed", { address, error: error.message }));
    http2.once("close", () => {
      clearTimeout(tooLong);
      if (!connected) this.#dialling = false;
      this.#sessions.delete(session);
      this.#retire(session);
      if (this.#session === undefined) this.#redial();
    });
  }

  /** No new calls on it; the next connection is dialled. */
  #retire(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#options.changed();
    this.#redial();
  }

  #redial(): void {
    if (this.#closed || this.#dialling || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#session === undefined && !this.#dialling) this.#dial();
    }, this.#delay);
    this.#delay = Math.min(this.#delay * 2, this.#options.limits.redialMaxMillis);
  }
}

class Http2OutgoingCall implements OutgoingCall {
  readonly #stream: ClientHttp2Stream;
  readonly #session: Session;
  #handlers: OutgoingHandlers | undefined;
  #trailers: Headers | undefined;

  constructor(stream: ClientHttp2Stream, session: Session, handlers: OutgoingHandlers) {
    this.#stream = stream;
    this.#session = session;
    this.#handlers = handlers;
    stream.on("response", (headers) => this.#response(headers));
    stream.on("data", (chunk: Buffer) => this.#handlers?.data(chunk));
    stream.on("drain", () => this.#handlers?.drain());
    // Trailers may overtake data that is still in the stream's buffer; "end" may not.
    stream.on("trailers", (headers) => {
      this.#trailers = regularHeaders(headers);
    });
    stream.on("end", () => {
      if (this.#trailers !== undefined) this.#complete(this.#trailers);
    });
    stream.on("error", () => {});
    stream.on("close", () => this.#settle()?.failed(this.#failure()));
  }

  write(chunk: Buffer): boolean {
    return this.#stream.destroyed || this.#stream.writableEnded || this.#stream.write(chunk);
  }

  end(): void {
    if (!this.#stream.destroyed) this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  cancel(): void {
    this.#settle();
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #response(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (headers[":status"] !== 200) {
      this.#settle()?.failed({ kind: "rejected", code: constants.NGHTTP2_PROTOCOL_ERROR });
      this.#stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    const regular = regularHeaders(headers);
    // A reply of nothing but trailers has its status in the first header block.
    if (regular["grpc-status"] !== undefined) this.#complete(regular);
    else this.#handlers?.headers(regular);
  }

  #complete(trailers: Headers): void {
    this.#settle()?.trailers(trailers);
    const stream = this.#stream;
    // The master has answered without reading to the end: the rest need not be sent.
    if (!stream.writableEnded && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    else stream.resume();
  }

  /** The handlers, for the last time. */
  #settle(): OutgoingHandlers | undefined {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    return handlers;
  }

  #failure(): Failure {
    const code = this.#stream.rstCode ?? constants.NGHTTP2_NO_ERROR;
    const { id } = this.#stream;
    const { lastStreamId, http2 } = this.#session;
    const above = lastStreamId !== undefined && id !== undefined && id > lastStreamId;
    if (id === undefined || above || code === constants.NGHTTP2_REFUSED_STREAM) {
      return { kind: "refused", code };
    }
    const gone = http2.destroyed || http2.closed;
    return { kind: gone || dyingCodes.has(code) ? "lost" : "rejected", code };
  }
}

/** Resets that a process sends for its open calls while it goes down, just before it is gone. */
const dyingCodes: ReadonlySet<number> = new Set([
  constants.NGHTTP2_NO_ERROR,
  constants.NGHTTP2_INTERNAL_ERROR,
  constants.NGHTTP2_CANCEL,
  constants.NGHTTP2_CONNECT_ERROR,
]);

/** What `request` throws when a session is saying goodbye, or has used up its stream ids. */
const exhaustedCodes: ReadonlySet<string> = new Set([
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_OUT_OF_STREAMS",
]);

const deadCall: OutgoingCall = {
  write: () => true,
  end() {},
  pause() {},
  resume() {},
  cancel() {},
};
