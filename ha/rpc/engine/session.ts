/** The calls of one connection: gives each frame to the call that it belongs to. */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import {
  Connection,
  type ConnectionError,
  type ConnectionHandler,
  type HeaderBlock,
  type Http2Limits,
  type Stream,
} from "../../http2/mod.ts";
import { assert } from "../../runtime/assert.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Log } from "../../runtime/types.ts";
import { toServiceError } from "../errors.ts";
import { rpcLimits } from "../limits.ts";
import type { PeerIdentity } from "../listener.ts";
import { Arrival } from "./arrival.ts";
import type { AuthContext, CallOwner } from "./call-owner.ts";
import type { DeadlineWheel } from "./deadline-wheel.ts";
import { ForeignRequest } from "./foreign-request.ts";
import type { MethodTable } from "./method.ts";
import { RequestBytes } from "./request-bytes.ts";
import { StreamCall } from "./stream-call.ts";
import { CallTemplate } from "./template.ts";
import { UnaryCall } from "./unary-call.ts";
import { statusOf, tailOf, type WireStatus } from "./wire-metadata.ts";

export interface SessionOptions {
  readonly log: Log;
  readonly methods: MethodTable;
  readonly deadlines: DeadlineWheel;
  readonly maxMessageBytes: number;
  readonly maxRequestBytes: number;
  readonly messageMillis: number;
  /** The allowance that all sessions share. */
  readonly requestBytes: RequestBytes;
  readonly limits: Partial<Http2Limits>;
}

export class Session implements ConnectionHandler {
  readonly connection: Connection;
  readonly deadlines: DeadlineWheel;
  readonly maxMessageBytes: number;
  readonly maxRequestBytes: number;
  readonly messageMillis: number;
  readonly requestBytes: RequestBytes;
  readonly peerAddress: string;
  readonly #socket: Socket;
  readonly #log: Log;
  readonly #methods: MethodTable;
  /** The answer to every call of a refused peer. */
  readonly #refusal: WireStatus | undefined;
  #authContext: AuthContext | undefined;

  constructor(options: SessionOptions, socket: Socket, peer: PeerIdentity) {
    this.#socket = socket;
    this.#log = options.log;
    this.#methods = options.methods;
    this.deadlines = options.deadlines;
    this.maxMessageBytes = options.maxMessageBytes;
    this.maxRequestBytes = options.maxRequestBytes;
    this.messageMillis = options.messageMillis;
    const { connectionRequestBytes } = rpcLimits;
    this.requestBytes = new RequestBytes(
      connectionRequestBytes,
      "this connection",
      options.requestBytes,
    );
    this.peerAddress = `${socket.remoteAddress}:${socket.remotePort}`;
    if (peer.refusal !== undefined) {
      const error = toServiceError(new StatusError(Code.unauthenticated, peer.refusal));
      this.#refusal = statusOf(error, undefined);
    }
    this.connection = new Connection("server", this, { limits: options.limits });
  }

  get authContext(): AuthContext {
    this.#authContext ??= authContextOf(this.#socket);
    return this.#authContext;
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    const template = this.#templateOf(block);
    const { foreign, method } = template;
    if (foreign !== undefined) {
      const limit = { deadlines: this.deadlines, millis: this.messageMillis };
      const request = new ForeignRequest(this.connection, stream, foreign, limit);
      stream.user = request;
      if (endStream) request.onEnd();
      return;
    }
    const refusal = template.refusal ?? this.#refuse();
    if (refusal !== undefined) {
      this.connection.headers(stream, refusal, true);
      return;
    }
    assert(method !== undefined, "a call without a method has been refused");
    if (!method.requestStream && !method.responseStream) {
      const call = new UnaryCall(this, stream, template, method);
      stream.user = call;
      if (endStream) call.onEnd();
      return;
    }
    const call = new StreamCall(this, stream, template, method);
    stream.user = call;
    call.begin();
    if (endStream) call.onEnd();
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const call = stream.user as CallOwner | undefined;
    if (call === undefined) this.connection.consume(stream, end - start);
    else call.onData(bytes, start, end, endStream);
  }

  onTrailers(stream: Stream): void {
    (stream.user as CallOwner | undefined)?.onEnd();
  }

  onReset(stream: Stream): void {
    (stream.user as CallOwner | undefined)?.onReset();
  }

  onWritable(stream: Stream): void {
    (stream.user as CallOwner | undefined)?.onWritable();
  }

  onGoaway(): void {}

  onClose(error: ConnectionError | undefined): void {
    if (error === undefined) return;
    const { message: reason } = error;
    this.#log.debug("a connection was given up", { peer: this.peerAddress, reason });
  }

  /** Answers every call that is under way with this error. */
  abandonCalls(error: StatusError): void {
    for (const { user } of this.connection.streams) (user as CallOwner | undefined)?.abandon(error);
  }

  /** Logs what a handler threw; what the caller is told of it. */
  handlerFailed(path: string, thrown: unknown): StatusError {
    const error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.#log.error("a handler failed unexpectedly", { path, error });
    return new StatusError(Code.unknown, "the handler failed");
  }

  /** The call is given up unless its message comes in full in time. */
  expectRest(call: CallOwner): Arrival {
    return new Arrival(this.deadlines, this.messageMillis, (error) => call.abandon(error));
  }

  /** The answer to every call of a peer whose certificate is refused. */
  #refuse(): Uint8Array | undefined {
    if (this.#refusal === undefined) return undefined;
    return tailOf(this.#refusal, true, this.connection.peerHeaderListBytes);
  }

  #templateOf(block: HeaderBlock): CallTemplate {
    block.attachment ??= new CallTemplate(
      block,
      this.#methods,
      this.connection.peerHeaderListBytes,
    );
    return block.attachment as CallTemplate;
  }
}

function authContextOf(socket: Socket): AuthContext {
  if (!(socket instanceof TLSSocket)) return {};
  const certificate = socket.getPeerCertificate();
  const known = certificate !== null && certificate.raw !== undefined;
  return {
    transportSecurityType: "ssl",
    ...(known && { sslPeerCertificate: certificate }),
  };
}
