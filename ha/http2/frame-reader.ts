import { ConnectionError, clientPreface, ErrorCode, frameHeaderBytes } from "./codes.ts";

export interface FrameSink {
  /** The payload is `bytes[start..end)`; the bytes are never overwritten afterwards. */
  frame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void;
}

/**
 * Cuts a byte stream, however it is split, into frames (RFC 9113 section 4.1). A frame that arrives
 * in one piece is not copied.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxFrameBytes: number;
  #prefaceLeft: number;
  /** A frame that has arrived in part: the bytes of its header, then those of the whole frame. */
  #partial = Buffer.allocUnsafeSlow(frameHeaderBytes);
  #filled = 0;
  #wanted = frameHeaderBytes;
  #stopped = false;

  constructor(sink: FrameSink, maxFrameBytes: number, expectsPreface: boolean) {
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
    this.#prefaceLeft = expectsPreface ? clientPreface.length : 0;
  }

  /** True while the client's preface has not arrived. */
  get awaitsPreface(): boolean {
    return this.#prefaceLeft > 0;
  }

  /** Hands on no more frames, not even the rest of the present chunk. */
  stop(): void {
    this.#stopped = true;
    this.#partial = Buffer.alloc(0);
  }

  /** Throws a ConnectionError for a wrong preface and a frame over the limit. */
  receive(chunk: Buffer): void {
    if (this.#stopped) return;
    let at = this.#prefaceLeft > 0 ? this.#readPreface(chunk) : 0;
    if (this.#filled > 0) at = this.#fillPartial(chunk, at);
    const { length } = chunk;
    while (length - at >= frameHeaderBytes && !this.#stopped) {
      const size = this.#sizeOf(chunk, at);
      const start = at + frameHeaderBytes;
      if (size > length - start) break;
      at = start + size;
      this.#emit(chunk, start - frameHeaderBytes, at);
    }
    if (at < length && !this.#stopped) this.#fillPartial(chunk, at);
  }

  #readPreface(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length && this.#prefaceLeft > 0) {
      if (chunk[at++] !== clientPreface[clientPreface.length - this.#prefaceLeft]) {
        throw new ConnectionError(ErrorCode.protocolError, "not an HTTP/2 client's preface");
      }
      this.#prefaceLeft--;
    }
    return at;
  }

  #sizeOf(bytes: Buffer, at: number): number {
    const size =
      ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    if (size > this.#maxFrameBytes) {
      const text = `a frame of ${size} bytes, over ${this.#maxFrameBytes}`;
      throw new ConnectionError(ErrorCode.frameSizeError, text);
    }
    return size;
  }

  /** Adds to the partial frame; hands it on once it is whole. Returns where the chunk goes on. */
  #fillPartial(chunk: Buffer, at: number): number {
    while (at < chunk.length) {
      const taken = Math.min(this.#wanted - this.#filled, chunk.length - at);
      chunk.copy(this.#partial, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled < this.#wanted) return at;
      if (this.#wanted === frameHeaderBytes) {
        const size = this.#sizeOf(this.#partial, 0);
        if (size > 0) {
          const whole = Buffer.allocUnsafeSlow(frameHeaderBytes + size);
          this.#partial.copy(whole, 0, 0, frameHeaderBytes);
          this.#partial = whole;
          this.#wanted = whole.length;
          continue;
        }
      }
      const whole = this.#partial;
      this.#partial = Buffer.allocUnsafeSlow(frameHeaderBytes);
      this.#filled = 0;
      this.#wanted = frameHeaderBytes;
      this.#emit(whole, 0, whole.length);
      return at;
    }
    return at;
  }

  #emit(bytes: Buffer, at: number, end: number): void {
    const streamId =
      (((bytes[at + 5] as number) & 0x7f) << 24) |
      ((bytes[at + 6] as number) << 16) |
      ((bytes[at + 7] as number) << 8) |
      (bytes[at + 8] as number);
    const type = bytes[at + 3] as number;
    this.#sink.frame(type, bytes[at + 4] as number, streamId, bytes, at + frameHeaderBytes, end);
  }
}
