/** Something that must end at its time; a link of the wheel's lists. */
export interface Expiring {
  /** As `Date.now()` counts; infinite: never. */
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  expire(): void;
}

const slotMillis = 10;
const slotCount = 1_024;

/**
 * The deadlines of all calls under one timer: entering and leaving cost a few assignments. What
 * expires later than one turn of the wheel stays in its slot and is passed over.
 */
export class DeadlineWheel {
  readonly #slots: readonly Expiring[] = Array.from({ length: slotCount }, head);
  #count = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The slot that is looked at next, counted from the epoch. */
  #cursor = 0;

  get size(): number {
    return this.#count;
  }

  add(entry: Expiring): void {
    if (entry.expiresAt === Number.POSITIVE_INFINITY) return;
    if (this.#timer === undefined) {
      this.#cursor = this.#now();
      this.#timer = setInterval(() => this.#turn(), slotMillis);
    }
    const slot = Math.max(Math.ceil(entry.expiresAt / slotMillis), this.#cursor);
    const first = this.#slots[slot % slotCount] as Expiring;
    entry.previous = first;
    entry.next = first.next;
    if (first.next !== undefined) first.next.previous = entry;
    first.next = entry;
    this.#count++;
  }

  /** Harmless for one that is not in. */
  remove(entry: Expiring): void {
    if (entry.previous === undefined) return;
    entry.previous.next = entry.next;
    if (entry.next !== undefined) entry.next.previous = entry.previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.#count--;
  }

  #now(): number {
    return Math.floor(Date.now() / slotMillis);
  }

  #turn(): void {
    const now = Date.now();
    const last = this.#now();
    // The clock may have been set back; after a long pause, one whole turn sees everything.
    let slot = Math.max(Math.min(this.#cursor, last), last - slotCount + 1);
    const expired: Expiring[] = [];
    for (; slot <= last; slot++) {
      let entry = (this.#slots[slot % slotCount] as Expiring).next;
      for (; entry !== undefined; entry = entry.next) {
        if (entry.expiresAt <= now) expired.push(entry);
      }
    }
    this.#cursor = slot;
    for (const entry of expired) {
      // One that ends may have ended another.
      if (entry.previous === undefined) continue;
      this.remove(entry);
      entry.expire();
    }
    if (this.#count > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function head(): Expiring {
  return { expiresAt: Number.POSITIVE_INFINITY, previous: undefined, next: undefined, expire() {} };
}
