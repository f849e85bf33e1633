/** One watch as its user holds it: an async iterable over a bounded queue. */
import type { StatusError } from "../runtime/status-error.ts";
import { Fifo } from "./fifo.ts";
import { endOf, type RangeEnd, textOf } from "./text.ts";
import type { Revision, WatchBatch, WatchEvent, WatchRequest, WatchStream } from "./types.ts";

/** A batch with its weight in the queue; shared by all watchers that get it. */
export interface QueuedBatch {
  readonly batch: WatchBatch;
  readonly bytes: number;
}

/** What watchers must agree in to be served the same batches. */
export interface WatchScope {
  readonly start: string;
  readonly end: RangeEnd;
  readonly previous: boolean;
  readonly puts: boolean;
  readonly deletes: boolean;
}

export function scopeOf(request: WatchRequest): WatchScope {
  const filters = request.filters ?? [];
  return {
    start: textOf(request.key),
    end: endOf(request),
    previous: request.previous === true,
    puts: !filters.includes("put"),
    deletes: !filters.includes("delete"),
  };
}

/**
 * Where a watcher stands:
 *
 *   behind ──(history read up to the present)──► synced
 *     ▲ ▲                                           │
 *     │ └──────────(queue full)─────────────────────┘
 *   future start: waits behind until its revision comes
 */
export type WatcherState = "behind" | "synced" | "closed";

export interface WatcherOwner {
  /** The watcher is behind, its queue is empty and somebody waits: read history. */
  catchUp(watcher: Watcher): void;
  closed(watcher: Watcher): void;
}

type Waiting = {
  readonly resolve: (result: IteratorResult<WatchBatch, undefined>) => void;
  readonly reject: (error: StatusError) => void;
};

export class Watcher implements WatchStream {
  readonly created: Promise<Revision>;
  readonly scope: WatchScope;
  readonly progress: boolean;
  state: WatcherState = "behind";
  /** The first revision not yet queued. */
  next: number;
  /** A page of history is being read. */
  reading = false;
  /** Index among the watchers of its group. */
  position = -1;
  queuedEvents = 0;
  queuedBytes = 0;
  private readonly queue = new Fifo<QueuedBatch>();
  private readonly waiting = new Fifo<Waiting>();
  private readonly owner: WatcherOwner;
  private error: StatusError | undefined;

  constructor(owner: WatcherOwner, request: WatchRequest, revision: Revision) {
    this.owner = owner;
    this.scope = scopeOf(request);
    this.progress = request.progress === true;
    // There is nothing at revision 1, where an empty store begins.
    this.next = Math.max(request.startRevision || revision + 1, 2);
    this.created = Promise.resolve(revision);
  }

  /** Whether somebody waits for a batch. */
  get wanted(): boolean {
    return this.waiting.length > 0;
  }

  /** Queues a batch; the caller has seen to the bounds. */
  push(queued: QueuedBatch): void {
    this.next = queued.batch.revision + 1;
    const waiting = this.waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ done: false, value: queued.batch });
      return;
    }
    // Of several batches that only tell progress the last says all.
    const last = this.queue.last;
    const replaces = queued.batch.events.length === 0 && last?.batch.events.length === 0;
    if (replaces) this.queue.pop();
    this.queue.push(queued);
    this.queuedEvents += queued.batch.events.length;
    this.queuedBytes += queued.bytes;
  }

  /** Ends the watch: what is queued is still delivered, then the error. */
  fail(error: StatusError): void {
    if (this.state === "closed") return;
    this.error = error;
    this.finish();
  }

  close(): void {
    if (this.state === "closed") return;
    while (this.queue.shift() !== undefined);
    this.finish();
  }

  private finish(): void {
    this.owner.closed(this);
    this.state = "closed";
    for (;;) {
      const waiting = this.waiting.shift();
      if (waiting === undefined) return;
      this.settle(waiting);
    }
  }

  private settle(waiting: Waiting): void {
    const { error } = this;
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
    // Told once; after that the iteration is over.
    this.error = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, undefined> {
    return {
      next: () => this.take(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  private take(): Promise<IteratorResult<WatchBatch, undefined>> {
    const queued = this.queue.shift();
    if (queued !== undefined) {
      this.queuedEvents -= queued.batch.events.length;
      this.queuedBytes -= queued.bytes;
      return Promise.resolve({ done: false, value: queued.batch });
    }
    return new Promise((resolve, reject) => {
      if (this.state === "closed") {
        this.settle({ resolve, reject });
        return;
      }
      this.waiting.push({ resolve, reject });
      if (this.state === "behind" && !this.reading) this.owner.catchUp(this);
    });
  }
}

/** Bytes of keys and values, with something for the objects around them. */
export function weightOf(events: readonly WatchEvent[]): number {
  let bytes = 0;
  for (const { kv, previous } of events) {
    bytes += kv.key.length + kv.value.length + 128;
    if (previous !== undefined) bytes += previous.key.length + previous.value.length + 64;
  }
  return bytes;
}
