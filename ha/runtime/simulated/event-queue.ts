/** Something that will happen to one process of the world, or to the world itself. */
export interface WorldEvent {
  /** Microseconds of world time. */
  at: number;
  /** Orders events of the same instant: as they were scheduled. */
  sequence: number;
  readonly kind: string;
  /** Whose event it is; undefined: the world's own, which nothing pauses or kills. */
  readonly owner: Incarnation | undefined;
  /** Hash of what the event carries, for the digest. */
  readonly content: number;
  /** Undefined once cancelled. */
  run: (() => void) | undefined;
}

/** One life of a member, from its start to its crash. */
export interface Incarnation {
  readonly member: number;
  alive: boolean;
  /** Until then nothing of it runs; what falls due meanwhile happens afterwards, in order. */
  pausedUntil: number;
}

/** Binary heap by time, then sequence. */
export class EventQueue {
  readonly #heap: WorldEvent[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: WorldEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (!parent || before(parent, event)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = event;
  }

  peek(): WorldEvent | undefined {
    return this.#heap[0];
  }

  pop(): WorldEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex];
      if (!child) break;
      const right = heap[childIndex + 1];
      if (right && before(right, child)) {
        child = right;
        childIndex += 1;
      }
      if (before(last, child)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
    return first;
  }
}

function before(left: WorldEvent, right: WorldEvent): boolean {
  return left.at < right.at || (left.at === right.at && left.sequence < right.sequence);
}
