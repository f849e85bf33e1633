/**
 * One HTTP/2 connection, either end, without a socket: bytes in, events and bytes out.
 *
 * The owner gives it what arrives (`receive`), sends what waits (`takeOutput`, when told by
 * `onOutput`), and calls `tick` about once a second. Nothing here throws for what a peer does: a
 * peer's fault is answered as RFC 9113 says, and told to the handler.
 */
import { assert } from "../runtime/assert.ts";
import {
  ConnectionError,
  clientPreface,
  defaultFrameBytes,
  defaultWindowBytes,
  ErrorCode,
  largestStreamId,
} from "./codes.ts";
import { Core } from "./core.ts";
import { FrameReader } from "./frame-reader.ts";
import type { ConnectionHandler, Role } from "./handler.ts";
import { type Http2Limits, withLimits } from "./limits.ts";
import { announcedSettings } from "./output.ts";
import { Receiver } from "./receiver.ts";
import type { Stream } from "./stream.ts";

export interface ConnectionOptions {
  readonly limits?: Partial<Http2Limits> | undefined;
  /** Monotonic milliseconds; `performance.now` by default. */
  readonly now?: (() => number) | undefined;
}

const noBytes = Buffer.alloc(0);

/** The last four bytes of our pings, by purpose. */
const Ping = { keepalive: 1, shutdown: 2, probe: 3 } as const;

export class Connection {
  readonly #core: Core;
  readonly #receiver: Receiver;
  readonly #reader: FrameReader;
  readonly #openedAt: number;
  #heard = true;
  /** Chunks of bytes that have arrived so far. */
  received = 0;
  #heardAt: number;
  #keepaliveSentAt: number | undefined;
  #shutdownAt: number | undefined;
  #probes: (() => void)[] = [];
  /** Output waits; called once until it has been taken. The socket's adapter sets it. */
  onOutput: () => void = () => {};

  constructor(role: Role, handler: ConnectionHandler, options: ConnectionOptions = {}) {
    const limits = withLimits(options.limits);
    const now = options.now ?? (() => performance.now());
    this.#core = new Core(role, handler, limits, now, () => this.onOutput());
    this.#receiver = new Receiver(this.#core, (payload) => this.#onPong(payload));
    this.#reader = new FrameReader(this.#receiver, defaultFrameBytes, role === "server");
    this.#openedAt = now();
    this.#heardAt = this.#openedAt;
    const { output } = this.#core;
    if (role === "client") output.raw(clientPreface);
    output.settings(announcedSettings({ client: role === "client", ...limits }));
    const more = limits.connectionWindowBytes - defaultWindowBytes;
    if (more > 0) output.windowUpdate(0, more);
  }

  get role(): Role {
    return this.#core.role;
  }

  /** The connection is over: what output is left may be sent, then the socket is to be closed. */
  get dead(): boolean {
    return this.#core.dead;
  }

  /** No stream is opened any more, in either direction. */
  get closing(): boolean {
    return this.#core.closing || this.#core.dead;
  }

  /** Streams that are open now. */
  get openStreams(): number {
    return this.#core.streams.size;
  }

  /** Those streams. */
  get streams(): readonly Stream[] {
    return this.#core.streams.values();
  }

  /** Client: whether `request` may be called now. */
  get hasCapacity(): boolean {
    const { streams, peerConcurrentStreams, nextLocalId } = this.#core;
    return !this.closing && streams.size < peerConcurrentStreams && nextLocalId <= largestStreamId;
  }

  /** Bytes that wait to be taken. */
  get outputBytes(): number {
    return this.#core.output.bytes;
  }

  /** Too much output waits: the owner must not read from the peer meanwhile. */
  get overfull(): boolean {
    return this.#core.output.bytes > this.#core.limits.outputStopBytes;
  }

  /** Bytes of a header list that the peer takes; what is longer it may refuse. */
  get peerHeaderListBytes(): number {
    return this.#core.peerHeaderListBytes;
  }

  get limits(): Http2Limits {
    return this.#core.limits;
  }

  /** Takes received bytes. They are not copied, and must not be overwritten later. */
  receive(chunk: Buffer): void {
    const core = this.#core;
    if (core.dead) return;
    this.#heard = true;
    this.received++;
    try {
      this.#reader.receive(chunk);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      core.fail(thrown.code, thrown.message);
    }
    if (core.dead) this.#reader.stop();
  }

  /** Takes the bytes to send, in order. Asks queued streams for more. */
  takeOutput(): Buffer[] {
    const chunks = this.#core.output.take();
    if (!this.#core.dead) this.#core.sender.pump();
    return chunks;
  }

  /** The bytes taken last have left this process, and their memory may be reused. */
  outputSent(): void {
    this.#core.output.reuse();
  }

  /**
   * Client: opens a stream. `block` comes from `encodeHeaders`, and so do the `more` fields behind
   * it, which are copied. Undefined: there is no capacity (see `hasCapacity`).
   */
  request(
    block: Uint8Array,
    endStream: boolean,
    user?: unknown,
    more: Uint8Array = noBytes,
  ): Stream | undefined {
    const core = this.#core;
    assert(core.role === "client", "a server opens no streams");
    if (!this.hasCapacity) return undefined;
    const stream = core.open(core.nextLocalId, user);
    core.nextLocalId += 2;
    core.sender.headers(stream, block, endStream, more);
    return stream;
  }

  /** A response's header block, informational ones included. */
  headers(stream: Stream, block: Uint8Array, endStream: boolean): void {
    if (stream.closed) return;
    this.#core.sender.headers(stream, block, endStream, noBytes);
  }

  /**
   * A piece of the body, `bytes[start..end)`; must not be overwritten later. False: part of it
   * waits for the peer, and `onWritable` will tell when it has gone. Nothing is refused; the caller
   * does the waiting.
   */
  data(
    stream: Stream,
    bytes: Uint8Array,
    endStream: boolean,
    start = 0,
    end = bytes.length,
  ): boolean {
    if (stream.closed) return true;
    return this.#core.sender.data(stream, bytes, start, end, endStream);
  }

  /** Bytes of a body that `data` would not let wait now. */
  room(stream: Stream): number {
    return stream.closed ? 0 : this.#core.sender.room(stream);
  }

  /** Ends the stream with trailers, after what is queued. */
  trailers(stream: Stream, block: Uint8Array): void {
    if (stream.closed) return;
    this.#core.sender.trailers(stream, block);
  }

  /**
   * A whole gRPC reply: header block, one uncompressed message (its five-byte prefix is added
   * here), trailer block. Written in one go where the windows allow it.
   */
  reply(stream: Stream, head: Uint8Array, message: Uint8Array, tail: Uint8Array): void {
    if (stream.closed) return;
    this.#core.sender.reply(stream, head, message, tail);
  }

  /** Ends the stream at once, and tells the peer. */
  reset(stream: Stream, code: number): void {
    const core = this.#core;
    if (stream.closed || core.dead) return;
    core.output.rstStream(stream.id, code);
    core.close(stream, true);
  }

  /** The owner is done with this many bytes from `onData`, and the window grows by them. */
  consume(stream: Stream, bytes: number): void {
    this.#core.consume(stream, bytes);
  }

  /** Asks for a sign of life. `done` is called when it comes, and never if the connection dies. */
  ping(done: () => void): void {
    if (this.#core.dead) return;
    this.#probes.push(done);
    if (this.#probes.length === 1) this.#sendPing(Ping.probe);
  }

  /**
   * The graceful end. A server says that it will go, lets requests on the way arrive for a round
   * trip, then says which was the last (RFC 9113 section 6.8). The connection is over with its last
   * stream.
   */
  shutdown(): void {
    const core = this.#core;
    if (this.closing || this.#shutdownAt !== undefined) return;
    this.#shutdownAt = core.now();
    if (core.role === "server") {
      core.output.goaway(largestStreamId, ErrorCode.noError, "");
      this.#sendPing(Ping.shutdown);
    } else {
      this.#lastCall();
    }
  }

  /** The end at once, told to the peer. */
  abort(code: ErrorCode, message: string): void {
    this.#core.fail(code, message);
  }

  /** The socket has gone. */
  disconnected(): void {
    this.#reader.stop();
    this.#core.finish(undefined);
  }

  /**
   * Checks timeouts and keepalive. The owner calls this about once a second, and twice within the
   * keepalive's times; while it does not read from the peer (`listening` is false) the peer's
   * silence means nothing.
   */
  tick(listening = true): void {
    const core = this.#core;
    if (core.dead) return;
    const { limits } = core;
    const now = core.now();
    if (this.#heard || !listening) {
      this.#heard = false;
      this.#heardAt = now;
      this.#keepaliveSentAt = undefined;
    } else {
      core.output.rest();
    }
    const { openBlockSince } = this.#receiver;
    if (!this.#receiver.control.greeted) {
      if (now - this.#openedAt >= limits.prefaceMillis) {
        core.fail(ErrorCode.protocolError, "no SETTINGS in time");
      }
    } else if (!this.#receiver.control.settingsAcknowledged) {
      if (now - this.#openedAt >= limits.settingsAckMillis) {
        core.fail(ErrorCode.settingsTimeout, "SETTINGS were not acknowledged in time");
      }
    } else if (openBlockSince !== undefined && now - openBlockSince >= limits.headerBlockMillis) {
      core.fail(ErrorCode.enhanceYourCalm, "a header block was not finished in time");
    } else {
      this.#keepAlive(now);
    }
    if (this.#shutdownAt !== undefined && now - this.#shutdownAt >= limits.keepaliveTimeoutMillis) {
      this.#lastCall();
    }
  }

  #keepAlive(now: number): void {
    const core = this.#core;
    const { keepaliveMillis, keepaliveTimeoutMillis } = core.limits;
    if (keepaliveMillis === 0) return;
    if (this.#keepaliveSentAt === undefined) {
      if (now - this.#heardAt < keepaliveMillis) return;
      this.#keepaliveSentAt = now;
      this.#sendPing(Ping.keepalive);
    } else if (now - this.#keepaliveSentAt >= keepaliveTimeoutMillis) {
      core.fail(ErrorCode.noError, "no sign of life");
    }
  }

  #sendPing(payload: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(payload, 4);
    this.#core.output.ping(bytes, 0, false);
  }

  #onPong(payload: number): void {
    if (payload === Ping.shutdown && this.#shutdownAt !== undefined) this.#lastCall();
    if (payload !== Ping.probe) return;
    for (const done of this.#probes.splice(0)) done();
  }

  /** The second step of a graceful end. */
  #lastCall(): void {
    const core = this.#core;
    if (core.closing || core.dead) return;
    core.closing = true;
    core.lastTakenId = core.lastPeerId;
    core.output.goaway(core.lastPeerId, ErrorCode.noError, "");
    if (core.streams.size === 0) core.finish(undefined);
  }
}
