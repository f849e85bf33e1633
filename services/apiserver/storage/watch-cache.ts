import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import type {
  KeyValue,
  Revision,
  Store,
  WatchBatch,
  WatchEvent,
  WatchStream,
} from "../../../ha/store/types.ts";
import type { Kind } from "../../kinds/mod.ts";
import { timeout, unavailable } from "../errors.ts";
import { limits } from "../limits.ts";
import { prefixEnd, prefixRange, registryPrefix } from "./keys.ts";
import { KindCache } from "./kind-cache.ts";
import { StoredObject, vestige } from "./stored-object.ts";
import { CacheEvent } from "./watch-item.ts";

export interface WatchCacheOptions {
  readonly store: Store;
  readonly kinds: readonly Kind[];
  readonly log: Log;
  readonly bookmarkMillis?: number | undefined;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/**
 * Everything under `/registry/`, fed by one store watch.
 *
 * The state is always that of one revision, `revision`; it only moves forward. When the store watch
 * breaks it is resumed behind the last revision seen; only if that has been compacted meanwhile is
 * everything read again, and all watchers end.
 */
export class WatchCache {
  readonly #store: Store;
  readonly #log: Log;
  readonly #caches: readonly KindCache[];
  readonly #byPrefix = new Map<string, KindCache>();
  readonly #bookmarkMillis: number;
  readonly #stop = new AbortController();
  #revision = 0;
  #filled = false;
  #waiters: Waiter[] = [];
  #stream: WatchStream | undefined;
  #running: Promise<void> | undefined;
  #bookmarks: NodeJS.Timeout | undefined;
  #readyListeners: (() => void)[] = [];

  constructor(options: WatchCacheOptions) {
    this.#store = options.store;
    this.#log = options.log;
    this.#bookmarkMillis = options.bookmarkMillis ?? limits.bookmarkMillis;
    this.#caches = options.kinds.map((kind) => new KindCache(kind));
    for (const cache of this.#caches) this.#byPrefix.set(cache.prefix, cache);
  }

  get revision(): number {
    return this.#revision;
  }

  /** The first fill is done. */
  get filled(): boolean {
    return this.#filled;
  }

  /** Watches of all kinds together. */
  get watchers(): number {
    return this.#caches.reduce((sum, cache) => sum + cache.watchers, 0);
  }

  of(kind: Kind): KindCache {
    const cache = this.#caches.find((each) => each.kind === kind);
    if (cache === undefined) {
      throw new StatusError(Code.internal, `kind ${kind.kind} has no cache`);
    }
    return cache;
  }

  start(): void {
    this.#running ??= this.#run();
    this.#bookmarks ??= setInterval(() => this.#sendBookmarks(), this.#bookmarkMillis).unref();
  }

  /** Resolves when the first fill is done; rejects when the cache is closed before. */
  async whenFilled(): Promise<void> {
    if (this.#filled) return;
    await new Promise<void>((resolve) => this.#readyListeners.push(resolve));
    if (!this.#filled) throw closedError();
  }

  /** Resolves when the cache has reached the revision; rejects with Timeout if it does not soon. */
  waitFor(revision: number, millis: number = limits.cacheWaitMillis): Promise<void> {
    if (this.#filled && this.#revision >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        revision,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        reject(this.#filled ? this.#tooNew(revision) : unavailable(notFilled));
      }, millis);
      this.#waiters.push(waiter);
    });
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    clearInterval(this.#bookmarks);
    this.#stream?.close();
    for (const cache of this.#caches) cache.endWatchers();
    for (const listener of this.#readyListeners.splice(0)) listener();
    await this.#running;
  }

  /** Events of one kind as a store watch gives them, for reading history. */
  eventsOf(cache: KindCache, batch: WatchBatch): CacheEvent[] {
    return batch.events.map((event) => toCacheEvent(cache.kind, event, event.previous));
  }

  async #run(): Promise<void> {
    let delay: number = limits.retryMinMillis;
    while (!this.#stop.signal.aborted) {
      try {
        if (!this.#filled) await this.#fill();
        await this.#follow(() => {
          delay = limits.retryMinMillis;
        });
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        const error = StatusError.from(thrown);
        if (error.code === Code.outOfRange) this.#filled = false;
        this.#log.warn("the watch cache lost its store watch", {
          error: error.message,
          revision: this.#revision,
          refill: !this.#filled,
        });
      }
      await pause(delay, this.#stop.signal);
      delay = Math.min(delay * 2, limits.retryMaxMillis);
    }
  }

  async #fill(): Promise<void> {
    const { rangeEnd } = prefixRange(registryPrefix);
    const found = new Map<KindCache, StoredObject[]>();
    let key: Uint8Array = Buffer.from(registryPrefix);
    let revision: Revision | undefined;
    for (;;) {
      const request = { key, rangeEnd, limit: limits.storePage };
      const page = await this.#store.range(
        revision === undefined ? request : { ...request, revision },
        { serializable: true, signal: this.#stop.signal },
      );
      revision ??= page.revision;
      for (const kv of page.kvs) this.#collect(found, kv);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
    for (const cache of this.#caches) cache.reset(found.get(cache) ?? [], revision);
    this.#filled = true;
    this.#advance(revision);
    for (const listener of this.#readyListeners.splice(0)) listener();
    this.#log.info("the watch cache is filled", { revision });
  }

  #collect(found: Map<KindCache, StoredObject[]>, kv: KeyValue): void {
    const key = keyText(kv.key);
    const cache = this.#cacheOf(key);
    if (cache === undefined) return;
    const objects = found.get(cache) ?? [];
    objects.push(new StoredObject(cache.kind, key, kv.value, kv.modRevision));
    found.set(cache, objects);
  }

  async #follow(healthy: () => void): Promise<void> {
    this.#stream = this.#store.watch({
      key: Buffer.from(registryPrefix),
      rangeEnd: prefixEnd(registryPrefix),
      startRevision: (this.#revision + 1) as Revision,
      progress: true,
    });
    this.#stream.created.catch(() => {
      // The iteration below fails with the same error.
    });
    try {
      for await (const batch of this.#stream) {
        this.#apply(batch);
        healthy();
      }
    } finally {
      this.#stream.close();
    }
  }

  #apply(batch: WatchBatch): void {
    let index = 0;
    while (index < batch.events.length) {
      const revision = batch.events[index]?.kv.modRevision;
      const events = new Map<KindCache, CacheEvent[]>();
      for (; index < batch.events.length; index++) {
        const event = batch.events[index];
        if (event === undefined || event.kv.modRevision !== revision) break;
        const key = keyText(event.kv.key);
        const cache = this.#cacheOf(key);
        if (cache === undefined) continue;
        const made = toCacheEvent(cache.kind, event, cache.get(key));
        const list = events.get(cache);
        if (list === undefined) events.set(cache, [made]);
        else list.push(made);
      }
      for (const [cache, list] of events) cache.apply(list);
    }
    this.#advance(batch.revision);
  }

  #advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = waiting.filter((each) => each.revision > this.#revision);
    for (const each of waiting) if (each.revision <= this.#revision) each.resolve();
  }

  #cacheOf(key: string): KindCache | undefined {
    const first = key.indexOf("/", registryPrefix.length);
    if (first < 0) return undefined;
    const core = this.#byPrefix.get(key.slice(0, first + 1));
    if (core !== undefined) return core;
    const second = key.indexOf("/", first + 1);
    return second < 0 ? undefined : this.#byPrefix.get(key.slice(0, second + 1));
  }

  #sendBookmarks(): void {
    for (const cache of this.#caches) cache.sendBookmarks(this.#revision);
  }

  #tooNew(revision: number): StatusError {
    const message = `Too large resource version: ${revision}, current: ${this.#revision}`;
    const error = timeout(message);
    return new StatusError(error.code, message, {
      reason: "Timeout",
      retryAfterSeconds: 1,
      causes: [
        { reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "" },
      ],
    });
  }
}

function toCacheEvent(
  kind: Kind,
  event: WatchEvent,
  previous: StoredObject | KeyValue | undefined,
): CacheEvent {
  const key = keyText(event.kv.key);
  const { modRevision } = event.kv;
  const before =
    previous === undefined || previous instanceof StoredObject
      ? previous
      : new StoredObject(kind, key, previous.value, previous.modRevision);
  if (event.type === "put") {
    return new CacheEvent(new StoredObject(kind, key, event.kv.value, modRevision), before, false);
  }
  const last = before?.at(modRevision) ?? vestige(kind, key, modRevision);
  return new CacheEvent(last, before, true);
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("utf8");
}

const notFilled = "the apiserver is starting: its watch cache is not filled yet";

function closedError(): StatusError {
  return new StatusError(Code.unavailable, "the apiserver is stopping");
}

/** Waits; an abort ends the wait at once. */
export function pause(millis: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, millis);
    signal.addEventListener("abort", done, { once: true });
  });
}
