import type { Log } from "../../ha/runtime/types.ts";
import type { DiscoveredResource } from "../../proto/gen/dynamic.ts";
import type { TriremeClient } from "./client.ts";
import type { LoopClock } from "./clock.ts";
import type { DynamicClient } from "./dynamic-client.ts";
import { CachedInformer } from "./informer.ts";
import { type KindName, type ObjectTypes, resources } from "./resources.ts";
import type { ApiObject, Informer, ListOptions, ResourceClient } from "./types.ts";

type FactoryClient = Pick<TriremeClient, "resource"> & {
  readonly dynamic: Pick<DynamicClient, "list" | "watch">;
};

type Selection = Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;

/** A kind as discovery names it. */
export type ServedKind = Pick<
  DiscoveredResource,
  "group" | "version" | "kind" | "plural" | "namespaced"
>;

/** Gives every control loop of a process the same informer per kind and selection. */
export class InformerFactory {
  /** Ends the run of one informer of a kind known at run time. */
  readonly #ends = new Map<string, AbortController>();
  readonly #client: FactoryClient;
  readonly #log: Log;
  readonly #clock: LoopClock;
  readonly #informers = new Map<string, CachedInformer<ApiObject>>();
  readonly #runs = new Map<string, Promise<void>>();
  #signal: AbortSignal | undefined;

  constructor(options: {
    readonly client: FactoryClient;
    readonly log: Log;
    readonly clock: LoopClock;
  }) {
    this.#client = options.client;
    this.#log = options.log;
    this.#clock = options.clock;
  }

  informer<K extends KindName>(kind: K, selection: Selection = {}): Informer<ObjectTypes[K]> {
    const key = selectionKey(kind, selection);
    const known = this.#informers.get(key);
    if (known) return known as unknown as Informer<ObjectTypes[K]>;
    const made = new CachedInformer<ObjectTypes[K]>({
      client: this.#client.resource(kind),
      log: this.#log.child({ informer: kind }),
      clock: this.#clock,
      selection,
    });
    this.#informers.set(key, made as unknown as CachedInformer<ApiObject>);
    if (this.#signal) this.#run(key, made as unknown as CachedInformer<ApiObject>, this.#signal);
    return made;
  }

  /**
   * The metadata (apiVersion, kind, metadata without managedFields) of all objects of a kind that is
   * known only at run time. Where the process already keeps a typed cache of the kind, that one is
   * given, so that no kind is watched twice.
   */
  dynamic(served: ServedKind): Informer<ApiObject> {
    const typed = this.#informers.get(selectionKey(typedName(served) ?? "", {}));
    if (typed) return typed;
    const key = dynamicKey(served);
    const known = this.#informers.get(key);
    if (known) return known;
    const made = new CachedInformer<ApiObject>({
      client: metadataClient(this.#client.dynamic, served),
      log: this.#log.child({ informer: served.plural ?? "" }),
      clock: this.#clock,
    });
    this.#informers.set(key, made);
    this.#ends.set(key, new AbortController());
    if (this.#signal) this.#run(key, made, this.#signal);
    return made;
  }

  /** Ends the cache of a kind that is no longer served; a typed one stays. Idempotent. */
  dropDynamic(served: ServedKind): void {
    const key = dynamicKey(served);
    this.#ends.get(key)?.abort();
    this.#ends.delete(key);
    this.#informers.delete(key);
  }

  /**
   * Starts what has been asked for, and what is asked for later. Once the signal of an earlier start
   * has aborted, the caches may be started again: they list anew.
   */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const [key, informer] of this.#informers) this.#run(key, informer, signal);
  }

  /** Whether it has been started, and not ended since. */
  get started(): boolean {
    return this.#signal?.aborted === false;
  }

  /** Resolves when the typed caches have synced; a user of a dynamic one asks that one. */
  async whenSynced(signal?: AbortSignal): Promise<void> {
    const typed = [...this.#informers].filter(([key]) => !this.#ends.has(key));
    await Promise.all(typed.map(([, each]) => each.whenSynced(signal)));
  }

  /** Whether they have now. */
  get synced(): boolean {
    return [...this.#informers].every(([key, each]) => this.#ends.has(key) || each.synced);
  }

  /** Lists that had to be repeated, over all informers. */
  get relists(): number {
    return [...this.#informers.values()].reduce((sum, each) => sum + each.relists, 0);
  }

  /** Resolves when every informer has ended, after the signal's abort. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs.values());
  }

  #run(key: string, informer: CachedInformer<ApiObject>, signal: AbortSignal): void {
    const end = this.#ends.get(key);
    const before = this.#runs.get(key);
    const run = (async () => {
      await before;
      await informer.run(end ? AbortSignal.any([signal, end.signal]) : signal);
    })();
    this.#runs.set(key, run);
    if (!end) return;
    const ended = () => {
      if (this.#runs.get(key) === run) this.#runs.delete(key);
    };
    void run.then(ended, ended);
  }
}

function selectionKey(kind: string, selection: Selection): string {
  const { namespace = "", labelSelector = "", fieldSelector = "" } = selection;
  // Loops ask for whole kinds at every event.
  if (namespace + labelSelector + fieldSelector === "") return kind;
  return JSON.stringify([kind, namespace, labelSelector, fieldSelector]);
}

function dynamicKey({ group = "", plural = "" }: ServedKind): string {
  return JSON.stringify(["metadata", group, plural]);
}

/** The typed name of a served kind, where this build has a typed client for it. */
function typedName(served: ServedKind): KindName | undefined {
  const apiVersion = apiVersionOf(served);
  return Object.values(resources).find(
    (row) => row.plural === served.plural && row.apiVersion === apiVersion,
  )?.kind;
}

/** `group/version`, or the version alone for the core group. */
export function apiVersionOf({ group, version = "" }: ServedKind): string {
  return group ? `${group}/${version}` : version;
}

/** Lists and watches one kind, and lets go of everything but the metadata. */
function metadataClient(
  dynamic: FactoryClient["dynamic"],
  served: ServedKind,
): Pick<ResourceClient<ApiObject>, "list" | "watchBatches"> {
  const { kind, plural } = served;
  const ref = { apiVersion: apiVersionOf(served), kind, resource: plural };
  return {
    async list({ omit: _, ...options } = {}) {
      const page = await dynamic.list(ref, options);
      return { ...page, items: page.items.map(metadataOnly) };
    },
    async *watchBatches(options = {}) {
      for await (const event of dynamic.watch(ref, options)) {
        yield [{ ...event, object: metadataOnly(event.object) }];
      }
    },
  };
}

function metadataOnly({ apiVersion, kind, metadata }: ApiObject): ApiObject {
  const { managedFields: _, ...kept } = metadata ?? {};
  return { apiVersion, kind, metadata: kept };
}
