import type { Stream } from "./stream.ts";

const smallestSlots = 64;

/**
 * The open streams by id. Ids come in order, so that a ring finds them; the few that live longer
 * than a turn of it move aside into a map.
 *
 * A map alone would do, but for the garbage: every time V8 rebuilds a map's table, the old table
 * points to the new one, and once one of them has grown old, all later ones, with the streams in
 * them, outlive every young collection.
 */
export class StreamTable {
  #slots: (Stream | undefined)[] = new Array<Stream | undefined>(smallestSlots).fill(undefined);
  readonly #aside = new Map<number, Stream>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const stream = this.#slots[(id >>> 1) & (this.#slots.length - 1)];
    if (stream !== undefined && stream.id === id) return stream;
    return this.#aside.size > 0 ? this.#aside.get(id) : undefined;
  }

  add(stream: Stream): void {
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    this.#place(stream);
  }

  delete(stream: Stream): void {
    const slot = (stream.id >>> 1) & (this.#slots.length - 1);
    if (this.#slots[slot] === stream) this.#slots[slot] = undefined;
    else if (!this.#aside.delete(stream.id)) return;
    this.#size--;
  }

  /** All of them, as of now, in the order of their ids. */
  values(): Stream[] {
    const streams = [...this.#aside.values()];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    return streams.sort((a, b) => a.id - b.id);
  }

  #place(stream: Stream): void {
    const slot = (stream.id >>> 1) & (this.#slots.length - 1);
    const older = this.#slots[slot];
    if (older !== undefined) this.#aside.set(older.id, older);
    this.#slots[slot] = stream;
  }

  #grow(): void {
    const streams = this.values();
    this.#slots = new Array<Stream | undefined>(2 * this.#slots.length).fill(undefined);
    this.#aside.clear();
    for (const stream of streams) this.#place(stream);
  }
}
