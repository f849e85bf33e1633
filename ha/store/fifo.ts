/** A queue whose front is taken off without moving the rest each time. */
export class Fifo<T> {
  private items: T[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  get first(): T | undefined {
    return this.items[this.head];
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.items[this.items.length - 1];
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** Puts an item in the place of the last one; there must be one. */
  replaceLast(item: T): void {
    this.items[this.items.length - 1] = item;
  }

  shift(): T | undefined {
    if (this.head >= this.items.length) return undefined;
    const item = this.items[this.head++];
    if (this.head === this.items.length) {
      // What has been taken must not be kept alive by an empty queue.
      this.items = [];
      this.head = 0;
    } else if (this.head >= 1024 && this.head * 2 >= this.items.length) {
      // Copying when half is spent costs one move per item; the spent half is let go by then.
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}
