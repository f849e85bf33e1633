/**
 * Values that can be made again, of which the newest are kept: what is made for one event, and not
 * asked for again, is gone before it costs the garbage collector a move. Holders are not kept: the
 * values of objects that are gone go with them.
 */
export class Recent<T extends WeakKey> {
  readonly #bytesMax: number;
  readonly #forget: (holder: T) => void;
  #holders: WeakRef<T>[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;
  #added = 0;

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
    this.#holders.push(new WeakRef(holder));
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    while (this.#bytes > this.#bytesMax && this.#head < this.#holders.length - 1)
      this.#dropOldest();
    this.#added += 1;
    if (this.#added % addsPerSweep === 0) this.#sweep();
  }

  #dropOldest(): void {
    const oldest = this.#holders[this.#head]?.deref();
    this.#bytes -= this.#sizes[this.#head] ?? 0;
    this.#head += 1;
    if (oldest !== undefined) this.#forget(oldest);
  }

  /** Takes what was dropped, and what has gone with its holder, out of the list. */
  #sweep(): void {
    let kept = 0;
    for (let index = this.#head; index < this.#holders.length; index++) {
      const holder = this.#holders[index] as WeakRef<T>;
      const size = this.#sizes[index] ?? 0;
      if (holder.deref() === undefined) this.#bytes -= size;
      else {
        this.#holders[kept] = holder;
        this.#sizes[kept] = size;
        kept += 1;
      }
    }
    this.#holders.length = kept;
    this.#sizes.length = kept;
    this.#head = 0;
  }
}

const addsPerSweep = 2_048;
