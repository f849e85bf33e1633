/** RFC 7541, the receiving side, with a memory of blocks that were seen before. */
import { ConnectionError, ErrorCode } from "./codes.ts";
import { HeaderBlock } from "./header-block.ts";
import { DynamicTable, staticEntries, staticFields } from "./hpack-table.ts";
import { huffmanDecode } from "./huffman.ts";
import type { Http2Limits } from "./limits.ts";
import { OverlongBlock } from "./overlong-block.ts";

/** What a block's bytes meant while the dynamic table was in this version. */
interface CachedBlock {
  readonly version: number;
  readonly bytes: Buffer;
  readonly block: HeaderBlock;
}

const recentMask = 0x3f;
const largestInteger = 0xfff_ffff;
/** Decoding is synchronous: all connections share what it needs. */
let scratch = Buffer.allocUnsafeSlow(16 * 1024);

export class HpackDecoder {
  readonly #limits: Http2Limits;
  readonly #table: DynamicTable;
  readonly #cache: (CachedBlock | undefined)[];
  /** The block of about this length that came last. */
  readonly #recent = new Array<CachedBlock | undefined>(recentMask + 1).fill(undefined);
  /** Hash of the last block of each slot: a block is kept when it comes a second time. */
  readonly #seen: Int32Array;
  /** The table's size must be lowered by the next block to this; see `lowerLimit`. */
  #owedLimit: number | undefined;
  #limitBytes: number;
  #at = 0;
  #end = 0;

  constructor(limits: Http2Limits) {
    this.#limits = limits;
    // Until our SETTINGS are acknowledged, the peer may use the default size.
    this.#limitBytes = 4_096;
    this.#table = new DynamicTable(Math.max(4_096, limits.headerTableBytes));
    this.#table.resize(4_096);
    let slots = 1;
    while (slots < limits.cachedBlocks) slots *= 2;
    this.#cache = new Array<CachedBlock | undefined>(slots).fill(undefined);
    this.#seen = new Int32Array(slots);
  }

  /** Bytes of the dynamic table, as RFC 7541 counts them. */
  get tableBytes(): number {
    return this.#table.bytes;
  }

  /** The peer has acknowledged SETTINGS_HEADER_TABLE_SIZE (RFC 7541 section 4.2). */
  limitAcknowledged(): void {
    this.#limitBytes = this.#limits.headerTableBytes;
    if (this.#limitBytes < this.#table.maxBytes) this.#owedLimit = this.#limitBytes;
  }

  /** Throws a ConnectionError (COMPRESSION_ERROR). */
  decode(bytes: Buffer, start: number, end: number): HeaderBlock {
    const { cachedBlockBytes } = this.#limits;
    const length = end - start;
    if (length > cachedBlockBytes || this.#owedLimit !== undefined) {
      return this.#decodeAnew(bytes, start, end);
    }
    const { version } = this.#table;
    // A peer sends few different blocks, and seldom two of one length.
    const recent = this.#recent[length & recentMask];
    if (recent !== undefined && recent.version === version) {
      if (sameBytes(recent.bytes, bytes, start, length)) return recent.block;
    }
    let hash = length;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0;
    const slot = (hash ^ (hash >>> 13)) & (this.#cache.length - 1);
    const cached = this.#cache[slot];
    if (cached !== undefined && cached.version === version) {
      if (sameBytes(cached.bytes, bytes, start, length)) {
        this.#recent[length & recentMask] = cached;
        return cached.block;
      }
    }
    const block = this.#decodeAnew(bytes, start, end);
    if (this.#seen[slot] !== hash) {
      this.#seen[slot] = hash;
    } else if (this.#table.version === version && !block.tooLarge) {
      const copy = Buffer.allocUnsafeSlow(length);
      copy.set(bytes.subarray(start, end));
      this.#cache[slot] = { version, bytes: copy, block };
    }
    return block;
  }

  /**
   * For a block that is too long to be kept whole; what it says goes into `block` up to the limit.
   */
  overlong(block: HeaderBlock): OverlongBlock {
    block.tooLarge = true;
    let begun = false;
    const field = (bytes: Buffer, start: number, end: number) => {
      this.#at = start;
      this.#end = end;
      if (!begun) this.#sizeUpdates(bytes);
      if (this.#at === end) return;
      begun = true;
      this.#fields(bytes, block);
    };
    const emptyTable = () => this.#table.empty();
    const fail = (what: string): never => {
      throw broken(what);
    };
    return new OverlongBlock({ field, emptyTable, fail }, this.#table.limitBytes);
  }

  #decodeAnew(bytes: Buffer, start: number, end: number): HeaderBlock {
    const block = new HeaderBlock();
    this.#at = start;
    this.#end = end;
    this.#sizeUpdates(bytes);
    this.#fields(bytes, block);
    return block;
  }

  #fields(bytes: Buffer, block: HeaderBlock): void {
    while (this.#at < this.#end) {
      const byte = bytes[this.#at] as number;
      if (byte >= 0x80) this.#indexed(bytes, block);
      else if (byte >= 0x40) this.#literal(bytes, block, 6, true);
      else if (byte >= 0x20) throw broken("a table size update after a field");
      else this.#literal(bytes, block, 4, false);
    }
  }

  #sizeUpdates(bytes: Buffer): void {
    while (this.#at < this.#end && ((bytes[this.#at] as number) & 0xe0) === 0x20) {
      const size = this.#integer(bytes, 5);
      if (size > this.#limitBytes) throw broken(`table size ${size} over ${this.#limitBytes}`);
      if (this.#owedLimit !== undefined && size <= this.#owedLimit) this.#owedLimit = undefined;
      this.#table.resize(size);
    }
    if (this.#owedLimit !== undefined) throw broken("no table size update after a lower limit");
  }

  #indexed(bytes: Buffer, block: HeaderBlock): void {
    const index = this.#integer(bytes, 7);
    const { headerListBytes, headerFields } = this.#limits;
    block.add(this.#name(index), this.#value(index), headerListBytes, headerFields);
  }

  #literal(bytes: Buffer, block: HeaderBlock, prefixBits: number, indexing: boolean): void {
    const secret = !indexing && ((bytes[this.#at] as number) & 0x10) !== 0;
    const index = this.#integer(bytes, prefixBits);
    const name = index === 0 ? this.#string(bytes) : this.#name(index);
    const value = this.#string(bytes);
    if (indexing) this.#table.add(name, value);
    if (secret) {
      block.secrets ??= [];
      if (!block.secrets.includes(name)) block.secrets.push(name);
    }
    const { headerListBytes, headerFields } = this.#limits;
    block.add(name, value, headerListBytes, headerFields);
  }

  #name(index: number): string {
    if (index > 0 && index <= staticEntries) return staticFields[2 * index - 2] as string;
    return this.#table.name(this.#dynamic(index));
  }

  #value(index: number): string {
    if (index > 0 && index <= staticEntries) return staticFields[2 * index - 1] as string;
    return this.#table.value(this.#dynamic(index));
  }

  #dynamic(index: number): number {
    const entry = index - staticEntries - 1;
    if (index === 0 || entry >= this.#table.entries) throw broken(`no table entry ${index}`);
    return entry;
  }

  /** RFC 7541 section 5.1. */
  #integer(bytes: Buffer, prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = (bytes[this.#at++] as number) & limit;
    if (value < limit) return value;
    for (let shift = 0; ; shift += 7) {
      if (this.#at >= this.#end) throw broken("an integer beyond its block");
      const byte = bytes[this.#at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      if (value > largestInteger || shift > 28) throw broken("an integer out of bounds");
      if (byte < 0x80) return value;
    }
  }

  /** RFC 7541 section 5.2. */
  #string(bytes: Buffer): string {
    if (this.#at >= this.#end) throw broken("a string beyond its block");
    const packed = (bytes[this.#at] as number) >= 0x80;
    const length = this.#integer(bytes, 7);
    const start = this.#at;
    if (length > this.#end - start) throw broken("a string beyond its block");
    this.#at = start + length;
    if (!packed) return bytes.toString("latin1", start, start + length);
    // The shortest code has five bits.
    if (scratch.length < length * 1.6) scratch = Buffer.allocUnsafeSlow(Math.ceil(length * 1.6));
    const decoded = huffmanDecode(bytes, start, start + length, scratch);
    if (decoded < 0) throw broken("an illegal Huffman code");
    return scratch.toString("latin1", 0, decoded);
  }
}

function sameBytes(known: Buffer, bytes: Buffer, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let at = 0; at < length; at++) {
    if (known[at] !== bytes[start + at]) return false;
  }
  return true;
}

function broken(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `header block: ${what}`);
}
