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

/** A message with its prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
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

/** Cuts messages out of the pieces of a body. */
export class MessageReader {
  readonly #encoding: Encoding;
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
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
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  /** Undefined: it has not arrived in full. Throws a StatusError for one that is not acceptable. */
  next(): Buffer | undefined {
    if (this.#bytes < prefixBytes) return undefined;
    let first = this.#pieces[0] as Buffer;
    if (first.length < prefixBytes) first = this.#joined();
    const length = first.readUInt32BE(1);
    if (length > this.#maxBytes) throw tooLarge(`a message of ${length} bytes`, this.#maxBytes);
    const end = prefixBytes + length;
    if (this.#bytes < end) return undefined;
    if (first.length < end) first = this.#joined();
    if (first.length === end) this.#pieces.shift();
    else this.#pieces[0] = first.subarray(end);
    this.#bytes -= end;
    const body = first.subarray(prefixBytes, end);
    return plainMessage(first[0] as number, body, this.#encoding, this.#maxBytes);
  }

  #joined(): Buffer {
    const joined = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [joined];
    return joined;
  }
}
