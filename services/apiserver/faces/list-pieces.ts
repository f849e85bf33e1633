/** A list as bytes that are made a piece at a time, from the references of one page. */
import { type PieceSource, pieceBytes } from "../../../ha/rpc/mod.ts";
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
  /** Bytes that an item has at most; `write` is asked for it next. */
  roomOf(object: StoredObject): number;
  /** Copies the item to this place, and answers where it ends. */
  write(object: StoredObject, into: Buffer, at: number): number;
}

/** All pieces of this process are made here, one after the other. */
const scratch = Buffer.allocUnsafeSlow(pieceBytes.most);

export class ListPieces implements PieceSource {
  readonly #items: readonly StoredObject[];
  readonly #format: ItemFormat;
  readonly #release: () => void;
  #next = 0;
  #begun = false;
  #ended = false;

  constructor(items: readonly StoredObject[], format: ItemFormat, release: () => void) {
    this.#items = items;
    this.#format = format;
    this.#release = release;
  }

  next(room: number): Uint8Array | undefined {
    if (!this.#begun) {
      this.#begun = true;
      return this.#format.head;
    }
    if (this.#next < this.#items.length) return this.#someItems(room);
    if (this.#ended) return undefined;
    this.#ended = true;
    return this.#format.tail;
  }

  idle(): void {
    this.#release();
  }

  close(): void {
    this.#release();
  }

  /** One at least. */
  #someItems(room: number): Uint8Array {
    const { separator, itemsOfPiece } = this.#format;
    let piece = scratch;
    let most = Math.min(room, scratch.length);
    let at = 0;
    const last = Math.min(this.#items.length, this.#next + itemsOfPiece);
    while (this.#next < last) {
      const object = this.#items[this.#next] as StoredObject;
      const before = this.#next === 0 ? 0 : separator.length;
      const needed = at + before + this.#format.roomOf(object);
      if (needed > most) {
        if (at > 0) break;
        most = needed;
        if (needed > piece.length) piece = Buffer.allocUnsafeSlow(needed);
      }
      if (before > 0) piece.set(separator, at);
      at = this.#format.write(object, piece, at + before);
      this.#next += 1;
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
    roomOf: ({ jsonRoom }) => jsonRoom,
    write: (object, into, at) => object.writeJson(into, at),
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
    roomOf: (object) => {
      if (made !== object) {
        made = object;
        bytes = Buffer.from(textOf(object));
      }
      return bytes.length;
    },
    write: (object, into, at) => {
      assert(made === object, "an item is written whose room was asked for");
      return at + bytes.copy(into, at);
    },
  };
}

/** Some milliseconds of parsing and printing. */
const madeItems = 16;
const comma = Buffer.from(",");
const listEnd = Buffer.from("]}");
