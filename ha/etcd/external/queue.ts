/** The batches of a watch between the network and its reader: bounded by pausing the network. */
import type { StatusError } from "../../runtime/status-error.ts";
import type { WatchBatch } from "../../store/mod.ts";
import { externalLimits } from "./limits.ts";

interface Waiting {
  readonly resolve: (result: IteratorResult<WatchBatch, undefined>) => void;
  readonly reject: (error: StatusError) => void;
}

export interface QueueOwner {
  pause(): void;
  resume(): void;
  /** The reader has left the loop. */
  closed(): void;
}

export class BatchQueue {
  /** Enough is queued. */
  paused = false;
  private readonly owner: QueueOwner;
  private batches: { readonly batch: WatchBatch; readonly bytes: number }[] = [];
  private bytes = 0;
  private readonly waiting: Waiting[] = [];
  private ended = false;
  private error: StatusError | undefined;

  constructor(owner: QueueOwner) {
    this.owner = owner;
  }

  push(batch: WatchBatch): void {
    if (this.ended) return;
    const waiting = this.waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ done: false, value: batch });
      return;
    }
    // The last of several progress batches replaces the others.
    if (batch.events.length === 0 && this.batches.at(-1)?.batch.events.length === 0) {
      this.batches.pop();
    }
    const bytes = weightOf(batch);
    this.batches.push({ batch, bytes });
    this.bytes += bytes;
    const { watchQueuedBytes, watchQueuedBatches } = externalLimits;
    if (this.paused) return;
    if (this.bytes < watchQueuedBytes && this.batches.length < watchQueuedBatches) return;
    this.paused = true;
    this.owner.pause();
  }

  /**
   * With an error the reader gets the queued batches, then the error; otherwise they are dropped.
   */
  end(error: StatusError | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    if (error === undefined) this.batches = [];
    for (const waiting of this.waiting.splice(0)) this.settle(waiting);
  }

  iterator(): AsyncIterator<WatchBatch, undefined> {
    return {
      next: () => this.take(),
      return: () => {
        this.owner.closed();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  private take(): Promise<IteratorResult<WatchBatch, undefined>> {
    const queued = this.batches.shift();
    if (queued === undefined) {
      return new Promise((resolve, reject) => {
        if (this.ended) this.settle({ resolve, reject });
        else this.waiting.push({ resolve, reject });
      });
    }
    this.bytes -= queued.bytes;
    // Half empty before the network is asked again: no stopping and going at every batch.
    const { watchQueuedBytes, watchQueuedBatches } = externalLimits;
    const low = this.bytes <= watchQueuedBytes / 2 && this.batches.length <= watchQueuedBatches / 2;
    if (this.paused && low) {
      this.paused = false;
      if (!this.ended) this.owner.resume();
    }
    return Promise.resolve({ done: false, value: queued.batch });
  }

  private settle(waiting: Waiting): void {
    const { error } = this;
    // Told once; after that the iteration is over.
    this.error = undefined;
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }
}

/** Bytes of keys and values, with something for the objects around them. */
function weightOf({ events }: WatchBatch): number {
  let bytes = 0;
  for (const { kv, previous } of events) {
    bytes += kv.key.length + kv.value.length + 128;
    if (previous !== undefined) bytes += previous.key.length + previous.value.length + 64;
  }
  return bytes;
}
