/** A watch read by promises: what `for await` makes of a {@link DirectWatch}. */
import type { DirectWatch, WatchBatch } from "./types.ts";

type Result = IteratorResult<WatchBatch, undefined>;

interface Waiting {
  readonly resolve: (result: Result) => void;
  readonly reject: (thrown: unknown) => void;
}

export class BatchIterator implements AsyncIterator<WatchBatch, undefined> {
  private readonly watch: DirectWatch;
  private readonly hasEnded: () => boolean;
  private readonly waiting: Waiting[] = [];

  constructor(watch: DirectWatch, hasEnded: () => boolean) {
    this.watch = watch;
    this.hasEnded = hasEnded;
    watch.onReady = () => this.serve();
  }

  next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.serve();
    });
  }

  return(): Promise<Result> {
    this.watch.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  private serve(): void {
    for (let waiting = this.waiting[0]; waiting !== undefined; waiting = this.waiting[0]) {
      try {
        const batch = this.watch.take();
        if (batch !== undefined) waiting.resolve({ done: false, value: batch });
        else if (this.hasEnded()) waiting.resolve({ done: true, value: undefined });
        else return;
      } catch (thrown) {
        waiting.reject(thrown);
      }
      this.waiting.shift();
    }
  }
}
