/** Frames of SPDY/3.1 (draft 3.1, section 2.2): bytes in, frames out, and back. */
import { SpdyError } from "./error.ts";
import { HeaderReader, type Headers, HeaderWriter } from "./header-block.ts";

/** Types of control frames. */
const Type = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Status of RST_STREAM. */
export const ResetStatus = { protocolError: 1, refusedStream: 3, cancel: 5 } as const;
export type ResetStatus = (typeof ResetStatus)[keyof typeof ResetStatus];

const finFlag = 0x01;
const version = 3;
const headBytes = 8;

/** Bytes of one frame behind its head. Clients send up to 32 KiB of data at a time. */
export const frameBytesMax = 256 * 1024;

export type Frame =
  | {
      readonly type: "synStream";
      readonly stream: number;
      readonly headers: Headers;
      readonly fin: boolean;
    }
  | {
      readonly type: "synReply";
      readonly stream: number;
      readonly headers: Headers;
      readonly fin: boolean;
    }
  | {
      readonly type: "headers";
      readonly stream: number;
      readonly headers: Headers;
      readonly fin: boolean;
    }
  | { readonly type: "data"; readonly stream: number; readonly data: Buffer; readonly fin: boolean }
  | { readonly type: "rstStream"; readonly stream: number; readonly status: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway"; readonly lastStream: number; readonly status: number }
  | { readonly type: "windowUpdate"; readonly stream: number; readonly delta: number }
  | { readonly type: "settings" };

/** Cuts frames out of pieces of any size. */
export class FrameReader {
  readonly #headers = new HeaderReader();
  #pieces: Buffer[] = [];
  #length = 0;
  /** How many bytes the next frame needs, as far as it is known. */
  #needed = headBytes;

  /** The frames that the piece completes. Throws SpdyError, after which there is no more. */
  *push(piece: Buffer): Generator<Frame, void> {
    if (piece.length > 0) this.#pieces.push(piece);
    this.#length += piece.length;
    while (this.#length >= this.#needed) {
      const all = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
      const bytes = all ?? Buffer.alloc(0);
      const bodyBytes = bytes.readUIntBE(5, 3);
      if (bodyBytes > frameBytesMax) {
        throw new SpdyError(`a frame of ${bodyBytes} bytes, at most ${frameBytesMax} are taken`);
      }
      const end = headBytes + bodyBytes;
      this.#pieces = [bytes];
      if (bytes.length < end) {
        this.#needed = end;
        return;
      }
      const rest = bytes.subarray(end);
      this.#pieces = rest.length > 0 ? [rest] : [];
      this.#length = rest.length;
      this.#needed = headBytes;
      yield this.#frameOf(bytes.subarray(0, end));
    }
  }

  #frameOf(bytes: Buffer): Frame {
    const first = bytes.readUInt32BE(0);
    const flags = bytes.readUInt8(4);
    const body = bytes.subarray(headBytes);
    const fin = (flags & finFlag) !== 0;
    if (first < 0x80000000) {
      return { type: "data", stream: streamOf(first), data: body, fin };
    }
    const told = (first >>> 16) & 0x7fff;
    if (told !== version) throw new SpdyError(`a frame of version ${told}, not ${version}`);
    return this.#control(first & 0xffff, body, fin);
  }

  #control(type: number, body: Buffer, fin: boolean): Frame {
    switch (type) {
      case Type.synStream: {
        const stream = streamOf(numberAt(body, 0));
        return { type: "synStream", stream, headers: this.#block(body, 10), fin };
      }
      case Type.synReply:
        return {
          type: "synReply",
          stream: streamOf(numberAt(body, 0)),
          headers: this.#block(body, 4),
          fin,
        };
      case Type.headers:
        return {
          type: "headers",
          stream: streamOf(numberAt(body, 0)),
          headers: this.#block(body, 4),
          fin,
        };
      case Type.rstStream:
        return {
          type: "rstStream",
          stream: streamOf(numberAt(body, 0)),
          status: numberAt(body, 4),
        };
      case Type.ping:
        return { type: "ping", id: numberAt(body, 0) };
      case Type.goAway:
        return { type: "goAway", lastStream: numberAt(body, 0), status: numberAt(body, 4) };
      case Type.windowUpdate:
        return { type: "windowUpdate", stream: numberAt(body, 0), delta: numberAt(body, 4) };
      case Type.settings:
        return { type: "settings" };
      default:
        throw new SpdyError(`a control frame of unknown type ${type}`);
    }
  }

  #block(body: Buffer, at: number): Headers {
    if (body.length < at) throw new SpdyError("a frame is cut off");
    return this.#headers.read(body.subarray(at));
  }
}

function numberAt(body: Buffer, at: number): number {
  if (body.length < at + 4) throw new SpdyError("a frame is cut off");
  return body.readUInt32BE(at) & 0x7fffffff;
}

function streamOf(id: number): number {
  const stream = id & 0x7fffffff;
  if (stream === 0) throw new SpdyError("stream 0 does not exist");
  return stream;
}

/** Makes the frames of one direction, in order. */
export class FrameWriter {
  readonly #headers = new HeaderWriter();

  synStream(stream: number, headers: Headers, fin = false): Buffer {
    const head = Buffer.alloc(10);
    head.writeUInt32BE(stream);
    return control(Type.synStream, [head, this.#headers.write(headers)], fin);
  }

  synReply(stream: number, headers: Headers, fin = false): Buffer {
    return control(Type.synReply, [numbers(stream), this.#headers.write(headers)], fin);
  }

  data(stream: number, data: Uint8Array, fin = false): Buffer {
    const head = Buffer.alloc(headBytes);
    head.writeUInt32BE(stream);
    head.writeUInt8(fin ? finFlag : 0, 4);
    head.writeUIntBE(data.length, 5, 3);
    return Buffer.concat([head, data]);
  }

  rstStream(stream: number, status: ResetStatus): Buffer {
    return control(Type.rstStream, [numbers(stream, status)]);
  }

  ping(id: number): Buffer {
    return control(Type.ping, [numbers(id)]);
  }

  goAway(lastStream: number): Buffer {
    return control(Type.goAway, [numbers(lastStream, 0)]);
  }
}

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}

function control(type: number, body: readonly Buffer[], fin = false): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt16BE(0x8000 | version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(fin ? finFlag : 0, 4);
  head.writeUIntBE(
    body.reduce((sum, each) => sum + each.length, 0),
    5,
    3,
  );
  return Buffer.concat([head, ...body]);
}
