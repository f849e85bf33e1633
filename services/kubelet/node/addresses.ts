/** Gives pods addresses of the node's range, the least recently used first. */
export class AddressPool {
  readonly #first: number;
  readonly #size: number;
  readonly #held = new Map<string, number>();
  #next = 0;

  /** `cidr` is an IPv4 range such as 127.64.3.0/24; throws when it is not. */
  constructor(cidr: string) {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
    const [a = 256, b = 256, c = 256, d = 256, bits = 33] = (match ?? []).slice(1).map(Number);
    if (Math.max(a, b, c, d) > 255 || bits < 8 || bits > 30) {
      throw new Error(`podCIDR "${cidr}" is not an IPv4 range of /8 to /30`);
    }
    const size = 2 ** (32 - bits);
    const base = ((a * 256 + b) * 256 + c) * 256 + d;
    this.#first = base - (base % size) + 1;
    // Neither the first (network) nor the last (broadcast) address.
    this.#size = size - 2;
  }

  /** Notes an address in use, e.g. of a pod that runs since before. */
  hold(uid: string, address: string): void {
    const number = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    this.#held.set(uid, number);
  }

  /** The pod's address; the same one until it is released. Undefined: all are in use. */
  take(uid: string): string | undefined {
    let number = this.#held.get(uid);
    if (number === undefined) {
      const used = new Set(this.#held.values());
      for (let tried = 0; tried < this.#size && number === undefined; tried++) {
        const candidate = this.#first + ((this.#next + tried) % this.#size);
        if (!used.has(candidate)) number = candidate;
      }
      if (number === undefined) return undefined;
      this.#next = number - this.#first + 1;
      this.#held.set(uid, number);
    }
    return [24, 16, 8, 0].map((shift) => Math.floor((number ?? 0) / 2 ** shift) % 256).join(".");
  }

  release(uid: string): void {
    this.#held.delete(uid);
  }
}
