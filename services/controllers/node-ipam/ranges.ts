/** Which part of the cluster's range each node holds. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

export interface NodeRangesOptions {
  /** Range that the nodes' ranges are taken from, e.g. 127.64.0.0/10. */
  readonly clusterCidr: string;
  /** Prefix length of one node's range. */
  readonly nodeMaskSize: number;
}

interface Block {
  readonly first: number;
  readonly size: number;
}

/** Finds the lowest free range in constant time on average, however many nodes there are. */
export class NodeRanges {
  readonly #base: number;
  readonly #rangeSize: number;
  readonly #count: number;
  /** By the number of the range, who holds it. */
  readonly #holders = new Map<number, string>();
  readonly #held = new Map<string, readonly number[]>();
  /** Everything below is held. */
  #lowest = 0;

  /** Throws a StatusError that names the flag. */
  constructor({ clusterCidr, nodeMaskSize }: NodeRangesOptions) {
    const block = parseBlock(clusterCidr);
    if (!block || block.size < 4 || block.size > 2 ** 31) {
      throw new StatusError(
        Code.invalidArgument,
        `--cluster-cidr: "${clusterCidr}" is not an IPv4 range such as 127.64.0.0/10`,
      );
    }
    const prefix = 32 - Math.log2(block.size);
    if (!Number.isInteger(nodeMaskSize) || nodeMaskSize <= prefix || nodeMaskSize > 30) {
      throw new StatusError(
        Code.invalidArgument,
        `--node-cidr-mask-size: ${nodeMaskSize} must be from ${prefix + 1} to 30`,
      );
    }
    this.#base = block.first;
    this.#rangeSize = 2 ** (32 - nodeMaskSize);
    this.#count = block.size / this.#rangeSize;
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
  note(node: string, cidr: string): void {
    const [known] = this.#held.get(node) ?? [];
    if (known !== undefined && this.#text(known) === cidr) return;
    this.release(node);
    const block = parseBlock(cidr);
    if (block) this.#hold(node, this.#numbersOf(block));
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
  #numbersOf({ first, size }: Block): number[] {
    const from = Math.max(0, Math.floor((first - this.#base) / this.#rangeSize));
    const to = Math.min(this.#count, Math.ceil((first + size - this.#base) / this.#rangeSize));
    return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
  }

  #text(number: number): string {
    const address = this.#base + number * this.#rangeSize;
    const parts = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
    return `${parts.join(".")}/${32 - Math.log2(this.#rangeSize)}`;
  }
}

function parseBlock(cidr: string): Block | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  const bytes = match?.slice(1, 5).map(Number) ?? [];
  const prefix = Number(match?.[5]);
  if (!match || prefix > 32 || bytes.some((byte) => byte > 255)) return undefined;
  const address = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const size = 2 ** (32 - prefix);
  return { first: address - (address % size), size };
}
