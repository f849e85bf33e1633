/** {@link FrontDoor} on node:http2. */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { rpcLimits } from "../rpc/limits.ts";
import { Listener, type PeerIdentity } from "../rpc/listener.ts";
import type {
  FrontDoor,
  FrontDoorOptions,
  Headers,
  IncomingCall,
  IncomingHandlers,
} from "./forwarder.ts";
import { regularHeaders } from "./http2-headers.ts";
import { keepAlive } from "./http2-ping.ts";

export class Http2FrontDoor implements FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #listener: Listener;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    const { log, tls, limits } = options;
    this.#listener = new Listener(
      { log, tls, maxConnections: limits.connections },
      (socket, peer) => this.#accept(performServerHandshake(socket, this.#sessionOptions()), peer),
    );
  }

  get connections(): number {
    return this.#listener.connections;
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  stop(): void {
    this.#listener.stop();
    for (const session of this.#sessions) session.close();
  }

  whenEmpty(done: () => void): void {
    this.#listener.whenEmpty(done);
  }

  destroy(): void {
    this.#listener.stop();
    this.#listener.destroyConnections();
  }

  #accept(session: ServerHttp2Session, peer: PeerIdentity): void {
    const { log, limits } = this.#options;
    this.#sessions.add(session);
    session.on("close", () => this.#sessions.delete(session));
    // The session closes itself; its calls learn of it through their streams.
    session.on("error", (error) => log.debug("client connection failed", { error: error.message }));
    keepAlive(session, limits.clientPingMillis, limits.clientPingTimeoutMillis);
    session.on("stream", (stream, headers) => {
      const status = statusOfForeign(headers);
      if (status !== undefined) {
        // An error is always followed by "close", and nobody waits for this stream.
        stream.on("error", () => {});
        stream.respond({ ":status": status }, { endStream: true });
        stream.resume();
        return;
      }
      this.#options.call(new Http2IncomingCall(stream, headers, peer));
    });
  }

  #sessionOptions() {
    return {
      settings: {
        maxConcurrentStreams: this.#options.limits.concurrentStreams,
        maxHeaderListSize: rpcLimits.metadataBytes,
        initialWindowSize: rpcLimits.streamWindowBytes,
      },
      maxHeaderListPairs: rpcLimits.metadataFields,
      maxSessionInvalidFrames: rpcLimits.invalidFrames,
      maxSessionRejectedStreams: rpcLimits.rejectedStreams,
      streamResetBurst: rpcLimits.streamResetBurst,
      streamResetRate: rpcLimits.streamResetRate,
      maxSessionMemory: sessionMemoryMegabytes,
    };
  }
}

/** HTTP status for what is not a gRPC request (grpc/grpc `doc/PROTOCOL-HTTP2.md`). */
function statusOfForeign(headers: IncomingHttpHeaders): number | undefined {
  if (headers[":method"] !== "POST") return 405;
  return headers["content-type"]?.startsWith("application/grpc") === true ? undefined : 415;
}

/** Node's own guard; far above what windows and limits allow, so that it never bites first. */
export const sessionMemoryMegabytes = 1_024;

class Http2IncomingCall implements IncomingCall {
  readonly path: string;
  readonly authority: string;
  readonly headers: Headers;
  readonly peer: PeerIdentity;
  readonly arrivedAt = performance.now();
  readonly #stream: ServerHttp2Stream;
  #handlers: IncomingHandlers | undefined;
  #finished = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: PeerIdentity) {
    this.path = String(headers[":path"] ?? "");
    this.authority = String(headers[":authority"] ?? headers.host ?? "");
    this.headers = regularHeaders(headers);
    this.peer = peer;
    this.#stream = stream;
    // An error is always followed by "close".
    stream.on("error", () => {});
    stream.on("close", () => {
      if (this.#finished) return;
      this.#finished = true;
      this.#handlers?.cancelled();
    });
  }

  handle(handlers: IncomingHandlers): void {
    const first = this.#handlers === undefined;
    this.#handlers = handlers;
    if (!first) return;
    this.#stream.on("data", (chunk: Buffer) => {
      if (!this.#finished) this.#handlers?.data(chunk);
    });
    this.#stream.on("end", () => {
      if (!this.#finished) this.#handlers?.end();
    });
    this.#stream.on("drain", () => {
      if (!this.#finished) this.#handlers?.drain();
    });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  sendHeaders(headers: Headers): void {
    if (this.#gone()) return;
    this.#stream.respond({ ...outgoing(headers), ":status": 200 }, { waitForTrailers: true });
  }

  write(chunk: Buffer): boolean {
    return this.#gone() || this.#stream.write(chunk);
  }

  finish(trailers: Headers): void {
    const stream = this.#stream;
    if (this.#gone()) return;
    this.#finished = true;
    if (stream.headersSent) {
      // Asked for when the last of the data has left; a reset before would swallow both.
      stream.once("wantTrailers", () => {
        stream.sendTrailers(outgoing(trailers));
        this.#stopClient();
      });
      stream.end();
    } else {
      const headers = { "content-type": "application/grpc", ...outgoing(trailers), ":status": 200 };
      stream.respond(headers, { endStream: true });
      this.#stopClient();
    }
    stream.resume();
  }

  /** A client that is still sending what nobody wants is asked to stop (RFC 9113 section 8.1). */
  #stopClient(): void {
    const stream = this.#stream;
    setImmediate(() => {
      if (!stream.readableEnded && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #gone(): boolean {
    return this.#finished || this.#stream.destroyed || this.#stream.closed;
  }
}

function outgoing(headers: Headers): Record<string, string | string[]> {
  return headers as Record<string, string | string[]>;
}
