/**
 * A queue in chunks: it never moves what is in it, however long it grows, and gives its memory back
 * as it shrinks. One long array would be copied each time it grows, millions of items at once.
 */
const chunkItems = 1024;

export class Fifo<T> {
  private readonly chunks: T[][] = [[]];
  /** The place in `chunks` of the front, and the front's place in its chunk. */
  private headChunk = 0;
  private head = 0;
  private tail: T[] = this.chunks[0] as T[];
  private count = 0;

  get length(): number {
    return this.count;
  }

  get first(): T | undefined {
    return this.chunks[this.headChunk]?.[this.head];
  }

  get last(): T | undefined {
    return this.count === 0 ? undefined : this.tail.at(-1);
  }

  push(item: T): void {
    if (this.tail.length === chunkItems) {
      this.tail = [];
      this.chunks.push(this.tail);
    }
    this.tail.push(item);
    this.count++;
  }

  /** Puts an item in the place of the last one; there must be one. */
  replaceLast(item: T): void {
    this.tail[this.tail.length - 1] = item;
  }

  shift(): T | undefined {
    if (this.count === 0) return undefined;
    const chunk = this.chunks[this.headChunk] as T[];
    const item = chunk[this.head++];
    this.count--;
    if (this.count === 0) {
      // An empty queue must not keep the taken items alive.
      this.tail = [];
      this.chunks.splice(0, this.chunks.length, this.tail);
      this.headChunk = 0;
      this.head = 0;
    } else if (this.head === chunkItems) {
      this.chunks[this.headChunk++] = [];
      this.head = 0;
      this.sweep();
    }
    return item;
  }

  /** Spent chunks leave together, when they are as many as the others. */
  private sweep(): void {
    if (this.headChunk * 2 < this.chunks.length) return;
    this.chunks.splice(0, this.headChunk);
    this.headChunk = 0;
  }
}
