/**
 * Values that can be made again, of which the newest are kept: what is made for one event, and not
 * asked for again, is gone before it costs the garbage collector a move.
 */
export class Recent<T> {
  readonly #bytesMax: number;
  readonly #forget: (holder: T) => void;
  #holders: T[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;

  /** `forget` has a holder let go of the value that it was added with. */
  constructor(bytesMax: number, forget: (holder: T) => void) {
    this.#bytesMax = bytesMax;
    this.#forget = forget;
  }

  /** What all values kept cost together, by what `add` was told. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The holder has just made its value. */
  add(holder: T, bytes: number): void {
    this.#holders.push(holder);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    while (this.#bytes > this.#bytesMax && this.#head < this.#holders.length - 1)
      this.#dropOldest();
    if (this.#head > 1_024 && this.#head > this.#holders.length / 2) {
      this.#holders = this.#holders.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  #dropOldest(): void {
    const oldest = this.#holders[this.#head];
    this.#bytes -= this.#sizes[this.#head] ?? 0;
    this.#head += 1;
    if (oldest !== undefined) this.#forget(oldest);
  }
}
