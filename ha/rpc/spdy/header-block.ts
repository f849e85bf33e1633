/**
 * Header blocks of SPDY/3: names and values with their lengths, all blocks of one direction in one
 * zlib stream (RFC 1950, 1951) that is flushed behind each.
 */
import { inflateRawSync, constants as zlib } from "node:zlib";
import { dictionaryId, headerDictionary } from "./dictionary.ts";
import { SpdyError } from "./error.ts";

export type Headers = ReadonlyMap<string, string>;

export const headerLimits = {
  /** Bytes of one block, unpacked, and of its fields' count. */
  blockBytes: 16 * 1024,
  fields: 64,
} as const;

/** What deflate looks back over (RFC 1951 section 2). */
const windowBytes = 32 * 1024;
const zlibHeaderBytes = 6;
/** Deflate in a 32 KiB window, with a preset dictionary (RFC 1950 section 2.2). */
const zlibHead = [0x78, 0xbb];
/** An empty stored block, which the flush of a stream ends with: readers give out all before it. */
const flushMarker = Buffer.of(0, 0, 0, 0xff, 0xff);

/** Unpacks the blocks of one direction, in order. */
export class HeaderReader {
  /** What the stream has unpacked to, the newest part of it. */
  #window: Buffer = headerDictionary;
  #begun = false;

  /** Throws SpdyError. */
  read(packed: Buffer): Headers {
    let body = packed;
    if (!this.#begun) {
      checkZlibHeader(packed);
      body = packed.subarray(zlibHeaderBytes);
      this.#begun = true;
    }
    const block = unpack(body, this.#window);
    this.#window = Buffer.concat([this.#window, block]).subarray(-windowBytes);
    return parseBlock(block);
  }
}

function checkZlibHeader(packed: Buffer): void {
  const [method = 0, flags = 0] = packed;
  const whole = packed.length >= zlibHeaderBytes;
  const deflate = (method & 0x0f) === 8 && ((method << 8) | flags) % 31 === 0;
  if (!whole || !deflate || (flags & 0x20) === 0) {
    throw new SpdyError("the header blocks are no zlib stream with a dictionary");
  }
  if (packed.readUInt32BE(2) !== dictionaryId) {
    throw new SpdyError("the header blocks use a dictionary that is not SPDY/3's");
  }
}

function unpack(packed: Buffer, dictionary: Buffer): Buffer {
  const finishFlush = zlib.Z_SYNC_FLUSH;
  const maxOutputLength = headerLimits.blockBytes;
  try {
    return inflateRawSync(packed, { dictionary, finishFlush, maxOutputLength });
  } catch (error) {
    throw new SpdyError(`a header block cannot be unpacked: ${(error as Error).message}`);
  }
}

function parseBlock(block: Buffer): Headers {
  let at = 0;
  const number = () => {
    if (at + 4 > block.length) throw new SpdyError("a header block is cut off");
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = () => {
    const length = number();
    if (length > block.length - at) throw new SpdyError("a header block is cut off");
    at += length;
    return block.toString("latin1", at - length, at);
  };
  const count = number();
  if (count > headerLimits.fields) {
    throw new SpdyError(`${count} header fields, at most ${headerLimits.fields} are taken`);
  }
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const name = text();
    if (name === "" || name !== name.toLowerCase()) {
      throw new SpdyError(`header name ${JSON.stringify(name)} is not in lower case`);
    }
    if (headers.has(name)) throw new SpdyError(`header ${name} is there twice`);
    headers.set(name, text());
  }
  if (at !== block.length) throw new SpdyError("bytes behind a header block");
  return headers;
}

/** Packs the blocks of one direction; as they are short, they are stored and not compressed. */
export class HeaderWriter {
  #begun = false;

  write(headers: Headers): Buffer {
    const parts: Buffer[] = [uint32(headers.size)];
    for (const field of headers) {
      for (const text of field) {
        const bytes = Buffer.from(text, "latin1");
        parts.push(uint32(bytes.length), bytes);
      }
    }
    const block = Buffer.concat(parts);
    if (block.length > headerLimits.blockBytes) throw new SpdyError("headers too long to be sent");
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(block.length, 1);
    stored.writeUInt16LE(block.length ^ 0xffff, 3);
    const head = this.#begun ? [] : [Buffer.from(zlibHead), uint32(dictionaryId)];
    this.#begun = true;
    return Buffer.concat([...head, stored, block, flushMarker]);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
