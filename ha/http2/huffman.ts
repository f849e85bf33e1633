/**
 * The Huffman code of RFC 7541 appendix B.
 *
 * The code is canonical: it follows from the lengths alone. Decoding walks a table by half bytes;
 * no code is shorter than five bits, so that each step gives one symbol at most.
 */
import { assert } from "../runtime/assert.ts";

/** Bits of the code of each byte, then of EOS, as base-36 digits. */
const lengthDigits =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad677777777777777777777" +
  "77878djde6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmo" +
  "lmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu";

const endOfString = 256;
const lengths = Uint8Array.from(lengthDigits, (digit) => Number.parseInt(digit, 36));
assert(lengths.length === 257, "the Huffman code has 257 symbols");
const codes = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const order = [...lengths.keys()].sort((a, b) => bitsOf(a) - bitsOf(b) || a - b);
  const result = new Uint32Array(lengths.length);
  let code = 0;
  let bits = 0;
  for (const symbol of order) {
    code <<= bitsOf(symbol) - bits;
    bits = bitsOf(symbol);
    result[symbol] = code++;
  }
  return result;
}

function bitsOf(symbol: number): number {
  return lengths[symbol] as number;
}

/** Entry of the decoding table: next state, and what the step means. */
const emits = 0x1_0000;
const fails = 0x2_0000;
/** The string may end in this state: what is left is a prefix of EOS, shorter than a byte. */
const accepts = 0x4_0000;

/** 16 entries a state: next state (bits 0–7), symbol (8–15), the marks above. */
const steps = buildSteps();

function buildSteps(): Uint32Array {
  // Inner nodes of the code tree; children: a node number, or -1 - symbol.
  const children: number[] = [0, 0];
  const depth = [0];
  const allOnes = [true];
  for (const symbol of lengths.keys()) {
    let node = 0;
    for (let bit = bitsOf(symbol) - 1; bit >= 0; bit--) {
      const one = ((codes[symbol] as number) >>> bit) & 1;
      const slot = node * 2 + one;
      if (bit === 0) {
        children[slot] = -1 - symbol;
      } else {
        if (children[slot] === 0) {
          children[slot] = depth.length;
          children.push(0, 0);
          depth.push((depth[node] as number) + 1);
          allOnes.push((allOnes[node] as boolean) && one === 1);
        }
        node = children[slot] as number;
      }
    }
  }
  assert(depth.length === 256, "the Huffman tree has 256 inner nodes");
  const table = new Uint32Array(256 * 16);
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let entry = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[node * 2 + ((nibble >>> bit) & 1)] as number;
        if (child >= 0) {
          node = child;
        } else if (-1 - child === endOfString) {
          entry = fails;
          break;
        } else {
          entry = emits | ((-1 - child) << 8);
          node = 0;
        }
      }
      const ends = (depth[node] as number) < 8 && (allOnes[node] as boolean);
      table[state * 16 + nibble] = entry === fails ? fails : entry | node | (ends ? accepts : 0);
    }
  }
  return table;
}

/**
 * Decodes into `target`, which must hold 8/5 of the input. Returns the number of bytes, or -1 for
 * an illegal code or padding.
 */
export function huffmanDecode(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let entry = accepts;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    entry = steps[((entry & 0xff) << 4) | (byte >>> 4)] as number;
    if ((entry & fails) !== 0) return -1;
    if ((entry & emits) !== 0) target[length++] = entry >>> 8;
    entry = steps[((entry & 0xff) << 4) | (byte & 15)] as number;
    if ((entry & fails) !== 0) return -1;
    if ((entry & emits) !== 0) target[length++] = entry >>> 8;
  }
  return (entry & accepts) !== 0 ? length : -1;
}

/** Bytes that {@link huffmanEncode} will write for the text (one byte a character). */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += bitsOf(text.charCodeAt(at) & 0xff);
  return (bits + 7) >>> 3;
}

/** Returns the end of what it wrote. */
export function huffmanEncode(text: string, target: Uint8Array, at: number): number {
  let held = 0;
  let heldBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    const bits = bitsOf(symbol);
    // At most 7 held bits and 30 new ones: beyond 32, hence the split.
    let left = bits;
    while (left > 0) {
      const take = Math.min(left, 8 - heldBits);
      left -= take;
      held = (held << take) | (((codes[symbol] as number) >>> left) & ((1 << take) - 1));
      heldBits += take;
      if (heldBits === 8) {
        target[at++] = held;
        held = 0;
        heldBits = 0;
      }
    }
  }
  if (heldBits > 0) target[at++] = (held << (8 - heldBits)) | (0xff >>> heldBits);
  return at;
}
