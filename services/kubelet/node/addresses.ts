import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** Gives pods addresses of one of the node's ranges, the least recently used first. */
export class AddressPool {
  readonly cidr: string;
  readonly family: "IPv4" | "IPv6";
  readonly #first: bigint;
  readonly #size: number;
  readonly #held = new Map<string, string>();
  #next = 0;

  /**
   * `cidr` is a range such as 127.64.3.0/24 or fd00:64:0:3::/64; throws when it is not. Of a range
   * of IPv6 no more than the first 2^32 addresses are given.
   */
  constructor(cidr: string) {
    const [base = "", bitsText = "", ...more] = cidr.split("/");
    const bits = more.length === 0 && /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : -1;
    const four = isIPv4(base) && bits >= 8 && bits <= 30;
    const six = isIPv6(base) && !base.includes("%") && bits >= 16 && bits <= 126;
    if (!four && !six) {
      const wanted = "an IPv4 range of /8 to /30 or an IPv6 range of /16 to /126";
      throw new Error(`podCIDR "${cidr}" is not ${wanted}`);
    }
    this.cidr = cidr;
    this.family = four ? "IPv4" : "IPv6";
    const size = 2n ** BigInt((four ? 32 : 128) - bits);
    const address = numberOf(base);
    // Neither the first address, which names the network, nor the last, which is its broadcast.
    this.#first = address - (address % size) + 1n;
    this.#size = Math.min(Number(size - 2n), sizeMax);
  }

  /** The first address that a pod may get. */
  get first(): string {
    return this.#textOf(0);
  }

  /** Notes an address in use, e.g. of a pod that runs since before. */
  hold(uid: string, address: string): void {
    this.#held.set(uid, address);
  }

  /** The pod's address; the same one until it is released. Undefined: all are in use. */
  take(uid: string): string | undefined {
    const known = this.#held.get(uid);
    if (known !== undefined) return known;
    const used = new Set(this.#held.values());
    for (let tried = 0; tried < this.#size; tried++) {
      const number = (this.#next + tried) % this.#size;
      const candidate = this.#textOf(number);
      if (used.has(candidate)) continue;
      this.#next = number + 1;
      this.#held.set(uid, candidate);
      return candidate;
    }
    return undefined;
  }

  release(uid: string): void {
    this.#held.delete(uid);
  }

  #textOf(number: number): string {
    const length = this.family === "IPv4" ? 4 : 16;
    const address = this.#first + BigInt(number);
    const bytes = Array.from({ length }, (_, index) =>
      Number((address >> BigInt(8 * (length - index - 1))) & 255n),
    );
    return ipaddr.fromByteArray(bytes).toString();
  }
}

const sizeMax = 2 ** 32;

function numberOf(address: string): bigint {
  return ipaddr
    .parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}
