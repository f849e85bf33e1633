/** Which part of a range of the cluster's each node holds. */
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

export interface Block {
  /** Bits of an address: 32 or 128. */
  readonly length: number;
  readonly first: bigint;
  /** Bits of the prefix. */
  readonly bits: number;
}

/** Finds the lowest free range in constant time on average, however many nodes there are. */
export class NodeRanges {
  readonly #whole: Block;
  readonly #nodeBits: number;
  readonly #rangeSize: bigint;
  readonly #count: number;
  /** By the number of the range, who holds it. */
  readonly #holders = new Map<number, string>();
  readonly #held = new Map<string, readonly number[]>();
  /** Everything below is held. */
  #lowest = 0;

  /** `nodeBits`: prefix length of one node's range. */
  constructor(whole: Block, nodeBits: number) {
    this.#whole = whole;
    this.#nodeBits = nodeBits;
    this.#rangeSize = 2n ** BigInt(whole.length - nodeBits);
    this.#count = 2 ** (nodeBits - whole.bits);
  }

  /** The range that the node holds, or the lowest free one, held from now on; undefined: none is. */
  claim(node: string): string | undefined {
    const [known] = this.#held.get(node) ?? [];
    if (known !== undefined) return this.#text(known);
    while (this.#holders.has(this.#lowest)) this.#lowest++;
    if (this.#lowest >= this.#count) return undefined;
    this.#hold(node, [this.#lowest]);
    return this.#text(this.#lowest);
  }

  /** Notes what a node has, also where it was given by another and has another size. */
  note(node: string, cidrs: readonly string[]): void {
    const block = cidrs.map(parseBlock).find((one) => one?.length === this.#whole.length);
    const numbers = block === undefined ? [] : this.#numbersOf(block);
    const known = this.#held.get(node) ?? [];
    if (known.length === numbers.length && known.every((one, i) => one === numbers[i])) return;
    this.release(node);
    this.#hold(node, numbers);
  }

  release(node: string): void {
    for (const number of this.#held.get(node) ?? []) {
      if (this.#holders.get(number) !== node) continue;
      this.#holders.delete(number);
      this.#lowest = Math.min(this.#lowest, number);
    }
    this.#held.delete(node);
  }

  #hold(node: string, numbers: readonly number[]): void {
    this.#held.set(node, numbers);
    for (const number of numbers) this.#holders.set(number, node);
  }

  /** The ranges that the block touches. */
  #numbersOf({ length, first, bits }: Block): number[] {
    const offset = first - this.#whole.first;
    const last = offset + 2n ** BigInt(length - bits) - 1n;
    if (last < 0n) return [];
    const from = offset < 0n ? 0 : Number(offset / this.#rangeSize);
    const to = Math.min(this.#count, Number(last / this.#rangeSize) + 1);
    return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
  }

  #text(number: number): string {
    const { length, first } = this.#whole;
    const address = first + BigInt(number) * this.#rangeSize;
    const bytes = Array.from({ length: length / 8 }, (_, index) =>
      Number((address >> BigInt(length - 8 * (index + 1))) & 255n),
    );
    return `${ipaddr.fromByteArray(bytes).toString()}/${this.#nodeBits}`;
  }
}

/** Undefined: the text is no range of addresses. */
export function parseBlock(cidr: string): Block | undefined {
  const [base = "", bitsText = "", ...more] = cidr.split("/");
  const length = isIPv4(base) ? 32 : 128;
  const bits = Number(bitsText);
  const isAddress = length === 32 || (isIPv6(base) && !base.includes("%"));
  if (!isAddress || !/^\d{1,3}$/.test(bitsText) || bits > length || more.length > 0) {
    return undefined;
  }
  const bytes = ipaddr.parse(base).toByteArray();
  const address = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const size = 2n ** BigInt(length - bits);
  return { length, first: address - (address % size), bits };
}
