import type { Socket } from "node:net";
import type { Cancel, Clock, Log, Peer, Random } from "../types.ts";
import {
  type Channel,
  type Connection,
  laneChannel,
  type PeerStream,
  streamChannel,
} from "./peer-channel.ts";
import {
  controlFrame,
  FrameKind,
  FrameReader,
  frameBytesMax,
  frameHeaderBytes,
  writeFrameHeader,
} from "./peer-frames.ts";

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
  /** Lanes without TLS are asked for. */
  readonly plainLanes: boolean;
  /** Takes up the offer of a lane; rejects when it cannot. */
  openLane(
    connection: Connection,
    offer: Uint8Array,
    plain: boolean,
    signal: AbortSignal,
  ): Promise<Socket>;
  /** Ends every connection to the peer: one of them has proved to be dead. */
  abandon(peer: Peer, reason: Error): void;
  onLink(peer: Peer, up: boolean): void;
}

/** A channel, and when the peer was last heard on it. */
type HeardChannel = Channel & { heardAt: number };

/** Bytes given to a channel at once, so that a long queue does not become one giant write. */
const writeBytesMax = 1024 * 1024;
const ping = controlFrame(FrameKind.ping);
const laneRequest = controlFrame(FrameKind.laneRequest);
const plainLaneRequest = controlFrame(FrameKind.plainLaneRequest);

/**
 * The outgoing half of the link to one peer.
 *
 * ```
 *   waiting ──► dialling ──► proving ──first pong──► widening ──lane, or none to be had──► up
 *      ▲            │            │                       │                                 │
 *      └── backoff ─┴────────────┴─────── closed, reset, silent ───────────────────────────┘
 * ```
 *
 * A dial that succeeds proves nothing: a peer that does not know us closes the connection a moment
 * later. Its pong on our own stream does.
 */
export class PeerLink {
  readonly peer: Peer;
  readonly #host: PeerLinkHost;
  readonly #abort = new AbortController();
  #state: "waiting" | "dialling" | "proving" | "widening" | "up" | "closed" = "waiting";
  #stream: HeardChannel | undefined;
  /** Messages go through it if there is one. Neither lives without the other. */
  #lane: HeardChannel | undefined;
  #backoff: number;
  #cancelRetry: Cancel = () => {};
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

  get #channel(): HeardChannel | undefined {
    return this.#lane ?? this.#stream;
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
    const waiting = this.#queuedBytes + (this.#channel?.queuedBytes ?? 0);
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
    for (const channel of [this.#stream, this.#lane]) {
      if (!channel) continue;
      if (stalled) channel.heardAt = now;
      const silence = now - channel.heardAt;
      if (silence >= this.#host.limits.deadAfter) {
        const reason = new Error(
          `nothing heard from ${this.peer.name} for ${Math.round(silence)} ms`,
        );
        this.#lose(reason);
        this.#host.abandon(this.peer, reason);
        return;
      }
      // Into a full channel too: one that is read comes to it, and busy ones are full for long.
      this.#write(channel, ping);
    }
  }

  close(): void {
    if (this.#state === "closed") return;
    const wasUp = this.up;
    if (wasUp) this.#flush();
    this.#state = "closed";
    this.#cancelRetry();
    this.#abort.abort();
    this.#lane?.close();
    this.#lane = undefined;
    this.#dropChannels(new Error("link closed"));
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
    const events = {
      reader: new FrameReader((kind, payload) => this.#heard(channel, connection, kind, payload)),
      writable: () => this.#resume(),
      closed: () => this.#ended(channel),
    };
    const channel = this.#listenTo(streamChannel(stream, events));
    this.#stream = channel;
    connection.addEventListener("close", events.closed, { once: true });
    if (connection.status === "open" && stream.status === "open") this.#write(channel, ping);
    else this.#ended(channel);
  }

  #listenTo(channel: Channel): HeardChannel {
    return Object.assign(channel, { heardAt: this.#host.clock.monotonicMillis() });
  }

  #heard(channel: HeardChannel, connection: Connection, kind: FrameKind, payload: Uint8Array) {
    if (kind === FrameKind.pong) channel.heardAt = this.#host.clock.monotonicMillis();
    if (this.#stream !== channel) return;
    if (kind === FrameKind.pong && this.#state === "proving") {
      this.#state = "widening";
      this.#write(channel, this.#host.plainLanes ? plainLaneRequest : laneRequest);
    } else if (this.#state !== "widening") return;
    else if (kind === FrameKind.laneOffer) this.#widen(connection, payload, false);
    // A member gives up encryption only if it has asked for that.
    else if (kind === FrameKind.plainLaneOffer && this.#host.plainLanes) {
      this.#widen(connection, payload, true);
    }
  }

  #widen(connection: Connection, offer: Uint8Array, plain: boolean): void {
    const stream = this.#stream;
    this.#host.openLane(connection, offer, plain, this.#abort.signal).then(
      (socket) => {
        if (this.#stream === stream && this.#state === "widening") this.#useLane(socket);
        else socket.destroy();
      },
      (error: unknown) => {
        if (this.#stream !== stream || this.#state !== "widening") return;
        const { name: peer } = this.peer;
        this.#host.log.warn("no lane to the peer: messages go over libp2p", { peer, error });
        this.#isUp();
      },
    );
  }

  #useLane(socket: Socket): void {
    const events = {
      reader: new FrameReader((kind) => {
        if (kind === FrameKind.pong) lane.heardAt = this.#host.clock.monotonicMillis();
      }),
      writable: () => this.#resume(),
      closed: () => this.#ended(lane),
    };
    const lane = this.#listenTo(laneChannel(socket, events));
    this.#lane = lane;
    this.#isUp();
  }

  #isUp(): void {
    this.#state = "up";
    this.#backoff = this.#host.limits.backoffMin;
    this.#host.onLink(this.peer, true);
  }

  #resume(): void {
    if (this.#queuedBytes > 0) this.#scheduleFlush();
  }

  #ended(channel: Channel): void {
    if (this.#stream !== channel && this.#lane !== channel) return;
    this.#lose(new Error("closed by the peer or the network"));
  }

  #lose(reason: unknown): void {
    if (this.#state === "closed" || this.#state === "waiting") return;
    const wasUp = this.up;
    const isFirstFailure = this.#backoff === this.#host.limits.backoffMin;
    this.#state = "waiting";
    this.#dropChannels(reason instanceof Error ? reason : new Error(String(reason)));
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

  #dropChannels(reason: Error): void {
    const channels = [this.#lane, this.#stream];
    this.#lane = undefined;
    this.#stream = undefined;
    this.#queue = [];
    this.#queueHead = 0;
    this.#queuedBytes = 0;
    for (const channel of channels) channel?.abort(reason);
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
    for (;;) {
      const channel = this.#channel;
      if (!channel || this.#queuedBytes === 0 || channel.full) return;
      if (!this.#write(channel, this.#takeBatch())) return;
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
  #write(channel: Channel, bytes: Uint8Array): boolean {
    try {
      return channel.send(bytes);
    } catch (error) {
      // The stream is closing; its close event may still be on its way.
      this.#lose(error);
      return false;
    }
  }
}
