import type { Libp2p } from "libp2p";
import type { Cancel, Clock, Log, Peer, Random } from "../types.ts";
import {
  controlFrame,
  FrameKind,
  FrameReader,
  frameBytesMax,
  frameHeaderBytes,
  writeFrameHeader,
} from "./peer-frames.ts";

export type Connection = ReturnType<Libp2p["getConnections"]>[number];
export type PeerStream = Awaited<ReturnType<Connection["newStream"]>>;

/** Times in milliseconds, sizes in bytes. */
export interface PeerLinkLimits {
  readonly backoffMin: number;
  readonly backoffMax: number;
  /** A dial that takes longer is given up. */
  readonly dialTimeout: number;
  readonly pingInterval: number;
  /** A link on which nothing was heard for so long is taken for dead. */
  readonly deadAfter: number;
  readonly queueBytesMax: number;
}

export const defaultPeerLinkLimits: PeerLinkLimits = {
  backoffMin: 10,
  backoffMax: 500,
  dialTimeout: 2_000,
  pingInterval: 500,
  deadAfter: 2_000,
  queueBytesMax: 64 * 1024 * 1024,
};

/** What a link needs of its network. */
export interface PeerLinkHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: PeerLinkLimits;
  open(peer: Peer, signal: AbortSignal): Promise<{ connection: Connection; stream: PeerStream }>;
  /** Ends every connection to the peer: one of them has proved to be dead. */
  abandon(peer: Peer, reason: Error): void;
  onLink(peer: Peer, up: boolean): void;
}

/** Bytes given to the stream at once, so that a long queue does not become one giant write. */
const writeBytesMax = 1024 * 1024;
const ping = controlFrame(FrameKind.ping);

/**
 * The outgoing half of the link to one peer.
 *
 * ```
 *   waiting ──► dialling ──► proving ──first pong──► up
 *      ▲            │            │                   │
 *      └── backoff ─┴────────────┴── closed, reset, silent ──┘
 * ```
 *
 * A dial that succeeds proves nothing: a peer that does not know us closes the connection a moment
 * later. Its pong on our own stream does.
 */
export class PeerLink {
  readonly peer: Peer;
  readonly #host: PeerLinkHost;
  readonly #abort = new AbortController();
  #state: "waiting" | "dialling" | "proving" | "up" | "closed" = "waiting";
  #stream: PeerStream | undefined;
  #backoff: number;
  #cancelRetry: Cancel = () => {};
  #heardAt = 0;
  #queue: Uint8Array[] = [];
  #queueHead = 0;
  #queuedBytes = 0;
  #flushScheduled = false;

  constructor(peer: Peer, host: PeerLinkHost) {
    this.peer = peer;
    this.#host = host;
    this.#backoff = host.limits.backoffMin;
  }

  get up(): boolean {
    return this.#state === "up";
  }

  /** Dials now, if it is waiting to: at the start, and when the peer has just come to us. */
  dialNow(): void {
    if (this.#state !== "waiting") return;
    this.#cancelRetry();
    this.#backoff = this.#host.limits.backoffMin;
    this.#dial();
  }

  send(message: Uint8Array): boolean {
    const size = message.length + frameHeaderBytes;
    const waiting = this.#queuedBytes + (this.#stream?.writeBufferLength ?? 0);
    if (this.#state !== "up" || waiting + size > this.#host.limits.queueBytesMax) return false;
    if (message.length > frameBytesMax) {
      this.#host.log.error("message exceeds the frame limit and was dropped", {
        peer: this.peer.name,
        bytes: message.length,
        limit: frameBytesMax,
      });
      return false;
    }
    this.#queue.push(message);
    this.#queuedBytes += size;
    this.#scheduleFlush();
    return true;
  }

  /** Called every `pingInterval`; `stalled`: not for a while, which is not the peer's fault. */
  keepAlive(now: number, stalled: boolean): void {
    if (this.#state !== "proving" && this.#state !== "up") return;
    if (stalled) this.#heardAt = now;
    const silence = now - this.#heardAt;
    if (silence >= this.#host.limits.deadAfter) {
      const reason = new Error(
        `nothing heard from ${this.peer.name} for ${Math.round(silence)} ms`,
      );
      this.#lose(reason);
      this.#host.abandon(this.peer, reason);
    } else if (this.#stream?.writableNeedsDrain === false) {
      // A stream that is full is being read, or will fall silent; a ping would only wait in it.
      this.#write(ping);
    }
  }

  close(): void {
    if (this.#state === "closed") return;
    const wasUp = this.up;
    if (wasUp) this.#flush();
    this.#state = "closed";
    this.#cancelRetry();
    this.#abort.abort();
    this.#dropStream(new Error("link closed"));
    if (wasUp) this.#host.onLink(this.peer, false);
  }

  #dial(): void {
    this.#state = "dialling";
    const timeout = AbortSignal.timeout(this.#host.limits.dialTimeout);
    const signal = AbortSignal.any([timeout, this.#abort.signal]);
    this.#host.open(this.peer, signal).then(
      ({ connection, stream }) => this.#opened(connection, stream),
      (error: unknown) => this.#lose(error),
    );
  }

  #opened(connection: Connection, stream: PeerStream): void {
    if (this.#state === "closed") {
      stream.abort(new Error("link closed"));
      return;
    }
    this.#state = "proving";
    this.#stream = stream;
    this.#heardAt = this.#host.clock.monotonicMillis();
    const lost = (): void => {
      if (this.#stream === stream) this.#lose(new Error("closed by the peer or the network"));
    };
    stream.addEventListener("close", lost, { once: true });
    stream.addEventListener("remoteCloseWrite", lost, { once: true });
    connection.addEventListener("close", lost, { once: true });
    const resume = (): void => {
      if (this.#queuedBytes > 0) this.#scheduleFlush();
    };
    stream.addEventListener("drain", resume);
    stream.addEventListener("idle", resume);
    this.#listen(stream);
    if (connection.status === "open" && stream.status === "open") this.#write(ping);
    else lost();
  }

  #listen(stream: PeerStream): void {
    const reader = new FrameReader((kind) => {
      if (this.#stream !== stream || kind !== FrameKind.pong) return;
      this.#heardAt = this.#host.clock.monotonicMillis();
      if (this.#state !== "proving") return;
      this.#state = "up";
      this.#backoff = this.#host.limits.backoffMin;
      this.#host.onLink(this.peer, true);
    });
    stream.addEventListener("message", (event) => readChunks(event.data, stream, reader));
  }

  #lose(reason: unknown): void {
    if (this.#state === "closed" || this.#state === "waiting") return;
    const wasUp = this.up;
    const isFirstFailure = this.#backoff === this.#host.limits.backoffMin;
    this.#state = "waiting";
    this.#dropStream(reason instanceof Error ? reason : new Error(String(reason)));
    const jitter = 0.5 + this.#host.random.below(1_000) / 1_000;
    const delay = Math.min(this.#backoff * jitter, this.#host.limits.backoffMax);
    this.#backoff = Math.min(this.#backoff * 2, this.#host.limits.backoffMax);
    this.#cancelRetry = this.#host.clock.after(delay, () => this.#dial());
    if (wasUp) {
      this.#host.log.info("peer link lost", { peer: this.peer.name, error: reason });
      this.#host.onLink(this.peer, false);
    } else {
      // The first of a row is news; the hundredth is not.
      const level = isFirstFailure ? "info" : "debug";
      this.#host.log[level]("peer not reached", { peer: this.peer.name, error: reason });
    }
  }

  #dropStream(reason: Error): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#queue = [];
    this.#queueHead = 0;
    this.#queuedBytes = 0;
    stream?.abort(reason);
  }

  /** At the end of the current callback: everything it sends leaves together. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#queuedBytes > 0 && this.#stream && !this.#stream.writableNeedsDrain) {
      if (!this.#write(this.#takeBatch())) break;
    }
  }

  /** Frames of as many messages as fit into one write, at least one. */
  #takeBatch(): Buffer {
    let bytes = 0;
    let end = this.#queueHead;
    for (; end < this.#queue.length; end++) {
      const size = (this.#queue[end]?.length ?? 0) + frameHeaderBytes;
      if (bytes > 0 && bytes + size > writeBytesMax) break;
      bytes += size;
    }
    // Not from the shared pool: the stream keeps the buffer for as long as it needs it.
    const batch = Buffer.allocUnsafeSlow(bytes);
    let offset = 0;
    for (; this.#queueHead < end; this.#queueHead++) {
      const message = this.#queue[this.#queueHead] ?? new Uint8Array(0);
      writeFrameHeader(batch, offset, FrameKind.message, message.length);
      batch.set(message, offset + frameHeaderBytes);
      offset += message.length + frameHeaderBytes;
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
    this.#queuedBytes -= bytes;
    return batch;
  }

  /** False: nothing more for now. */
  #write(bytes: Uint8Array): boolean {
    try {
      return this.#stream?.send(bytes) ?? false;
    } catch (error) {
      // The stream is closing under us; its close event may still be on its way.
      this.#lose(error);
      return false;
    }
  }
}

/** libp2p's `Uint8ArrayList` iterates over its chunks. */
type ReceivedData = Uint8Array | { [Symbol.iterator](): Iterator<Uint8Array> };

/** Feeds received bytes to a reader; a peer that breaks the format loses its stream. */
export function readChunks(data: ReceivedData, stream: PeerStream, reader: FrameReader): void {
  try {
    if (data instanceof Uint8Array) reader.push(data);
    else for (const chunk of data) reader.push(chunk);
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
    if (error instanceof Error && error.name === "FrameError") return;
    // A handler failed: libp2p must not swallow that.
    process.nextTick(() => {
      throw error;
    });
  }
}
