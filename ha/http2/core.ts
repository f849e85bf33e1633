/** The state that both halves of a connection share: its streams, its windows, its end. */
import { RingTable } from "../runtime/ring-table.ts";
import { ConnectionError, ErrorCode } from "./codes.ts";
import { FloodMeter } from "./flood.ts";
import type { ConnectionHandler, ResetCause, Role } from "./handler.ts";
import type { Http2Limits } from "./limits.ts";
import { Output } from "./output.ts";
import { Sender } from "./sender.ts";
import { Stream } from "./stream.ts";

/** Ids of streams that have closed lately: late frames for them are no surprise. */
const rememberedStreams = 256;

export class Core {
  readonly role: Role;
  readonly limits: Http2Limits;
  readonly handler: ConnectionHandler;
  readonly now: () => number;
  readonly output: Output;
  readonly sender: Sender;
  readonly streams = new RingTable<Stream>(1);
  readonly resets: FloodMeter;

  /** Highest id of a stream that the peer has opened. */
  lastPeerId = 0;
  /** Next id of a stream of our own; odd. */
  nextLocalId = 1;
  /** DATA bytes the peer may still send on the connection. */
  receiveWindow: number;
  #owed = 0;

  /** Streams of the peer beyond this id are not taken any more (a GOAWAY of ours). */
  lastTakenId = Number.POSITIVE_INFINITY;
  /** Streams we may have open at once, by the peer's settings. */
  peerConcurrentStreams = Number.POSITIVE_INFINITY;
  /** Bytes of a header list that the peer takes, by its settings (RFC 9113 section 6.5.2). */
  peerHeaderListBytes = Number.POSITIVE_INFINITY;
  /** No stream is opened, in either direction, any more; the connection ends with its last one. */
  closing = false;
  dead = false;
  error: ConnectionError | undefined;

  readonly #closedIds = new Uint32Array(rememberedStreams);
  readonly #closedByUs = new Uint8Array(rememberedStreams);
  #closedCount = 0;

  constructor(
    role: Role,
    handler: ConnectionHandler,
    limits: Http2Limits,
    now: () => number,
    wake: () => void,
  ) {
    this.role = role;
    this.handler = handler;
    this.limits = limits;
    this.now = now;
    this.output = new Output(wake);
    this.receiveWindow = limits.connectionWindowBytes;
    this.resets = new FloodMeter("stream resets", limits.resets);
    this.sender = new Sender(
      this.output,
      {
        localEnded: (stream) => this.#localEnded(stream),
        writable: (stream) => this.handler.onWritable(stream),
      },
      limits.outputHighBytes,
    );
  }

  open(id: number, user: unknown): Stream {
    const { initialWindowBytes } = this.sender;
    const stream = new Stream(id, initialWindowBytes, this.limits.streamWindowBytes, user);
    this.streams.add(stream);
    return stream;
  }

  /** The stream is over; nothing more is said about it. */
  close(stream: Stream, byUs: boolean): void {
    if (stream.closed) return;
    stream.closed = true;
    stream.localClosed = true;
    stream.remoteClosed = true;
    stream.queue = undefined;
    stream.queuedBytes = 0;
    stream.trailers = undefined;
    this.streams.delete(stream);
    const slot = this.#closedCount++ % rememberedStreams;
    this.#closedIds[slot] = stream.id;
    this.#closedByUs[slot] = byUs ? 1 : 0;
    if (stream.unconsumed > 0) this.credit(stream.unconsumed);
    stream.unconsumed = 0;
    if (this.closing && this.streams.size === 0) this.finish(undefined);
  }

  /** The side that may open the stream has not done so yet. */
  isIdle(streamId: number): boolean {
    const ours = (streamId & 1) === (this.role === "client" ? 1 : 0);
    if (!ours) return streamId > this.lastPeerId;
    return this.role === "server" || streamId >= this.nextLocalId;
  }

  /** How a recently ended stream ended; undefined: it ended long ago, or was never opened. */
  closedLately(id: number): "by us" | "by itself" | undefined {
    const slot = this.#closedIds.lastIndexOf(id);
    if (slot < 0) return undefined;
    return this.#closedByUs[slot] === 1 ? "by us" : "by itself";
  }

  /** The peer's END_STREAM has been told: closes the stream if ours has been written before. */
  settle(stream: Stream): void {
    if (stream.localClosed && !stream.ending && stream.queue === undefined) {
      this.close(stream, false);
    }
  }

  #localEnded(stream: Stream): void {
    stream.ending = false;
    if (stream.remoteClosed) {
      this.close(stream, false);
    } else if (this.role === "server") {
      // The answer is complete: the rest of the request is of no interest (RFC 9113 section 8.1).
      this.output.rstStream(stream.id, ErrorCode.noError);
      this.close(stream, true);
    }
  }

  /** The peer broke a rule that concerns one stream. */
  streamError(stream: Stream, code: ErrorCode): void {
    this.resetId(stream.id, code);
    this.close(stream, true);
    this.handler.onReset(stream, code, "violation");
  }

  /** RST_STREAM for a fault of the peer. */
  resetId(id: number, code: ErrorCode): void {
    this.resets.count(this.now);
    this.output.rstStream(id, code);
  }

  /** Returns bytes to the connection's window. */
  credit(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed * 2 < this.limits.connectionWindowBytes || this.dead) return;
    this.output.windowUpdate(0, this.#owed);
    this.receiveWindow += this.#owed;
    this.#owed = 0;
  }

  /** Returns bytes to the window of the stream, and with it to that of the connection. */
  consume(stream: Stream, bytes: number): void {
    if (stream.closed) return;
    const freed = Math.min(bytes, stream.unconsumed);
    stream.unconsumed -= freed;
    this.credit(freed);
    if (stream.remoteClosed) return;
    stream.owed += freed;
    if (stream.owed * 2 < this.limits.streamWindowBytes || this.dead) return;
    this.output.windowUpdate(stream.id, stream.owed);
    stream.receiveWindow += stream.owed;
    stream.owed = 0;
  }

  /** GOAWAY with the error, and the end. */
  fail(code: ErrorCode, message: string): void {
    if (this.dead) return;
    this.output.goaway(this.lastPeerId, code, message);
    this.finish(new ConnectionError(code, message));
  }

  /** The end: every stream is given up, nothing is received any more. Output may still wait. */
  finish(error: ConnectionError | undefined): void {
    if (this.dead) return;
    this.dead = true;
    this.error = error;
    this.giveUp(() => true, "closed");
    this.handler.onClose(error);
  }

  /** Ends streams that the peer will not or cannot answer. */
  giveUp(which: (stream: Stream) => boolean, cause: ResetCause): void {
    const code = cause === "refused" ? ErrorCode.refusedStream : ErrorCode.cancel;
    for (const stream of this.streams.values()) {
      if (!which(stream)) continue;
      this.close(stream, true);
      this.handler.onReset(stream, code, cause);
    }
  }
}
