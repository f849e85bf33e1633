/**
 * A small protobuf reader and writer for the store's own messages (`proto/store.proto`).
 *
 * The generated code passes every 64-bit field through a BigInt and every `bytes` field through a
 * view; on the path of each replicated write that costs more than all the rest of `apply`. What is
 * written here reads back with the generated code and the other way round (test/store/codec).
 */
import { AssertionError } from "../runtime/assert.ts";
import { crc32 } from "../runtime/crc32.ts";
import { bufferOf } from "./text.ts";

const chunkBytes = 64 * 1024;
const two28 = 2 ** 28;
const two32 = 2 ** 32;

/** Number of bytes of `value` as a varint; `value` is a non-negative safe integer. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < two28) return 4;
  let bytes = 4;
  for (let rest = Math.floor(value / two28); rest > 0; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Not `assert` with a text: it would be put together for every field written. */
function checkInteger(field: number, value: number): void {
  if (Number.isSafeInteger(value)) return;
  throw new AssertionError(`field ${field} is ${value}, must be an integer below 2^53`);
}

/**
 * Writes one message after the other into shared chunks of 64 KiB: `finish` hands out a view. A
 * caller that keeps a view for long copies it.
 */
export class WireWriter {
  private buffer: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  /** Offset at which the present message begins. */
  private start = 0;
  private position = 0;

  /** The message written since the last `finish`. */
  finish(): Uint8Array {
    const { buffer, start, position } = this;
    this.start = position;
    return new Uint8Array(buffer.buffer, start, position - start);
  }

  /** Bytes of the present message so far. */
  get length(): number {
    return this.position - this.start;
  }

  private room(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    const written = this.position - this.start;
    const next = Buffer.allocUnsafeSlow(Math.max(chunkBytes, 2 * written + bytes));
    this.buffer.copy(next, 0, this.start, this.position);
    this.buffer = next;
    this.start = 0;
    this.position = written;
  }

  varint(value: number): void {
    this.room(10);
    const { buffer } = this;
    let { position } = this;
    while (value >= two28) {
      buffer[position++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value > 0x7f) {
      buffer[position++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[position++] = value;
    this.position = position;
  }

  /** A tag below 128, i.e. of field 1 to 15. */
  private tag(tag: number): void {
    this.room(1);
    this.buffer[this.position++] = tag;
  }

  number(field: number, value: number): void {
    checkInteger(field, value);
    this.tag(field * 8);
    if (value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    this.room(10);
    for (; rest > 127n; rest >>= 7n) this.buffer[this.position++] = Number(rest & 127n) | 0x80;
    this.buffer[this.position++] = Number(rest);
  }

  /** Writes nothing when false or absent. */
  flag(field: number, value: boolean | undefined): void {
    if (value !== true) return;
    this.tag(field * 8);
    this.varint(1);
  }

  fixed64(field: number, value: number): void {
    checkInteger(field, value);
    this.tag(field * 8 + 1);
    this.room(8);
    this.buffer.writeUInt32LE(value >>> 0, this.position);
    this.buffer.writeInt32LE(Math.floor(value / two32), this.position + 4);
    this.position += 8;
  }

  bytes(field: number, value: Uint8Array): void {
    this.tag(field * 8 + 2);
    this.varint(value.length);
    this.room(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  /** A latin1 text, as bytes; also right for any ASCII string. */
  text(field: number, value: string): void {
    this.tag(field * 8 + 2);
    this.varint(value.length);
    this.room(value.length);
    this.buffer.write(value, this.position, value.length, "latin1");
    this.position += value.length;
  }

  string(field: number, value: string): void {
    this.tag(field * 8 + 2);
    const length = Buffer.byteLength(value, "utf8");
    this.varint(length);
    this.room(length);
    this.buffer.write(value, this.position, length, "utf8");
    this.position += length;
  }

  /** Bytes without a tag. */
  raw(value: Uint8Array): void {
    this.room(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }

  byte(value: number): void {
    this.room(1);
    this.buffer[this.position++] = value;
  }

  /** CRC-32 of the present message so far; `seed`: of what goes before it. */
  checksum(seed: number): number {
    return crc32(this.buffer, this.start, this.position, seed);
  }

  /** Four bytes, least significant first. */
  littleEndian32(value: number): void {
    this.room(4);
    this.position = this.buffer.writeUInt32LE(value, this.position);
  }

  /** Eight bytes, most significant first, of a non-negative safe integer. */
  bigEndian64(value: number): void {
    this.room(8);
    this.buffer.writeUInt32BE(Math.floor(value / two32), this.position);
    this.buffer.writeUInt32BE(value >>> 0, this.position + 4);
    this.position += 8;
  }

  /** Opens an embedded message of exactly `length` bytes. */
  open(field: number, length: number): void {
    this.tag(field * 8 + 2);
    this.varint(length);
  }

  /**
   * Begins an embedded message whose length is not known; returns the mark for {@link end}. The
   * better the guess, the rarer its bytes have to be moved.
   */
  begin(field: number, guess: number): number {
    this.tag(field * 8 + 2);
    const prefix = varintBytes(guess);
    this.room(prefix);
    this.position += prefix;
    // Kept relative to the message: the chunk under it may change.
    return (this.position - this.start) * 16 + prefix;
  }

  end(mark: number): void {
    // Now: writing the length below must not change to another chunk.
    this.room(10);
    const prefix = mark % 16;
    const from = this.start + (mark - prefix) / 16;
    const length = this.position - from;
    const needed = varintBytes(length);
    if (needed === prefix) {
      const end = this.position;
      this.position = from - prefix;
      this.varint(length);
      this.position = end;
      return;
    }
    this.buffer.copyWithin(from - prefix + needed, from, this.position);
    this.position = from - prefix;
    this.varint(length);
    this.position += length;
  }
}

/** Reads one message and those embedded in it. Throws `RangeError` at bytes that are none. */
export class WireReader {
  private readonly buffer: Buffer;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array) {
    this.buffer = bufferOf(bytes);
    this.position = 0;
    this.end = bytes.length;
  }

  /** A varint as an unsigned safe integer, or a negative one in two's complement. */
  varint(): number {
    const { buffer } = this;
    let { position } = this;
    let byte = buffer[position++] ?? this.truncated();
    let value = byte & 0x7f;
    if (byte >= 0x80) {
      let factor = 128;
      for (let count = 1; byte >= 0x80; count++) {
        if (count === 8) return this.wideVarint();
        byte = buffer[position++] ?? this.truncated();
        value += (byte & 0x7f) * factor;
        factor *= 128;
      }
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("integer beyond 2^53");
    }
    this.position = position;
    return value;
  }

  private wideVarint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.buffer[this.position++] ?? this.truncated();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const number = Number(BigInt.asIntN(64, value));
        if (!Number.isSafeInteger(number)) throw new RangeError("integer beyond 2^53");
        return number;
      }
    }
    throw new RangeError("varint longer than 10 bytes");
  }

  private truncated(): never {
    throw new RangeError(`message of ${this.end} bytes ends in the middle of a field`);
  }

  private length(): number {
    const length = this.varint();
    if (length < 0 || length > this.end - this.position) this.truncated();
    return length;
  }

  /** Length-delimited bytes as a latin1 text. */
  text(): string {
    const length = this.length();
    const from = this.position;
    this.position = from + length;
    return this.buffer.toString("latin1", from, from + length);
  }

  string(): string {
    const length = this.length();
    const from = this.position;
    this.position = from + length;
    return this.buffer.toString("utf8", from, from + length);
  }

  /** A view. */
  bytes(): Uint8Array {
    const length = this.length();
    const from = this.position;
    this.position = from + length;
    return this.buffer.subarray(from, from + length);
  }

  fixed64(): number {
    if (this.end - this.position < 8) this.truncated();
    const low = this.buffer.readUInt32LE(this.position);
    const high = this.buffer.readInt32LE(this.position + 4);
    this.position += 8;
    const value = high * two32 + low;
    if (!Number.isSafeInteger(value)) throw new RangeError("integer beyond 2^53");
    return value;
  }

  bool(): boolean {
    return this.varint() !== 0;
  }

  /** Enters an embedded message; returns where it ends. */
  enter(): number {
    const length = this.length();
    return this.position + length;
  }

  /** Passes over a field whose tag was just read. */
  skip(tag: number): void {
    const type = tag & 7;
    if (type === 0) this.varint();
    else if (type === 1) this.position += 8;
    else if (type === 2) this.position = this.enter();
    else if (type === 5) this.position += 4;
    else throw new RangeError(`wire type ${type} of tag ${tag} is unknown`);
    if (this.position > this.end) this.truncated();
  }
}
