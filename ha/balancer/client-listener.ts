import type { Socket } from "node:net";
import {
  attachSocket,
  Connection,
  type ConnectionError,
  type ConnectionHandler,
  type HeaderBlock,
  type Stream,
} from "../http2/mod.ts";
import type { DeadlineWheel } from "../rpc/engine/deadline-wheel.ts";
import { ForeignRequest, foreignAnswer, type StreamOwner } from "../rpc/engine/foreign-request.ts";
import { rpcLimits } from "../rpc/limits.ts";
import { Listener, type PeerIdentity } from "../rpc/listener.ts";
import type { ServerTls } from "../rpc/types.ts";
import type { Log } from "../runtime/types.ts";
import type { IncomingCall, IncomingHandlers } from "./calls.ts";
import { refusalOf } from "./identity.ts";
import type { BalancerLimits } from "./limits.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { type RequestHead, RequestReader } from "./request-head.ts";

export interface ClientListenerOptions {
  readonly tls?: ServerTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  readonly deadlines: DeadlineWheel;
  call(call: IncomingCall): void;
}

/** Accepts the connections of clients, and hands their calls to the balancer. */
export class ClientListener {
  readonly #listener: Listener;
  readonly #clients = new Set<ClientConnection>();

  constructor(options: ClientListenerOptions) {
    const { log, tls, limits } = options;
    const accept = (socket: Socket, peer: PeerIdentity) => {
      const client = new ClientConnection(options, peer);
      this.#clients.add(client);
      socket.on("close", () => this.#clients.delete(client));
      attachSocket(client.connection, socket, { writeAfter: "read" });
    };
    this.#listener = new Listener({ log, tls, maxConnections: limits.connections }, accept);
  }

  get connections(): number {
    return this.#listener.connections;
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  /** Takes no new connections and tells the open ones (GOAWAY); each closes after its last call. */
  stop(): void {
    this.#listener.stop();
    for (const client of this.#clients) client.connection.shutdown();
  }

  /** Calls back when no connection is left. */
  whenEmpty(done: () => void): void {
    this.#listener.whenEmpty(done);
  }

  destroy(): void {
    this.#listener.stop();
    this.#listener.destroyConnections();
  }
}

class ClientConnection implements ConnectionHandler {
  readonly connection: Connection;
  readonly #options: ClientListenerOptions;
  readonly #refusal: string | undefined;
  readonly #reader: RequestReader;

  constructor(options: ClientListenerOptions, peer: PeerIdentity) {
    this.#options = options;
    this.#refusal = refusalOf(peer);
    this.#reader = new RequestReader(peer.certificate);
    const { limits } = options;
    this.connection = new Connection("server", this, {
      limits: {
        concurrentStreams: limits.concurrentStreams,
        streamWindowBytes: rpcLimits.streamWindowBytes,
        headerListBytes: rpcLimits.metadataBytes,
        headerFields: rpcLimits.metadataFields,
        resets: { burst: limits.clientResetBurst, perSecond: limits.clientResetsPerSecond },
        keepaliveMillis: limits.clientPingMillis,
        keepaliveTimeoutMillis: limits.clientPingTimeoutMillis,
      },
    });
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    // A block with an attachment has passed this check before.
    const foreign = block.attachment === undefined ? foreignAnswer(block) : undefined;
    if (foreign !== undefined) {
      const { deadlines, limits } = this.#options;
      const limit = { deadlines, millis: limits.requestBodyMillis };
      const request = new ForeignRequest(this.connection, stream, foreign, limit);
      stream.user = request;
      if (endStream) request.onEnd();
      return;
    }
    const head = this.#reader.read(block);
    const call = new ClientCall(this.connection, stream, head, this.#refusal);
    stream.user = call;
    this.#options.call(call);
    if (endStream) call.onEnd();
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const owner = stream.user as StreamOwner | undefined;
    if (owner === undefined) this.connection.consume(stream, end - start);
    else owner.onData(bytes, start, end, endStream);
  }

  onTrailers(stream: Stream): void {
    (stream.user as StreamOwner | undefined)?.onEnd();
  }

  onReset(stream: Stream): void {
    (stream.user as StreamOwner | undefined)?.onReset();
  }

  onWritable(stream: Stream): void {
    (stream.user as StreamOwner | undefined)?.onWritable();
  }

  onGoaway(): void {}

  onClose(error: ConnectionError | undefined): void {
    if (error === undefined) return;
    this.#options.log.debug("client connection failed", { error: error.message });
  }
}

const nothing = Buffer.alloc(0);

class ClientCall implements IncomingCall, StreamOwner {
  readonly head: RequestHead;
  readonly refusal: string | undefined;
  readonly arrivedAt = performance.now();
  readonly #connection: Connection;
  readonly #stream: Stream;
  #handlers: IncomingHandlers | undefined;
  #finished = false;
  #answered = false;
  #paused = false;

  constructor(
    connection: Connection,
    stream: Stream,
    head: RequestHead,
    refusal: string | undefined,
  ) {
    this.head = head;
    this.refusal = refusal;
    this.#connection = connection;
    this.#stream = stream;
  }

  handle(handlers: IncomingHandlers): void {
    this.#handlers = handlers;
  }

  /** Stops granting window. Data within the window already granted still arrives. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#connection.consume(this.#stream, this.#stream.unconsumed);
  }

  sendHeaders(fields: ReplyFields): void {
    if (this.#finished) return;
    this.#answered = true;
    this.#connection.headers(this.#stream, fields.head, false);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#finished || this.#connection.data(this.#stream, bytes, false, start, end);
  }

  finish(trailers: ReplyFields): void {
    if (this.#finished) return;
    this.#finished = true;
    // The engine asks a client that is still sending to stop (RFC 9113 section 8.1).
    const { peerHeaderListBytes } = this.#connection;
    if (this.#answered) {
      this.#connection.trailers(this.#stream, trailers.trailers(peerHeaderListBytes));
    } else {
      this.#connection.headers(this.#stream, trailers.only(peerHeaderListBytes), true);
    }
    this.resume();
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (!this.#finished) this.#handlers?.data(bytes, start, end, last);
    if (!this.#paused) this.#connection.consume(this.#stream, end - start);
  }

  onEnd(): void {
    this.onData(nothing, 0, 0, true);
  }

  onWritable(): void {
    if (!this.#finished) this.#handlers?.drain();
  }

  onReset(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#handlers?.cancelled();
  }
}
