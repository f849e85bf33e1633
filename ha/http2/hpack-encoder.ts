/**
 * Header blocks that do not depend on the connection they are sent on: static table and literals,
 * never the dynamic table. So a block is encoded once and sent as often, and wherever, it is
 * wanted; and the decoder at the other end, if it is ours, knows it by its bytes.
 */
import { staticFields } from "./hpack-table.ts";
import { huffmanEncode, huffmanLength } from "./huffman.ts";

const staticNames = new Map<string, number>();
const staticPairs = new Map<string, number>();
for (let at = 0; at < staticFields.length; at += 2) {
  const name = staticFields[at] as string;
  const pair = `${name}\n${staticFields[at + 1]}`;
  if (!staticNames.has(name)) staticNames.set(name, at / 2 + 1);
  if (!staticPairs.has(pair)) staticPairs.set(pair, at / 2 + 1);
}

const indexedMark = 0x80;
const literalMark = 0x00;
const neverIndexedMark = 0x10;
/** Length from which a text is Huffman-coded, where that saves something. */
const huffmanFrom = 64;

/** Fields that are never to be put into a table anywhere (RFC 7541 section 7.1.3). */
const secretNames = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

/**
 * Name and value alternately, one byte a character, pseudo fields first. `secrets` names further
 * fields to mark as never indexed, as a proxy must that received them so.
 */
export function encodeHeaders(
  fields: readonly string[],
  secrets: readonly string[] = [],
): Uint8Array {
  let room = 0;
  for (const text of fields) room += text.length + 6;
  const target = Buffer.allocUnsafeSlow(room);
  let at = 0;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    const hidden = secretNames.has(name) || secrets.includes(name);
    const pair = hidden ? undefined : staticPairs.get(`${name}\n${value}`);
    if (pair !== undefined) at = encodeInteger(target, at, indexedMark, 7, pair);
    else at = encodeLiteral(target, at, name, value, hidden);
  }
  return target.subarray(0, at);
}

/** Encodes further fields of one block into the same memory again and again. */
export class FieldWriter {
  #target = Buffer.allocUnsafeSlow(256);
  #at = 0;

  /** Valid until `clear`. */
  get bytes(): Uint8Array {
    return this.#at === 0 ? nothing : this.#target.subarray(0, this.#at);
  }

  clear(): void {
    this.#at = 0;
  }

  /** Fields that `encodeHeaders` has encoded. */
  append(block: Uint8Array): void {
    this.#reserve(block.length);
    this.#target.set(block, this.#at);
    this.#at += block.length;
  }

  #reserve(length: number): void {
    const room = this.#at + length;
    if (room <= this.#target.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * room);
    this.#target.copy(larger, 0, 0, this.#at);
    this.#target = larger;
  }

  add(name: string, value: string): void {
    this.#reserve(name.length + value.length + 12);
    this.#at = encodeLiteral(this.#target, this.#at, name, value, secretNames.has(name));
  }
}

const nothing = Buffer.alloc(0);

function encodeLiteral(
  target: Buffer,
  at: number,
  name: string,
  value: string,
  hidden: boolean,
): number {
  const known = staticNames.get(name);
  at = encodeInteger(target, at, hidden ? neverIndexedMark : literalMark, 4, known ?? 0);
  if (known === undefined) at = encodeString(target, at, name);
  return encodeString(target, at, value);
}

/** RFC 7541 section 5.1. Returns the end of what it wrote. */
export function encodeInteger(
  target: Uint8Array,
  at: number,
  mark: number,
  prefixBits: number,
  value: number,
): number {
  const limit = (1 << prefixBits) - 1;
  if (value < limit) {
    target[at] = mark | value;
    return at + 1;
  }
  target[at++] = mark | limit;
  value -= limit;
  while (value >= 0x80) {
    target[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[at] = value;
  return at + 1;
}

function encodeString(target: Buffer, at: number, text: string): number {
  // A short text is cheaper to send as it is than to decode at the other end.
  const packed = text.length < huffmanFrom ? text.length : huffmanLength(text);
  if (packed < text.length) {
    at = encodeInteger(target, at, 0x80, 7, packed);
    return huffmanEncode(text, target, at);
  }
  at = encodeInteger(target, at, 0, 7, text.length);
  return at + target.write(text, at, "latin1");
}
