const smallestSlots = 64;

/**
 * What is under way, by ids that come in order: a ring finds it. The few items that live longer
 * than a turn of the ring move aside into a map.
 *
 * A map alone would do, but for the garbage: every time V8 rebuilds a map's table, the old table
 * points to the new one, and once one of them has grown old, all later ones, with everything in
 * them, outlive every young collection.
 */
export class RingTable<T extends { readonly id: number }> {
  #slots: (T | undefined)[] = new Array<T | undefined>(smallestSlots).fill(undefined);
  readonly #aside = new Map<number, T>();
  readonly #shift: number;
  #size = 0;

  /** Ids are at least 2^`shift` apart. */
  constructor(shift = 0) {
    this.#shift = shift;
  }

  get size(): number {
    return this.#size;
  }

  get(id: number): T | undefined {
    const item = this.#slots[this.#slotOf(id)];
    if (item !== undefined && item.id === id) return item;
    return this.#aside.size > 0 ? this.#aside.get(id) : undefined;
  }

  /** No item of this id is in it. */
  add(item: T): void {
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    this.#place(item);
  }

  delete(item: T): void {
    const slot = this.#slotOf(item.id);
    if (this.#slots[slot] === item) this.#slots[slot] = undefined;
    else if (!this.#aside.delete(item.id)) return;
    this.#size--;
  }

  /** A copy of all items, in the order of their ids. */
  values(): T[] {
    const items = [...this.#aside.values()];
    for (const item of this.#slots) if (item !== undefined) items.push(item);
    return items.sort((a, b) => a.id - b.id);
  }

  clear(): void {
    this.#slots = new Array<T | undefined>(smallestSlots).fill(undefined);
    this.#aside.clear();
    this.#size = 0;
  }

  #slotOf(id: number): number {
    // Ids go beyond 32 bits, which the mask takes the lowest of.
    return (id >>> this.#shift) & (this.#slots.length - 1);
  }

  #place(item: T): void {
    const slot = this.#slotOf(item.id);
    const older = this.#slots[slot];
    if (older !== undefined) this.#aside.set(older.id, older);
    this.#slots[slot] = item;
  }

  #grow(): void {
    const items = this.values();
    this.#slots = new Array<T | undefined>(2 * this.#slots.length).fill(undefined);
    this.#aside.clear();
    for (const item of items) this.#place(item);
  }
}
