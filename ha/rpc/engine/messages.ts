/** gRPC's messages: five bytes of prefix and the bytes (grpc/grpc `doc/PROTOCOL-HTTP2.md`). */
import { gunzipSync, inflateSync } from "node:zlib";
import { Code, StatusError } from "../../runtime/status-error.ts";

export const prefixBytes = 5;

export const Encoding = { identity: 0, gzip: 1, deflate: 2 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

/** The value of `grpc-accept-encoding`. */
export const acceptedEncodings = "identity,deflate,gzip";

/** Undefined for one that is not among the accepted. */
export function encodingOf(name: string | undefined): Encoding | undefined {
  if (name === undefined || name === "identity") return Encoding.identity;
  if (name === "gzip") return Encoding.gzip;
  return name === "deflate" ? Encoding.deflate : undefined;
}

/** The prefix of an uncompressed message of so many bytes. Answers where the message begins. */
export function writeMessagePrefix(into: Uint8Array, at: number, length: number): number {
  into[at] = 0;
  into[at + 1] = length >>> 24;
  into[at + 2] = length >>> 16;
  into[at + 3] = length >>> 8;
  into[at + 4] = length;
  return at + prefixBytes;
}

/** A message with its prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed.set(message, writeMessagePrefix(framed, 0, message.length));
  return framed;
}

/** The message behind a prefix whose first byte is `flag`. Throws a StatusError. */
export function plainMessage(
  flag: number,
  body: Buffer,
  encoding: Encoding,
  maxBytes: number,
): Buffer {
  if (flag === 0) return body;
  if (flag !== 1) throw new StatusError(Code.internal, `a message with flag ${flag}`);
  if (encoding === Encoding.identity) {
    throw new StatusError(Code.internal, "a compressed message without grpc-encoding");
  }
  try {
    const limit = { maxOutputLength: maxBytes };
    return encoding === Encoding.gzip ? gunzipSync(body, limit) : inflateSync(body, limit);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw tooLarge("a decompressed message", maxBytes);
    }
    throw new StatusError(Code.internal, "a message could not be decompressed");
  }
}

export function tooLarge(what: string, maxBytes: number): StatusError {
  return new StatusError(Code.resourceExhausted, `${what} is over the limit of ${maxBytes} bytes`);
}

/** Pieces from this size on are kept as they have come; smaller ones are collected. */
const largePieceBytes = 4 * 1024;
/** Room of a buffer in which pieces are collected. */
const collectedBytes = { least: 256, most: 64 * 1024 } as const;

/** Its unread bytes are `from..end`. */
interface Piece {
  buffer: Buffer;
  from: number;
  end: number;
  /** It may be written behind `end`. */
  own: boolean;
}

/**
 * Cuts messages out of the pieces of a body. A message that is within one piece is not copied, one
 * that lies in several is put together when all of it is there; small pieces are collected, so that
 * a thousand frames of a byte cost a thousand bytes, not what they arrived in.
 */
export class MessageReader {
  readonly #encoding: Encoding;
  readonly #maxBytes: number;
  /** What has not been read, in order; none is empty. */
  readonly #pieces: Piece[] = [];
  #bytes = 0;

  constructor(encoding: Encoding, maxBytes: number) {
    this.#encoding = encoding;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that belong to no complete message yet, or have not been asked for. */
  get bytes(): number {
    return this.#bytes;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#bytes += piece.length;
    if (this.#pieces.length === 0 || piece.length >= largePieceBytes) {
      this.#pieces.push({ buffer: piece, from: 0, end: piece.length, own: false });
    } else this.#collect(piece);
  }

  /** Undefined: it has not arrived in full. Throws a StatusError for one that is not acceptable. */
  next(): Buffer | undefined {
    const length = this.#nextLength();
    if (length === undefined || this.#bytes < prefixBytes + length) {
      this.#keep();
      return undefined;
    }
    const flag = this.#byteAt(0);
    this.#skip(prefixBytes);
    return plainMessage(flag, this.#take(length), this.#encoding, this.#maxBytes);
  }

  /** Throws a StatusError when what has arrived is too large a message, or more than one. */
  checkSingle(): void {
    const length = this.#nextLength();
    if (length !== undefined && this.#bytes > prefixBytes + length) {
      throw new StatusError(Code.internal, "more than one message, where one is expected");
    }
    this.#keep();
  }

  /** Undefined: not known yet. */
  #nextLength(): number | undefined {
    if (this.#bytes < prefixBytes) return undefined;
    const [first] = this.#pieces as [Piece];
    const length =
      first.end - first.from >= prefixBytes
        ? first.buffer.readUInt32BE(first.from + 1)
        : Buffer.of(...[1, 2, 3, 4].map((at) => this.#byteAt(at))).readUInt32BE();
    if (length > this.#maxBytes) throw tooLarge(`a message of ${length} bytes`, this.#maxBytes);
    return length;
  }

  #byteAt(index: number): number {
    let at = index;
    for (const { buffer, from, end } of this.#pieces) {
      if (at < end - from) return buffer[from + at] as number;
      at -= end - from;
    }
    throw new RangeError(`byte ${index} of ${this.#bytes}`);
  }

  /** The next bytes, which are all there. */
  #take(length: number): Buffer {
    const [first] = this.#pieces;
    if (first === undefined || length <= first.end - first.from) {
      const { buffer, from } = first ?? noBytes;
      this.#skip(length);
      return buffer.subarray(from, from + length);
    }
    const whole = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const { buffer, from, end } of this.#pieces) {
      at += buffer.copy(whole, at, from, Math.min(end, from + length - at));
      if (at === length) break;
    }
    this.#skip(length);
    return whole;
  }

  #skip(length: number): void {
    this.#bytes -= length;
    let left = length;
    for (let first = this.#pieces[0]; first !== undefined; first = this.#pieces[0]) {
      const taken = Math.min(left, first.end - first.from);
      first.from += taken;
      left -= taken;
      if (first.from < first.end) return;
      this.#pieces.shift();
    }
  }

  /** Copies it behind what has been collected last. */
  #collect(piece: Buffer): void {
    let last = this.#pieces.at(-1);
    const unread = last === undefined ? 0 : last.end - last.from;
    if (last === undefined || !last.own || unread + piece.length > collectedBytes.most) {
      last = this.#collected(nothing, piece.length);
      this.#pieces.push(last);
    } else if (last.buffer.length - last.end < piece.length) {
      const twice = 2 * (unread + piece.length);
      last = this.#collected(last.buffer.subarray(last.from, last.end), twice);
      this.#pieces[this.#pieces.length - 1] = last;
    }
    // What was handed out of the buffer lies before the end, and stays as it is.
    last.end += piece.copy(last.buffer, last.end);
  }

  /** A buffer of our own, that begins with these bytes. */
  #collected(bytes: Buffer, room: number): Piece {
    const size = Math.max(room, bytes.length, collectedBytes.least);
    const buffer = Buffer.allocUnsafeSlow(size);
    return { buffer, from: 0, end: bytes.copy(buffer), own: true };
  }

  /** What is left of a piece, when it is little, does not keep alive the larger buffer it came in. */
  #keep(): void {
    const [first] = this.#pieces;
    if (first === undefined || first.own || first.end - first.from >= largePieceBytes) return;
    this.#pieces[0] = this.#collected(first.buffer.subarray(first.from, first.end), 0);
  }
}

const nothing = Buffer.of();
const noBytes = { buffer: nothing, from: 0 } as const;
