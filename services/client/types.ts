/**
 * What every control loop stands on, in client-go's vocabulary.
 *
 * Objects are the generated message types. Errors are `StatusError`s with the Kubernetes detail
 * (`reason`, `causes`) restored from the wire.
 */
import type { FencingToken } from "../../ha/election/types.ts";
import type { ObjectMeta } from "../../proto/gen/meta.ts";

export interface ApiObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata?: ObjectMeta | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default 30,000. */
  readonly timeoutMillis?: number | undefined;
}

export interface WriteOptions extends CallOptions {
  /** The write is refused (`failedPrecondition`) when leadership has passed to another since. */
  readonly fence?: FencingToken | undefined;
  readonly fieldManager?: string | undefined;
  readonly dryRun?: boolean | undefined;
  /**
   * Called once for each warning that the apiserver gives about a successful write, e.g. about a
   * field that has no effect. The dynamic client calls it; without it warnings are dropped.
   */
  readonly onWarning?: ((text: string) => void) | undefined;
}

export interface ListOptions extends CallOptions {
  /** Objects come without it. Watches, and lists of typed clients. */
  readonly omit?: "metadata.managedFields" | undefined;
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

export interface ListResult<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue: string | undefined;
}

export interface WatchOptions extends Omit<ListOptions, "limit" | "continue"> {
  /**
   * Events may come with only what has changed ({@link WatchEvent.base}), where the server can and
   * `omit` is set. For readers that keep what they are told.
   */
  readonly changes?: boolean | undefined;
  readonly allowBookmarks?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
  /** Set: `object` only holds what has changed since this resourceVersion: see `dynamic.proto`. */
  readonly base?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | undefined;
}

export type PatchType = "json" | "merge" | "strategic";

/** One kind, as every typed service offers it. `namespace` is ignored for cluster-scoped kinds. */
export interface ResourceClient<T extends ApiObject> {
  get(name: string, namespace?: string, options?: CallOptions): Promise<T>;
  list(options?: ListOptions): Promise<ListResult<T>>;
  /** Ends when the server ends it; throws `outOfRange` (reason Expired) when too old. */
  watch(options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** The same, with the events together that have come together: costs less. */
  watchBatches(options?: WatchOptions): AsyncIterable<readonly WatchEvent<T>[]>;
  create(object: T, options?: WriteOptions): Promise<T>;
  update(object: T, options?: WriteOptions): Promise<T>;
  updateStatus(object: T, options?: WriteOptions): Promise<T>;
  patch(
    name: string,
    namespace: string | undefined,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions & { readonly subresource?: "status" },
  ): Promise<T>;
  delete(name: string, namespace?: string, options?: DeleteOptions): Promise<void>;
}

/** A read-only view of an informer's cache. Objects are shared: never change them. */
export interface Lister<T extends ApiObject> {
  get(name: string, namespace?: string): T | undefined;
  list(namespace?: string): readonly T[];
  /** Objects whose index function returned `value`. */
  byIndex(index: string, value: string): readonly T[];
}

export interface InformerHandlers<T> {
  added?(object: T): void;
  updated?(previous: T, object: T): void;
  /** The last known state. */
  deleted?(object: T): void;
}

/**
 * A local cache of one kind, kept by list and watch. After a broken watch it resumes from its last
 * resourceVersion on whatever master answers; only an Expired answer makes it list again
 * (`relists` counts those).
 */
export interface Informer<T extends ApiObject> {
  readonly lister: Lister<T>;
  readonly synced: boolean;
  readonly relists: number;
  /** Answers how to take them off again. */
  addHandlers(handlers: InformerHandlers<T>): () => void;
  addIndex(name: string, values: (object: T) => readonly string[]): void;
  /** Runs until the signal aborts; resolves then. */
  run(signal: AbortSignal): Promise<void>;
  whenSynced(signal?: AbortSignal): Promise<void>;
}

/**
 * Keys waiting for a reconciler: a key is handed to one worker at a time, and once more after that
 * if it was added meanwhile (client-go `util/workqueue`).
 */
export interface WorkQueue<K = string> {
  add(key: K): void;
  addAfter(key: K, millis: number): void;
  /** Adds after an exponential backoff that `forget` resets. */
  addRateLimited(key: K): void;
  forget(key: K): void;
  /** Undefined once the queue is shut down and drained. */
  next(): Promise<K | undefined>;
  done(key: K): void;
  shutDown(): void;
  readonly length: number;
}
