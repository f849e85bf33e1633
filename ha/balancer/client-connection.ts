/** One HTTP/2 connection of a client, whatever its calls are, and one call on it. */
import {
  Connection,
  type ConnectionError,
  type ConnectionHandler,
  type HeaderBlock,
  type Http2Limits,
  type Stream,
} from "../http2/mod.ts";
import type { StreamOwner } from "../rpc/engine/foreign-request.ts";
import { rpcLimits } from "../rpc/limits.ts";
import type { Code } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import type { IncomingCall, IncomingHandlers, RequestHead } from "./calls.ts";
import type { BalancerLimits } from "./limits.ts";
import type { ReplyFields } from "./reply-fields.ts";

export interface ClientConnectionOptions {
  readonly log: Log;
  readonly limits: BalancerLimits;
}

/** Of a request's header block. */
type HeadLimits = Pick<Http2Limits, "headerListBytes" | "headerFields">;

export abstract class ClientConnection implements ConnectionHandler {
  readonly connection: Connection;
  readonly #log: Log;

  constructor({ limits, log }: ClientConnectionOptions, head: HeadLimits) {
    this.#log = log;
    this.connection = new Connection("server", this, {
      limits: {
        ...head,
        concurrentStreams: limits.concurrentStreams,
        streamWindowBytes: rpcLimits.streamWindowBytes,
        resets: { burst: limits.clientResetBurst, perSecond: limits.clientResetsPerSecond },
        keepaliveMillis: limits.clientPingMillis,
        keepaliveTimeoutMillis: limits.clientPingTimeoutMillis,
      },
    });
  }

  abstract onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void;

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
    this.#log.debug("client connection failed", { error: error.message });
  }
}

const nothing = Buffer.alloc(0);

export abstract class ClientCall<Head extends RequestHead = RequestHead>
  implements IncomingCall, StreamOwner
{
  readonly head: Head;
  readonly refusal: string | undefined;
  readonly arrivedAt = performance.now();
  protected readonly connection: Connection;
  protected readonly stream: Stream;
  #handlers: IncomingHandlers | undefined;
  #finished = false;
  #answered = false;
  #paused = false;

  constructor(
    connection: Connection,
    stream: Stream,
    { head, refusal }: { readonly head: Head; readonly refusal: string | undefined },
  ) {
    this.head = head;
    this.refusal = refusal;
    this.connection = connection;
    this.stream = stream;
  }

  /** Begins the answer on the wire. */
  protected abstract begin(fields: ReplyFields): void;
  /** Ends on the wire the answer that has begun. */
  protected abstract end(trailers: ReplyFields): void;
  /** The whole answer on the wire. */
  protected abstract only(trailers: ReplyFields): void;
  /** An error on the wire; `begun`: within an answer that has begun. */
  protected abstract error(code: Code, message: string, begun: boolean): void;

  handle(handlers: IncomingHandlers): void {
    this.#handlers = handlers;
  }

  /** Stops granting window. Data within the window already granted still arrives. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.connection.consume(this.stream, this.stream.unconsumed);
  }

  sendHeaders(fields: ReplyFields): void {
    if (this.#finished) return;
    this.#answered = true;
    this.begin(fields);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#finished || this.connection.data(this.stream, bytes, false, start, end);
  }

  finish(trailers: ReplyFields): void {
    if (this.#finished) return;
    this.#finished = true;
    // The engine asks a client that is still sending to stop (RFC 9113 section 8.1).
    if (this.#answered) this.end(trailers);
    else this.only(trailers);
    this.resume();
  }

  fail(code: Code, message: string): void {
    if (this.#finished) return;
    this.#finished = true;
    this.error(code, message, this.#answered);
    this.resume();
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (!this.#finished) this.#handlers?.data(bytes, start, end, last);
    if (!this.#paused) this.connection.consume(this.stream, end - start);
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
