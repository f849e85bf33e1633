import { type ErrorCode, Flag, FrameType, frameHeaderBytes, SettingId } from "./codes.ts";

/** Slabs grow with what a connection sends, so that an idle one holds little. */
const smallestSlabBytes = 4 * 1024;
const largestSlabBytes = 64 * 1024;
/** Slabs that wait for their next use. */
const spareSlabs = 4;
/**
 * Payloads up to this size, every frame's, are copied behind their frame header: one write of a
 * whole slab costs less than one of many parts.
 */
const copyBytes = 16 * 1024;

/** Frames on their way out, written one behind the other into slabs. */
export class Output {
  #slab: Buffer = Buffer.alloc(0);
  /** The part of the slab not handed out yet is `#from..#at`. */
  #from = 0;
  #at = 0;
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #nextSlabBytes = smallestSlabBytes;
  #signalled = false;
  /** Full slabs of which bytes wait to be taken, such that have all been taken, and free ones. */
  #full: Buffer[] = [];
  #taken: Buffer[] = [];
  #spare: Buffer[] = [];
  readonly #wake: () => void;

  /** `wake` is called when output begins to wait, once until it has been taken. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  /** Bytes that wait to be taken. */
  get bytes(): number {
    return this.#chunkBytes + this.#at - this.#from;
  }

  take(): Buffer[] {
    this.#cut();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#signalled = false;
    if (this.#full.length > 0) {
      this.#taken.push(...this.#full);
      this.#full = [];
    }
    return chunks;
  }

  /** The bytes taken so far are sent: their memory is reused. */
  reuse(): void {
    if (this.#taken.length > 0) {
      this.#spare.push(...this.#taken.slice(0, spareSlabs - this.#spare.length));
      this.#taken = [];
    }
    if (this.bytes > 0) return;
    this.#from = 0;
    this.#at = 0;
  }

  /** Lets go of memory that an idle connection does not need. */
  rest(): void {
    if (this.bytes > 0) return;
    this.#spare = [];
    this.#slab = Buffer.alloc(0);
    this.#from = 0;
    this.#at = 0;
    this.#nextSlabBytes = smallestSlabBytes;
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#slab.set(bytes, at);
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    let at = this.#frame(FrameType.settings, 0, 0, values.length * 6);
    for (const [id, value] of values) {
      this.#slab.writeUInt16BE(id, at);
      this.#slab.writeUInt32BE(value, at + 2);
      at += 6;
    }
  }

  settingsAck(): void {
    this.#frame(FrameType.settings, Flag.ack, 0, 0);
  }

  /** The 8 bytes at `start`. */
  ping(bytes: Buffer, start: number, ack: boolean): void {
    const at = this.#frame(FrameType.ping, ack ? Flag.ack : 0, 0, 8);
    bytes.copy(this.#slab, at, start, start + 8);
  }

  goaway(lastStreamId: number, code: ErrorCode, text: string): void {
    const debug = Buffer.from(text);
    const at = this.#frame(FrameType.goaway, 0, 0, 8 + debug.length);
    this.#slab.writeUInt32BE(lastStreamId, at);
    this.#slab.writeUInt32BE(code, at + 4);
    this.#slab.set(debug, at + 8);
  }

  rstStream(streamId: number, code: number): void {
    const at = this.#frame(FrameType.rstStream, 0, streamId, 4);
    this.#slab.writeUInt32BE(code, at);
  }

  windowUpdate(streamId: number, increment: number): void {
    const at = this.#frame(FrameType.windowUpdate, 0, streamId, 4);
    this.#slab.writeUInt32BE(increment, at);
  }

  /**
   * A header block in two parts. Splits into CONTINUATION frames where the peer's frame limit asks
   * for it.
   */
  headers(
    streamId: number,
    block: Uint8Array,
    more: Uint8Array,
    endStream: boolean,
    maxFrameBytes: number,
  ): void {
    const end = endStream ? Flag.endStream : 0;
    const length = block.length + more.length;
    if (length <= maxFrameBytes) {
      const at = this.#frame(FrameType.headers, end | Flag.endHeaders, streamId, length);
      this.#slab.set(block, at);
      if (more.length > 0) this.#slab.set(more, at + block.length);
      return;
    }
    const whole = Buffer.concat([block, more], length);
    for (let from = 0; from < length; from += maxFrameBytes) {
      const part = whole.subarray(from, from + maxFrameBytes);
      const last = from + part.length === length;
      const flags = (from === 0 ? end : 0) | (last ? Flag.endHeaders : 0);
      const type = from === 0 ? FrameType.headers : FrameType.continuation;
      const at = this.#frame(type, flags, streamId, part.length);
      this.#slab.set(part, at);
    }
  }

  data(streamId: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    const length = end - start;
    const flags = endStream ? Flag.endStream : 0;
    if (length <= copyBytes) {
      const at = this.#frame(FrameType.data, flags, streamId, length);
      // The quickest way there is; a view of its own would cost more than the copying.
      if (Buffer.isBuffer(bytes)) bytes.copy(this.#slab, at, start, end);
      else this.#slab.set(bytes.subarray(start, end), at);
      return;
    }
    const at = this.#reserve(frameHeaderBytes);
    this.#header(at, FrameType.data, flags, streamId, length);
    this.#cut();
    this.#chunks.push(Buffer.from(bytes.buffer, bytes.byteOffset + start, length));
    this.#chunkBytes += length;
  }

  /**
   * A whole gRPC reply: HEADERS, DATA with one message, HEADERS with END_STREAM. The caller has
   * seen to it that each fits into a frame, and the message into the windows.
   */
  reply(streamId: number, head: Uint8Array, message: Uint8Array, tail: Uint8Array): void {
    const { length } = message;
    const total = 3 * frameHeaderBytes + 5 + head.length + length + tail.length;
    let at = this.#reserve(total);
    const slab = this.#slab;
    this.#header(at, FrameType.headers, Flag.endHeaders, streamId, head.length);
    at += frameHeaderBytes;
    slab.set(head, at);
    at += head.length;
    this.#header(at, FrameType.data, 0, streamId, length + 5);
    at += frameHeaderBytes;
    slab[at] = 0;
    slab[at + 1] = length >>> 24;
    slab[at + 2] = length >>> 16;
    slab[at + 3] = length >>> 8;
    slab[at + 4] = length;
    slab.set(message, at + 5);
    at += 5 + length;
    this.#header(at, FrameType.headers, Flag.endHeaders | Flag.endStream, streamId, tail.length);
    slab.set(tail, at + frameHeaderBytes);
  }

  #frame(type: number, flags: number, streamId: number, length: number): number {
    const at = this.#reserve(frameHeaderBytes + length);
    this.#header(at, type, flags, streamId, length);
    return at + frameHeaderBytes;
  }

  #header(at: number, type: number, flags: number, streamId: number, length: number): void {
    const slab = this.#slab;
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = type;
    slab[at + 4] = flags;
    slab[at + 5] = streamId >>> 24;
    slab[at + 6] = streamId >>> 16;
    slab[at + 7] = streamId >>> 8;
    slab[at + 8] = streamId;
  }

  /** Room for so many bytes in one piece. */
  #reserve(length: number): number {
    if (this.#slab.length - this.#at < length) {
      this.#cut();
      if (this.#slab.length === largestSlabBytes) this.#full.push(this.#slab);
      this.#slab = this.#nextSlab(length);
      this.#from = 0;
      this.#at = 0;
    }
    if (!this.#signalled) {
      this.#signalled = true;
      this.#wake();
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #nextSlab(length: number): Buffer {
    if (length <= largestSlabBytes) {
      const spare = this.#spare.pop();
      if (spare !== undefined) return spare;
    }
    const bytes = Math.max(this.#nextSlabBytes, length);
    this.#nextSlabBytes = Math.min(2 * this.#nextSlabBytes, largestSlabBytes);
    return Buffer.allocUnsafeSlow(bytes);
  }

  #cut(): void {
    if (this.#at === this.#from) return;
    this.#chunks.push(this.#slab.subarray(this.#from, this.#at));
    this.#chunkBytes += this.#at - this.#from;
    this.#from = this.#at;
  }
}

/** The SETTINGS that this end announces. */
export function announcedSettings(values: {
  readonly client: boolean;
  readonly concurrentStreams: number;
  readonly streamWindowBytes: number;
  readonly headerListBytes: number;
  readonly headerTableBytes: number;
}): readonly (readonly [id: number, value: number])[] {
  return [
    [SettingId.headerTableSize, values.headerTableBytes],
    values.client
      ? [SettingId.enablePush, 0]
      : [SettingId.maxConcurrentStreams, values.concurrentStreams],
    [SettingId.initialWindowSize, values.streamWindowBytes],
    [SettingId.maxHeaderListSize, values.headerListBytes],
  ];
}
