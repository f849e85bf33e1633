import type { Log } from "../../ha/runtime/types.ts";
import type { LoopClock } from "./clock.ts";
import { IndexStore, keyOf } from "./index-store.ts";
import { Reflector } from "./reflector.ts";
import type {
  ApiObject,
  Informer,
  InformerHandlers,
  Lister,
  ListOptions,
  ResourceClient,
} from "./types.ts";

export interface InformerOptions<T extends ApiObject> {
  readonly client: Pick<ResourceClient<T>, "list" | "watchBatches">;
  readonly log: Log;
  readonly clock: LoopClock;
  readonly selection?: Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;
}

/**
 * A cache that a reflector keeps. Handlers run synchronously, after the cache shows the change; one
 * added late is first told of everything that is already there.
 */
export class CachedInformer<T extends ApiObject> implements Informer<T> {
  readonly #store = new IndexStore<T>();
  readonly #handlers = new Set<InformerHandlers<T>>();
  readonly #reflector: Reflector<T>;
  readonly #log: Log;
  readonly #waiting: (() => void)[] = [];
  #synced = false;

  constructor(options: InformerOptions<T>) {
    this.#log = options.log;
    this.#reflector = new Reflector<T>({
      ...options,
      sink: {
        get: (key) => this.#store.byKey(key),
        replace: (items) => this.#replace(items),
        apply: (type, object) => this.#apply(type, object),
      },
    });
  }

  get lister(): Lister<T> {
    return this.#store;
  }

  get synced(): boolean {
    return this.#synced;
  }

  get relists(): number {
    return this.#reflector.relists;
  }

  addHandlers(handlers: InformerHandlers<T>): () => void {
    this.#handlers.add(handlers);
    for (const object of this.#store.list()) this.#guard(() => handlers.added?.(object));
    return () => this.#handlers.delete(handlers);
  }

  addIndex(name: string, values: (object: T) => readonly string[]): void {
    this.#store.addIndex(name, values);
  }

  /** May be run again once it has ended; until it has listed anew, the cache is not synced. */
  run(signal: AbortSignal): Promise<void> {
    const stale = () => {
      this.#synced = false;
    };
    signal.addEventListener("abort", stale, { once: true });
    return this.#reflector.run(signal);
  }

  whenSynced(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      const abort = () => reject(signal?.reason);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Also finds what was deleted while no watch was open. */
  #replace(items: readonly T[]): void {
    const present = new Set(items.map(keyOf));
    for (const key of [...this.#store.keys()]) {
      if (!present.has(key)) this.#remove(key);
    }
    for (const item of items) this.#put(item);
    this.#synced = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void {
    if (type === "DELETED") this.#remove(keyOf(object), object);
    else this.#put(object);
  }

  #put(object: T): void {
    const previous = this.#store.set(object);
    if (!previous) {
      for (const handlers of this.#handlers) this.#guard(() => handlers.added?.(object));
    } else if (
      previous.metadata?.resourceVersion !== object.metadata?.resourceVersion ||
      object.metadata?.resourceVersion === undefined
    ) {
      // Another uid under the same name is another object: it was deleted and created unseen.
      const replaced = previous.metadata?.uid !== object.metadata?.uid;
      for (const handlers of this.#handlers) {
        if (replaced) {
          this.#guard(() => handlers.deleted?.(previous));
          this.#guard(() => handlers.added?.(object));
        } else this.#guard(() => handlers.updated?.(previous, object));
      }
    }
  }

  #remove(key: string, last?: T): void {
    const previous = this.#store.delete(key);
    const object = last ?? previous;
    if (!previous || !object) return;
    for (const handlers of this.#handlers) this.#guard(() => handlers.deleted?.(object));
  }

  /** A handler that throws must not stop the cache; its own loop is level-based and recovers. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error("an informer's handler failed", {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  }
}
