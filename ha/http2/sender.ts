/** The sending half: header blocks, and DATA as the peer's windows and the socket allow. */
import { assert } from "../runtime/assert.ts";
import { defaultFrameBytes, defaultWindowBytes } from "./codes.ts";
import type { Output } from "./output.ts";
import type { Stream } from "./stream.ts";

const noBytes = Buffer.alloc(0);

export interface SenderEvents {
  /** END_STREAM has been written. */
  localEnded(stream: Stream): void;
  /** The stream's queue is empty again. */
  writable(stream: Stream): void;
}

export class Sender {
  readonly #output: Output;
  readonly #events: SenderEvents;
  readonly #highBytes: number;
  /** Streams with something queued and an open window, served in turn, a frame each. */
  #line: Stream[] = [];
  /** Such of them whose whole answer fits into a frame: they go first. */
  readonly #short: Stream[] = [];
  #pumping = false;
  #firstBlock = true;
  /** DATA bytes the peer takes on the connection as a whole. */
  windowBytes = defaultWindowBytes;
  /** The peer's setting, for streams to come. */
  initialWindowBytes = defaultWindowBytes;
  /** Every peer takes frames of this size; none is sent a larger one. */
  readonly maxFrameBytes = defaultFrameBytes;
  /** DATA frames sent so far. */
  dataFrames = 0;

  constructor(output: Output, events: SenderEvents, highBytes: number) {
    this.#output = output;
    this.#events = events;
    this.#highBytes = highBytes;
  }

  /** The fields of `more` follow those of the block. */
  headers(stream: Stream, block: Uint8Array, endStream: boolean, more: Uint8Array): void {
    this.#output.headers(stream.id, this.#whole(block), more, endStream, this.maxFrameBytes);
    if (endStream) this.#end(stream);
  }

  /** Sends what it can, keeps the rest by reference. False: something had to be kept. */
  data(stream: Stream, bytes: Uint8Array, start: number, end: number, endStream: boolean): boolean {
    assert(!stream.localClosed, `stream ${stream.id}: DATA after its end`);
    let sent = start;
    if (stream.queue === undefined) {
      const high = endStream && end - start <= this.maxFrameBytes ? this.#shortHigh : undefined;
      sent = this.#frames(stream, bytes, start, end, endStream, Number.POSITIVE_INFINITY, high);
      if (sent === end) {
        if (endStream) this.#end(stream);
        return true;
      }
    }
    if (endStream) {
      stream.localClosed = true;
      stream.ending = true;
    }
    if (sent < end) {
      stream.queue ??= [];
      stream.queue.push(bytes.subarray(sent, end));
      stream.queuedBytes += end - sent;
      this.#enter(stream, endStream && sent === start && end - start <= this.maxFrameBytes);
    }
    stream.wantsWritable = true;
    return false;
  }

  /** Bytes that `data` would write at once. */
  room({ queue, sendWindow }: Stream): number {
    if (queue !== undefined) return 0;
    const free = this.#highBytes - this.#output.bytes;
    return Math.max(0, Math.min(sendWindow, this.windowBytes, free));
  }

  /** Ends the stream, after what is queued. */
  trailers(stream: Stream, block: Uint8Array): void {
    assert(!stream.localClosed, `stream ${stream.id}: trailers after its end`);
    if (stream.queue === undefined) {
      this.headers(stream, block, true, noBytes);
    } else {
      stream.localClosed = true;
      stream.trailers = block;
    }
  }

  /** See Connection.reply. */
  reply(stream: Stream, head: Uint8Array, message: Uint8Array, tail: Uint8Array): void {
    const length = message.length + 5;
    const fits =
      length <= stream.sendWindow &&
      length <= this.windowBytes &&
      length <= this.maxFrameBytes &&
      head.length <= this.maxFrameBytes &&
      tail.length <= this.maxFrameBytes &&
      !this.#firstBlock &&
      this.#output.bytes < this.#shortHigh;
    if (fits) {
      this.#output.reply(stream.id, head, message, tail);
      stream.sendWindow -= length;
      this.windowBytes -= length;
      this.dataFrames++;
      this.#end(stream);
      return;
    }
    this.headers(stream, head, false, noBytes);
    const framed = Buffer.allocUnsafe(length);
    framed[0] = 0;
    framed.writeUInt32BE(message.length, 1);
    framed.set(message, 5);
    this.data(stream, framed, 0, length, false);
    this.trailers(stream, tail);
    if (this.#line.at(-1) === stream && stream.queuedBytes <= this.maxFrameBytes) {
      this.#line.pop();
      this.#short.push(stream);
    }
  }

  /** Short answers need not wait until the pieces of long ones have left. */
  get #shortHigh(): number {
    return 2 * this.#highBytes;
  }

  /** The stream's own window has grown. */
  enlarged(stream: Stream): void {
    if (stream.queue !== undefined && stream.sendWindow > 0) this.#enter(stream);
  }

  /** Sends what windows and output allow by now. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    let line = this.#line;
    for (let at = 0; at < line.length || this.#short.length > 0; ) {
      if (this.windowBytes <= 0 || this.#output.bytes >= this.#highBytes) {
        line = at === 0 ? line : line.slice(at);
        this.#line = line;
        this.#pumping = false;
        return;
      }
      const stream = this.#short.shift() ?? (line[at++] as Stream);
      stream.waiting = false;
      if (!stream.closed && stream.queue !== undefined) this.#serve(stream, stream.queue);
    }
    line.length = 0;
    this.#pumping = false;
  }

  /** One frame of a queued stream. */
  #serve(stream: Stream, queue: Uint8Array[]): void {
    const bytes = queue[0] as Uint8Array;
    const last = queue.length === 1 && stream.ending;
    const sent = this.#frames(stream, bytes, 0, bytes.length, last, this.maxFrameBytes);
    stream.queuedBytes -= sent;
    if (sent < bytes.length) {
      queue[0] = bytes.subarray(sent);
      if (stream.sendWindow > 0) this.#enter(stream);
      return;
    }
    queue.shift();
    if (queue.length > 0) {
      if (stream.sendWindow > 0) this.#enter(stream);
      return;
    }
    stream.queue = undefined;
    if (stream.trailers !== undefined) {
      const { trailers } = stream;
      stream.trailers = undefined;
      this.#output.headers(stream.id, this.#whole(trailers), noBytes, true, this.maxFrameBytes);
      this.#end(stream);
    } else if (last) {
      this.#end(stream);
    } else if (stream.wantsWritable) {
      stream.wantsWritable = false;
      this.#events.writable(stream);
    }
  }

  /** Frames of at most `most` bytes in all, of `bytes[from..end)`. Returns how far it came. */
  #frames(
    stream: Stream,
    bytes: Uint8Array,
    from: number,
    end: number,
    endStream: boolean,
    most: number,
    high = this.#highBytes,
  ): number {
    if (from === end) {
      if (endStream) this.#output.data(stream.id, bytes, end, end, true);
      return end;
    }
    const limit = Math.min(end, from + most);
    while (from < limit && this.#output.bytes < high) {
      const window = Math.min(stream.sendWindow, this.windowBytes, this.maxFrameBytes);
      const size = Math.min(limit - from, window);
      if (size <= 0) break;
      this.#output.data(stream.id, bytes, from, from + size, endStream && from + size === end);
      stream.sendWindow -= size;
      this.windowBytes -= size;
      this.dataFrames++;
      from += size;
    }
    return from;
  }

  #enter(stream: Stream, isShort = false): void {
    if (stream.waiting) return;
    stream.waiting = true;
    if (isShort) this.#short.push(stream);
    else this.#line.push(stream);
  }

  #end(stream: Stream): void {
    stream.localClosed = true;
    this.#events.localEnded(stream);
  }

  /**
   * The first block on a connection also gives up the dynamic table, which this end never uses:
   * so nothing is left to be said when the peer lowers its limit (RFC 7541 section 4.2).
   */
  #whole(block: Uint8Array): Uint8Array {
    if (!this.#firstBlock) return block;
    this.#firstBlock = false;
    const whole = Buffer.allocUnsafe(block.length + 1);
    whole[0] = 0x20;
    whole.set(block, 1);
    return whole;
  }
}
