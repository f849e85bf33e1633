import { assert } from "../../../ha/runtime/assert.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import type {
  KeyValue,
  Revision,
  Store,
  WatchBatch,
  WatchEvent,
  WatchStream,
} from "../../../ha/store/types.ts";
import { type Registry, type Resource, storageOf } from "../../kinds/mod.ts";
import { noSuchResource, timeout, unavailable } from "../errors.ts";
import { limits } from "../limits.ts";
import { prefixEnd, prefixRange, registryPrefix } from "./keys.ts";
import { KindCache } from "./kind-cache.ts";
import { StoredObject, vestige } from "./stored-object.ts";
import { CacheEvent } from "./watch-item.ts";

export interface WatchCacheOptions {
  readonly store: Store;
  /** Which resources are cached: a cache is opened and closed with each of its changes. */
  readonly registry: Registry;
  readonly log: Log;
  readonly bookmarkMillis?: number | undefined;
  readonly clock: Clock;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
  readonly fail: (error: StatusError) => void;
}

/**
 * Every object of every registered resource, fed by one store watch of `/registry/`.
 *
 * The state is always that of one revision, `revision`; it only moves forward. When the store watch
 * breaks it is resumed behind the last revision seen; only if that has been compacted meanwhile is
 * everything read again, and all watchers end. The cache of a resource that is registered later is
 * filled by a read of its own, and then follows the same watch.
 */
export class WatchCache {
  readonly #store: Store;
  readonly #log: Log;
  readonly #clock: Clock;
  /** By the resource under whose keys the objects are. */
  readonly #caches = new Map<Resource, KindCache>();
  /** Which registered resources show the objects of a cache. */
  readonly #shown = new Map<KindCache, Set<Resource>>();
  readonly #byPrefix = new Map<string, KindCache>();
  /** Caches that are being filled, with the events that came meanwhile. */
  readonly #opening = new Map<KindCache, { events: WatchEvent[]; done: Promise<void> }>();
  readonly #bookmarkMillis: number;
  readonly #forgetRegistry: () => void;
  readonly #stop = new AbortController();
  #revision = 0;
  #filled = false;
  #waiters: Waiter[] = [];
  #stream: WatchStream | undefined;
  #running: Promise<void> | undefined;
  #bookmarks: Cancel | undefined;
  #readyListeners: (() => void)[] = [];

  constructor(options: WatchCacheOptions) {
    this.#store = options.store;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#bookmarkMillis = options.bookmarkMillis ?? limits.bookmarkMillis;
    for (const resource of options.registry) this.#open(resource);
    this.#forgetRegistry = options.registry.onChange(({ type, resource }) => {
      if (type === "added") this.#open(resource);
      else this.#closeOne(resource);
    });
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
    let sum = 0;
    for (const cache of this.#caches.values()) sum += cache.watchers;
    return sum;
  }

  /** The caches of all stored resources. */
  all(): Iterable<KindCache> {
    return this.#caches.values();
  }

  /** Objects that it gives by key are in the form in which they are stored. */
  of(resource: Resource): KindCache {
    const cache = this.#caches.get(storageOf(resource));
    if (cache === undefined || this.#shown.get(cache)?.has(resource) !== true)
      throw noSuchResource(resource.plural);
    return cache;
  }

  /** Undefined: the resource's cache shows what the store has; otherwise resolves when it does. */
  opening(resource: Resource): Promise<void> | undefined {
    return this.#opening.get(this.of(resource))?.done;
  }

  start(): void {
    this.#running ??= this.#run();
    this.#bookmarks ??= this.#clock.every(this.#bookmarkMillis, () => this.#sendBookmarks());
  }

  /** Resolves when the first fill is done; rejects when the cache is closed before. */
  async whenFilled(): Promise<void> {
    if (this.#filled) return;
    await new Promise<void>((resolve) => this.#readyListeners.push(resolve));
    if (!this.#filled) throw closedError();
  }

  /**
   * Resolves when the cache has reached the revision; rejects with Timeout if it does not soon, and
   * with Unavailable when it is closed before: another master has the revision, or soon will.
   */
  waitFor(revision: number, millis: number = limits.cacheWaitMillis): Promise<void> {
    if (this.#filled && this.#revision >= revision) return Promise.resolve();
    if (this.#stop.signal.aborted) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        revision,
        resolve: () => {
          cancel();
          resolve();
        },
        fail: (error) => {
          cancel();
          reject(error);
        },
      };
      const cancel = this.#clock.after(millis, () => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        reject(this.#filled ? this.#tooNew(revision) : unavailable(notFilled));
      });
      this.#waiters.push(waiter);
    });
  }

  /** Aborted when the cache is closed. */
  get closed(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * Ends the watches a few at a time. Their clients begin them anew at other masters, which all of
   * them at once would hold up.
   */
  async endWatches(): Promise<void> {
    const watchers = [...this.#caches.values()].flatMap((cache) => [...cache.allWatchers()]);
    const steps = limits.watchesEndMillis / limits.watchEndPauseMillis;
    const share = Math.ceil(watchers.length / steps);
    for (let at = 0; at < watchers.length; at += share) {
      for (const watcher of watchers.slice(at, at + share)) watcher.end();
      await pause(this.#clock, limits.watchEndPauseMillis, this.#stop.signal);
    }
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#bookmarks?.();
    this.#stream?.close();
    this.#forgetRegistry();
    for (const cache of this.#caches.values()) cache.endWatchers();
    for (const listener of this.#readyListeners.splice(0)) listener();
    for (const waiter of this.#waiters.splice(0)) waiter.fail(closedError());
    await this.#running;
  }

  /** Events of one kind as a store watch gives them, for reading history. */
  eventsOf(cache: KindCache, batch: WatchBatch): CacheEvent[] {
    return batch.events.map((event) => toCacheEvent(cache, event, event.previous));
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
      await pause(this.#clock, delay, this.#stop.signal);
      delay = Math.min(delay * 2, limits.retryMaxMillis);
    }
  }

  async #fill(): Promise<void> {
    const found = new Map<KindCache, StoredObject[]>();
    const present = new Set(this.#caches.values());
    const revision = await this.#readAll(registryPrefix, (kv) => this.#collect(found, kv));
    for (const cache of this.#caches.values()) {
      // A cache that was opened meanwhile may have been passed over.
      if (present.has(cache)) cache.reset(found.get(cache) ?? [], revision);
      else this.#fillOne(cache);
    }
    this.#filled = true;
    this.#advance(revision);
    for (const listener of this.#readyListeners.splice(0)) listener();
    this.#log.info("the watch cache is filled", { revision });
  }

  /** Reads a whole prefix at one revision, which is the answer. */
  async #readAll(prefix: string, take: (kv: KeyValue) => void): Promise<Revision> {
    const { rangeEnd } = prefixRange(prefix);
    let key: Uint8Array = Buffer.from(prefix);
    let revision: Revision | undefined;
    for (;;) {
      const request = { key, rangeEnd, limit: limits.storePage };
      const page = await this.#store.range(
        revision === undefined ? request : { ...request, revision },
        { serializable: true, signal: this.#stop.signal },
      );
      revision ??= page.revision;
      for (const kv of page.kvs) take(kv);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return revision;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  #open(resource: Resource): void {
    if (!resource.stored) return;
    const storage = storageOf(resource);
    assert(storage.storedAs === undefined, `${storage.plural} are not stored as another resource`);
    const present = this.#caches.get(storage);
    if (present !== undefined) {
      this.#shown.get(present)?.add(resource);
      return;
    }
    const cache = new KindCache(storage);
    this.#caches.set(storage, cache);
    this.#shown.set(cache, new Set([resource]));
    this.#byPrefix.set(cache.prefix, cache);
    if (this.#filled) this.#fillOne(cache);
  }

  /** Objects that could not be read are read again. */
  readAgain(): void {
    if (!this.#filled) return;
    for (const cache of this.#caches.values()) {
      if (cache.hasUnreadable && !this.#opening.has(cache)) this.#fillOne(cache);
    }
  }

  #closeOne(resource: Resource): void {
    const storage = storageOf(resource);
    const cache = this.#caches.get(storage);
    if (cache === undefined) return;
    cache.endWatchers(resource);
    const shown = this.#shown.get(cache);
    shown?.delete(resource);
    // Another version of the resource may come in the place of this one at once.
    queueMicrotask(() => this.#closeUnused(storage, cache));
  }

  #closeUnused(storage: Resource, cache: KindCache): void {
    if (this.#caches.get(storage) !== cache || (this.#shown.get(cache)?.size ?? 0) > 0) return;
    this.#caches.delete(storage);
    this.#shown.delete(cache);
    this.#opening.delete(cache);
    if (this.#byPrefix.get(cache.prefix) === cache) this.#byPrefix.delete(cache.prefix);
  }

  /** Brings one cache up to where the others are, while they go on. */
  #fillOne(cache: KindCache): void {
    const opening = { events: [] as WatchEvent[], done: Promise.resolve() };
    this.#opening.set(cache, opening);
    opening.done = this.#fillUntilDone(cache, opening.events);
  }

  async #fillUntilDone(cache: KindCache, events: WatchEvent[]): Promise<void> {
    let delay: number = limits.retryMinMillis;
    while (!this.#stop.signal.aborted && this.#caches.get(cache.resource) === cache) {
      try {
        const objects: StoredObject[] = [];
        const revision = await this.#readAll(cache.prefix, (kv) => {
          const key = keyText(kv.key);
          objects.push(new StoredObject(cache.resource, key, kv.value, kv.modRevision));
        });
        cache.reset(objects, revision);
        this.#opening.delete(cache);
        for (const event of events) {
          if (event.kv.modRevision <= revision) continue;
          cache.apply([toCacheEvent(cache, event, cache.get(keyText(event.kv.key)))]);
        }
        return;
      } catch (thrown) {
        const { message } = StatusError.from(thrown);
        this.#log.warn("a cache could not be filled yet", { cache: cache.prefix, message });
      }
      await pause(this.#clock, delay, this.#stop.signal);
      delay = Math.min(delay * 2, limits.retryMaxMillis);
    }
  }

  #collect(found: Map<KindCache, StoredObject[]>, kv: KeyValue): void {
    const key = keyText(kv.key);
    const cache = this.#cacheOf(key);
    if (cache === undefined) return;
    const objects = found.get(cache) ?? [];
    objects.push(new StoredObject(cache.resource, key, kv.value, kv.modRevision));
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
        const opening = this.#opening.get(cache);
        if (opening !== undefined) opening.events.push(event);
        // A cache filled by a read of its own may be ahead of the watch.
        if (opening !== undefined || event.kv.modRevision <= cache.lastChange) continue;
        const made = toCacheEvent(cache, event, cache.get(key));
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
    for (const cache of this.#caches.values()) cache.age();
    for (const cache of this.#caches.values()) cache.sendBookmarks(this.#revision);
  }

  #tooNew(revision: number): StatusError {
    const message = `Timeout: Too large resource version: ${revision}, current: ${this.#revision}`;
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
  cache: KindCache,
  event: WatchEvent,
  previous: StoredObject | KeyValue | undefined,
): CacheEvent {
  const { resource } = cache;
  const key = keyText(event.kv.key);
  const { modRevision } = event.kv;
  const before =
    previous === undefined || previous instanceof StoredObject
      ? previous
      : new StoredObject(resource, key, previous.value, previous.modRevision);
  if (event.type === "put") {
    return new CacheEvent(cache.received(key, event.kv.value, modRevision), before, false);
  }
  const last = before?.at(modRevision) ?? vestige(resource, key, modRevision);
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
export function pause(
  clock: Pick<Clock, "after">,
  millis: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(millis, done);
    signal.addEventListener("abort", done, { once: true });
  });
}
