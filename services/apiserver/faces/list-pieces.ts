/** A list as bytes that are made a piece at a time, from the references of one page. */
import { assert } from "../../../ha/runtime/assert.ts";
import type { StoredObject } from "../storage/stored-object.ts";

/** How items are written, one behind the other. */
export interface ItemFormat {
  readonly head: Uint8Array;
  /** Between two items. */
  readonly separator: Uint8Array;
  readonly tail: Uint8Array;
  /** Items of one piece at most, where it takes long to make them. */
  readonly itemsOfPiece: number;
  /** Bytes of an item, which `write` is asked for next. */
  bytesOf(object: StoredObject): number;
  /** Copies the item to this place. */
  write(object: StoredObject, into: Buffer, at: number): void;
}

const pieceBytes = 64 * 1024;

export class ListPieces {
  readonly #items: readonly StoredObject[];
  readonly #format: ItemFormat;
  #next = 0;
  #begun = false;
  #ended = false;

  constructor(items: readonly StoredObject[], format: ItemFormat) {
    this.#items = items;
    this.#format = format;
  }

  /** Undefined: there are no more. */
  next(): Uint8Array | undefined {
    if (!this.#begun) {
      this.#begun = true;
      return this.#format.head;
    }
    if (this.#next < this.#items.length) return this.#someItems();
    if (this.#ended) return undefined;
    this.#ended = true;
    return this.#format.tail;
  }

  #someItems(): Uint8Array {
    const { separator, itemsOfPiece } = this.#format;
    let piece = nothing;
    let at = 0;
    const last = Math.min(this.#items.length, this.#next + itemsOfPiece);
    while (this.#next < last) {
      const object = this.#items[this.#next] as StoredObject;
      const before = this.#next === 0 ? 0 : separator.length;
      const end = at + before + this.#format.bytesOf(object);
      if (end > piece.length) {
        if (at > 0) break;
        piece = Buffer.allocUnsafeSlow(Math.max(pieceBytes, end));
      }
      if (before > 0) piece.set(separator, at);
      this.#format.write(object, piece, at + before);
      this.#next += 1;
      at = end;
    }
    return piece.subarray(0, at);
  }
}

const nothing = Buffer.alloc(0);

/** The items' own JSON text, as the cache holds it. */
export function jsonFormat(head: object, items: readonly StoredObject[]): ItemFormat {
  return {
    head: Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`),
    separator: comma,
    tail: listEnd,
    // A text that has yet to be made takes longer.
    itemsOfPiece: items[0]?.isView === true ? madeItems : Number.POSITIVE_INFINITY,
    bytesOf: ({ jsonLength }) => jsonLength,
    write: (object, into, at) => {
      object.writeJson(into, at);
    },
  };
}

/** Items that are made of their documents. */
export function madeFormat(
  { head, separator, tail }: { head: string; separator: string; tail: string },
  textOf: (object: StoredObject) => string,
): ItemFormat {
  let [made, bytes]: [StoredObject | undefined, Buffer] = [undefined, nothing];
  return {
    head: Buffer.from(head),
    separator: Buffer.from(separator),
    tail: Buffer.from(tail),
    itemsOfPiece: madeItems,
    bytesOf: (object) => {
      if (made !== object) {
        made = object;
        bytes = Buffer.from(textOf(object));
      }
      return bytes.length;
    },
    write: (object, into, at) => {
      assert(made === object, "an item is written whose length was asked for");
      bytes.copy(into, at);
    },
  };
}

/** Some milliseconds of parsing and printing. */
const madeItems = 16;
const comma = Buffer.from(",");
const listEnd = Buffer.from("]}");
