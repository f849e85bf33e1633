/** One watch as its reader holds it: a bounded queue to take from or to iterate over. */
import type { StatusError } from "../runtime/status-error.ts";
import { Fifo } from "./fifo.ts";
import { endOf, type RangeEnd, textOf } from "./text.ts";
import type { DirectWatch, Revision, WatchBatch, WatchEvent, WatchRequest } from "./types.ts";
import type { WatchGroup } from "./watch-groups.ts";
import { BatchIterator } from "./watch-iterator.ts";

/** A batch with its weight in the queue; shared by all watchers that get it. */
export interface QueuedBatch {
  readonly batch: WatchBatch;
  readonly bytes: number;
}

/** Watchers with equal scopes get the same batches. */
export interface WatchScope {
  readonly start: string;
  readonly end: RangeEnd;
  readonly previous: boolean;
  readonly puts: boolean;
  readonly deletes: boolean;
}

function scopeOf(request: WatchRequest): WatchScope {
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
  /** Bytes that are queued, of all watchers. */
  heldBytes: number;
  /** The watcher is behind, its queue is empty and its reader waits: read history. */
  catchUp(watcher: Watcher): void;
  /** The watcher's `asked` has been set. */
  progressAsked(watcher: Watcher): void;
  closed(watcher: Watcher): void;
}

const noListener = () => {};

export class Watcher implements DirectWatch {
  /** Replaced by the equal scope of its group, so that many watchers share one object. */
  scope: WatchScope;
  readonly progress: boolean;
  state: WatcherState = "behind";
  /** The first revision not yet queued. */
  next: number;
  /** A page of history is being read. */
  reading = false;
  /** The reader has found the queue empty, and waits for `onReady`. */
  hungry = false;
  /** The reader has asked for progress, and gets it once the watcher is up to date. */
  asked = false;
  /** Its group, and its index there; set only while the watcher is synced. */
  group: WatchGroup | undefined;
  position = -1;
  queuedEvents = 0;
  queuedBytes = 0;
  onReady: () => void = noListener;
  /** The first batch of the queue; most of the time the only one. */
  private front: QueuedBatch | undefined;
  private rest: Fifo<QueuedBatch> | undefined;
  private readonly owner: WatcherOwner;
  private readonly createdAt: Revision;
  private error: StatusError | undefined;

  constructor(owner: WatcherOwner, request: WatchRequest, revision: Revision) {
    this.owner = owner;
    this.scope = scopeOf(request);
    this.progress = request.progress === true;
    // There is nothing at revision 1, where an empty store begins.
    this.next = Math.max(request.startRevision || revision + 1, 2);
    this.createdAt = revision;
  }

  get created(): Promise<Revision> {
    return Promise.resolve(this.createdAt);
  }

  /** Queues a batch; the caller has seen to the bounds. */
  push(queued: QueuedBatch): void {
    const { events, revision } = queued.batch;
    // A watch from a future revision skips all events before it, but may report progress.
    this.next = Math.max(this.next, revision + 1);
    const { front } = this;
    if (front === undefined) {
      this.front = queued;
    } else if (events.length === 0 && this.last(front).batch.events.length === 0) {
      // The last of several progress batches replaces the others.
      if (this.rest === undefined) this.front = queued;
      else this.rest.replaceLast(queued);
    } else {
      this.rest ??= new Fifo();
      this.rest.push(queued);
    }
    this.queuedEvents += events.length;
    this.queuedBytes += queued.bytes;
    this.owner.heldBytes += queued.bytes;
    this.wake();
  }

  private last(front: QueuedBatch): QueuedBatch {
    return this.rest?.last ?? front;
  }

  private wake(): void {
    if (!this.hungry) return;
    this.hungry = false;
    this.onReady();
  }

  take(): WatchBatch | undefined {
    const { front, rest } = this;
    if (front !== undefined) {
      this.front = rest?.shift();
      if (rest?.length === 0) this.rest = undefined;
      this.queuedEvents -= front.batch.events.length;
      this.queuedBytes -= front.bytes;
      this.owner.heldBytes -= front.bytes;
      return front.batch;
    }
    if (this.state === "closed") {
      const { error } = this;
      this.error = undefined;
      if (error !== undefined) throw error;
      return undefined;
    }
    this.hungry = true;
    if (this.state === "behind" && !this.reading) this.owner.catchUp(this);
    return undefined;
  }

  requestProgress(): void {
    if (this.state === "closed") return;
    this.asked = true;
    this.owner.progressAsked(this);
  }

  /** Ends the watch: what is queued is still delivered, then the error. */
  fail(error: StatusError): void {
    if (this.state === "closed") return;
    this.error = error;
    this.finish();
  }

  close(): void {
    this.front = undefined;
    this.rest = undefined;
    this.owner.heldBytes -= this.queuedBytes;
    this.queuedBytes = 0;
    this.queuedEvents = 0;
    this.error = undefined;
    if (this.state !== "closed") this.finish();
  }

  private finish(): void {
    this.owner.closed(this);
    this.state = "closed";
    this.wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, undefined> {
    return new BatchIterator(this, () => this.state === "closed");
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
