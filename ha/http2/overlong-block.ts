/**
 * Follows a header block that is too long to be kept. Its stream is refused, but the connection's
 * other streams go on, so the decoder's dynamic table must see every field (RFC 7541 section 2.2).
 * Fields are decoded as they arrive and then dropped. A literal that is too long for the table is
 * passed over unread: to add it would only empty the table (RFC 7541 section 4.4).
 */

/** What the decoder does for the block. */
export interface FieldSink {
  /** `bytes[start..end)` is one whole field, or one table size update. */
  field(bytes: Buffer, start: number, end: number): void;
  /** A field was added to the table that the table cannot hold. */
  emptyTable(): void;
  /** Throws the connection error for a block that breaks RFC 7541. */
  fail(what: string): never;
}

/** The shortest Huffman code for a byte has 5 bits, the longest 30 (RFC 7541 appendix B). */
const longestCodeBytes = 30 / 8;

const State = {
  /** A field begins. */
  field: 0,
  /** The value of a field begins whose name was passed over. */
  value: 1,
  /** The last string of a field has been passed over. */
  end: 2,
} as const;
type State = (typeof State)[keyof typeof State];

interface Integer {
  readonly value: number;
  readonly end: number;
}

export class OverlongBlock {
  readonly #sink: FieldSink;
  readonly #longestKept: number;
  #pending = Buffer.alloc(0);
  #state: State = State.field;
  /** Bytes of the present string that are passed over. */
  #skip = 0;
  #indexing = false;

  /** `tableBytes`: the most that the dynamic table can hold. */
  constructor(sink: FieldSink, tableBytes: number) {
    this.#sink = sink;
    this.#longestKept = Math.ceil(tableBytes * longestCodeBytes);
  }

  /** The next piece of the block. Keeps no more of it than one field that fits into the table. */
  take(piece: Buffer): void {
    const bytes = this.#pending.length === 0 ? piece : Buffer.concat([this.#pending, piece]);
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#skip, bytes.length - at);
      this.#skip -= skipped;
      at += skipped;
      if (this.#skip > 0) break;
      const next = this.#step(bytes, at);
      if (next === undefined) break;
      at = next;
    }
    this.#pending = Buffer.from(bytes.subarray(at));
  }

  /** The block is complete. */
  end(): void {
    if (this.#skip > 0 || this.#pending.length > 0 || this.#state === State.value) {
      this.#sink.fail("a field beyond its block");
    }
  }

  /** Where the next step begins; undefined: it needs bytes that have not come. */
  #step(bytes: Buffer, at: number): number | undefined {
    if (this.#state === State.end) {
      if (this.#indexing) this.#sink.emptyTable();
      this.#state = State.field;
      return at;
    }
    if (at >= bytes.length) return undefined;
    if (this.#state === State.field) return this.#field(bytes, at);
    const length = this.#integer(bytes, at, 7);
    if (length === undefined) return undefined;
    return this.#passOver(length, State.end);
  }

  #field(bytes: Buffer, start: number): number | undefined {
    const first = bytes[start] as number;
    const literal = first < 0x20 || (first >= 0x40 && first < 0x80);
    const prefixBits = first >= 0x80 ? 7 : first >= 0x40 ? 6 : first >= 0x20 ? 5 : 4;
    const index = this.#integer(bytes, start, prefixBits);
    if (index === undefined) return undefined;
    let { end } = index;
    if (literal) {
      this.#indexing = first >= 0x40;
      // The name, unless the table has it, and the value.
      for (let strings = index.value === 0 ? 2 : 1; strings > 0; strings--) {
        const length = this.#integer(bytes, end, 7);
        if (length === undefined) return undefined;
        if (length.value > this.#longestKept) {
          return this.#passOver(length, strings === 2 ? State.value : State.end);
        }
        end = length.end + length.value;
        if (end > bytes.length) return undefined;
      }
    }
    this.#sink.field(bytes, start, end);
    return end;
  }

  #passOver({ value, end }: Integer, then: State): number {
    this.#skip = value;
    this.#state = then;
    return end;
  }

  /** RFC 7541 section 5.1. Undefined: it has not come in full. */
  #integer(bytes: Buffer, at: number, prefixBits: number): Integer | undefined {
    const first = bytes[at];
    if (first === undefined) return undefined;
    const limit = (1 << prefixBits) - 1;
    let value = first & limit;
    if (value < limit) return { value, end: at + 1 };
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[++at];
      if (shift > 28) return this.#sink.fail("an integer out of bounds");
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return { value, end: at + 1 };
    }
  }
}
