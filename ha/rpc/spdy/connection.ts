/**
 * The server's side of a SPDY/3.1 connection: which streams there are and what has ended. No I/O:
 * bytes come in by `receive` and go out by `write`.
 *
 * Window updates are neither sent nor heeded. The SPDY of Kubernetes' clients knows none; what holds
 * a sender back is the connection under this one.
 */
import { SpdyError } from "./error.ts";
import { type Frame, FrameReader, FrameWriter, ResetStatus } from "./frames.ts";
import type { Headers } from "./header-block.ts";

const connectionLimits = {
  /** Streams open at a time; the next one is refused. */
  streams: 1_024,
  /** Bytes of data in one frame that is sent. */
  dataBytes: 64 * 1024,
} as const;

/** Called during `receive`, in the order of the frames. */
export interface SpdyEvents {
  /** False: the stream is refused, and no more is told of it. */
  opened(stream: number, headers: Headers): boolean;
  data(stream: number, data: Buffer): void;
  /** The client sends no more on the stream. */
  ended(stream: number): void;
  /** The client has dropped the stream. */
  reset(stream: number): void;
  /** The client opens no more streams. */
  leaving(): void;
}

interface StreamState {
  clientEnded: boolean;
  serverEnded: boolean;
}

export class SpdyConnection {
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #streams = new Map<number, StreamState>();
  readonly #events: SpdyEvents;
  readonly #write: (bytes: Buffer) => void;
  #lastStream = 0;
  #leaving = false;

  constructor(events: SpdyEvents, write: (bytes: Buffer) => void) {
    this.#events = events;
    this.#write = write;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Throws SpdyError when the client breaks the protocol. */
  receive(piece: Buffer): void {
    for (const frame of this.#reader.push(piece)) this.#take(frame);
  }

  isOpen(stream: number): boolean {
    return this.#streams.get(stream)?.serverEnded === false;
  }

  /** To a stream that is gone: nothing happens. */
  send(stream: number, data: Uint8Array): void {
    if (!this.isOpen(stream)) return;
    const { dataBytes } = connectionLimits;
    for (let at = 0; at < data.length; at += dataBytes) {
      this.#write(this.#writer.data(stream, data.subarray(at, at + dataBytes)));
    }
  }

  end(stream: number): void {
    const state = this.#streams.get(stream);
    if (state === undefined || state.serverEnded) return;
    state.serverEnded = true;
    this.#write(this.#writer.data(stream, new Uint8Array(), true));
    this.#forget(stream, state);
  }

  reset(stream: number, status: ResetStatus): void {
    if (!this.#streams.delete(stream)) return;
    this.#write(this.#writer.rstStream(stream, status));
  }

  /** Says that no more streams are taken. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#write(this.#writer.goAway(this.#lastStream));
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case "synStream":
        this.#open(frame.stream, frame.headers, frame.fin);
        break;
      case "data":
        this.#data(frame.stream, frame.data, frame.fin);
        break;
      case "headers":
        if (frame.fin) this.#clientEnded(frame.stream);
        break;
      case "rstStream":
        if (this.#streams.delete(frame.stream)) this.#events.reset(frame.stream);
        break;
      case "ping":
        // An even id is the echo of a ping of ours, of which there are none.
        if (frame.id % 2 === 1) this.#write(this.#writer.ping(frame.id));
        break;
      case "goAway":
        this.#events.leaving();
        break;
      case "synReply":
        throw new SpdyError(`a reply on stream ${frame.stream}, which this side did not open`);
      case "settings":
      case "windowUpdate":
        break;
    }
  }

  #open(stream: number, headers: Headers, fin: boolean): void {
    if (stream % 2 === 0 || stream <= this.#lastStream) {
      throw new SpdyError(`stream ${stream}: a client's streams have odd ids that count up`);
    }
    this.#lastStream = stream;
    const full = this.#leaving || this.#streams.size >= connectionLimits.streams;
    const state = { clientEnded: false, serverEnded: false };
    if (!full) this.#streams.set(stream, state);
    if (full || !this.#events.opened(stream, headers)) {
      this.#streams.delete(stream);
      this.#write(this.#writer.rstStream(stream, ResetStatus.refusedStream));
      return;
    }
    this.#write(this.#writer.synReply(stream, new Map()));
    if (fin) this.#clientEnded(stream);
  }

  /** Of a stream that is gone, data may still be on the way. */
  #data(stream: number, data: Buffer, fin: boolean): void {
    if (stream > this.#lastStream) throw new SpdyError(`data on stream ${stream}, not yet opened`);
    const state = this.#streams.get(stream);
    if (state === undefined || state.clientEnded) return;
    if (data.length > 0) this.#events.data(stream, data);
    if (fin) this.#clientEnded(stream);
  }

  #clientEnded(stream: number): void {
    const state = this.#streams.get(stream);
    if (state === undefined || state.clientEnded) return;
    state.clientEnded = true;
    this.#events.ended(stream);
    this.#forget(stream, state);
  }

  #forget(stream: number, { clientEnded, serverEnded }: StreamState): void {
    if (clientEnded && serverEnded) this.#streams.delete(stream);
  }
}
