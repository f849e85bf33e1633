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

const nothing = Buffer.of();
/** A buffer of pieces has room for so much at least. */
const smallestRoomBytes = 256;

/**
 * Cuts messages out of the pieces of a body. A piece that holds whole messages is not copied; a
 * message that comes in many pieces is put together in one buffer, so that a thousand frames of a
 * byte cost a thousand bytes, not what they arrived in.
 */
export class MessageReader {
  readonly #encoding: Encoding;
  readonly #maxBytes: number;
  /** The unread bytes are `#from..#end`. */
  #buffer: Buffer = nothing;
  #from = 0;
  #end = 0;
  /** The buffer is our own, and may be written behind `#end`. */
  #own = false;

  constructor(encoding: Encoding, maxBytes: number) {
    this.#encoding = encoding;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that belong to no complete message yet, or have not been asked for. */
  get bytes(): number {
    return this.#end - this.#from;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    if (this.bytes === 0) {
      this.#buffer = piece;
      this.#from = 0;
      this.#end = piece.length;
      this.#own = false;
      return;
    }
    this.#reserve(piece.length);
    this.#buffer.set(piece, this.#end);
    this.#end += piece.length;
  }

  /** Undefined: it has not arrived in full. Throws a StatusError for one that is not acceptable. */
  next(): Buffer | undefined {
    const length = this.#nextLength();
    if (length === undefined || this.bytes < prefixBytes + length) {
      this.#keep();
      return undefined;
    }
    const flag = this.#buffer[this.#from] as number;
    const start = this.#from + prefixBytes;
    const body = this.#buffer.subarray(start, start + length);
    this.#from = start + length;
    if (this.bytes === 0) this.#buffer = nothing;
    return plainMessage(flag, body, this.#encoding, this.#maxBytes);
  }

  /** Throws a StatusError when what has arrived is too large a message, or more than one. */
  checkSingle(): void {
    const length = this.#nextLength();
    if (length !== undefined && this.bytes > prefixBytes + length) {
      throw new StatusError(Code.internal, "more than one message, where one is expected");
    }
    this.#keep();
  }

  /** Undefined: not known yet. */
  #nextLength(): number | undefined {
    if (this.bytes < prefixBytes) return undefined;
    const length = this.#buffer.readUInt32BE(this.#from + 1);
    if (length > this.#maxBytes) throw tooLarge(`a message of ${length} bytes`, this.#maxBytes);
    return length;
  }

  /**
   * Copies an incomplete message, so that it does not keep alive the larger buffer it arrived in.
   */
  #keep(): void {
    if (!this.#own && this.bytes > 0) this.#reserve(0);
  }

  /** Room behind the end, in a buffer of our own; what was handed out stays as it is. */
  #reserve(more: number): void {
    if (this.#own && this.#buffer.length - this.#end >= more) return;
    const { bytes } = this;
    const wanted = bytes + more;
    const whole = prefixBytes + (this.#nextLength() ?? 0);
    const room = Math.max(wanted, Math.min(2 * wanted, whole), smallestRoomBytes);
    const grown = Buffer.allocUnsafeSlow(room);
    this.#buffer.copy(grown, 0, this.#from, this.#end);
    this.#buffer = grown;
    this.#from = 0;
    this.#end = bytes;
    this.#own = true;
  }
}
