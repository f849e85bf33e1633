import { limits } from "../limits.ts";
import type { WatchItem } from "./watch-item.ts";

/**
 * The bounded queue between a kind's cache and one watch stream.
 *
 * One that is read too slowly is *ended*, not thinned: what is queued is still delivered, in order
 * and complete, and then the stream closes, so its client resumes from the last revision it saw.
 */
export class Watcher {
  readonly wantsBookmarks: boolean;
  #queue: WatchItem[] = [];
  #head = 0;
  #bytes = 0;
  #ended = false;
  #overflowed = false;
  #wake: (() => void) | undefined;
  readonly #onEnd: (watcher: Watcher) => void;

  constructor(wantsBookmarks: boolean, onEnd: (watcher: Watcher) => void) {
    this.wantsBookmarks = wantsBookmarks;
    this.#onEnd = onEnd;
  }

  /** Nothing follows what is queued. */
  get ended(): boolean {
    return this.#ended;
  }

  get overflowed(): boolean {
    return this.#overflowed;
  }

  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** All of one revision's items, or none: a client resumes between revisions, not within one. */
  offer(items: readonly WatchItem[]): void {
    if (this.#ended || items.length === 0) return;
    let bytes = 0;
    for (const item of items) bytes += item.object.size;
    const full =
      this.waiting + items.length > limits.watcherEvents ||
      this.#bytes + bytes > limits.watcherBytes;
    if (full && this.waiting > 0) {
      this.#overflowed = true;
      this.end();
      return;
    }
    for (const item of items) this.#queue.push(item);
    this.#bytes += bytes;
    this.#wakeUp();
  }

  /** Ends the stream after what is queued. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this);
    this.#wakeUp();
  }

  /** What `take` would answer with. */
  get first(): WatchItem | undefined {
    return this.#queue[this.#head];
  }

  /** The next item; undefined: none is there now. */
  take(): WatchItem | undefined {
    const item = this.#queue[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      this.#bytes = 0;
    }
    return item;
  }

  /** Resolves when there is an item, or the stream has ended. Called by one reader. */
  arrival(): Promise<void> {
    if (this.waiting > 0 || this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
