import type { Log } from "../../ha/runtime/types.ts";
import type { TriremeClient } from "./client.ts";
import type { LoopClock } from "./clock.ts";
import { CachedInformer } from "./informer.ts";
import type { KindName, ObjectTypes } from "./resources.ts";
import type { ApiObject, Informer, ListOptions } from "./types.ts";

type Selection = Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;

/** Gives every control loop of a process the same informer per kind and selection. */
export class InformerFactory {
  readonly #client: Pick<TriremeClient, "resource">;
  readonly #log: Log;
  readonly #clock: LoopClock;
  readonly #informers = new Map<string, CachedInformer<ApiObject>>();
  readonly #runs = new Map<string, Promise<void>>();
  #signal: AbortSignal | undefined;

  constructor(options: {
    readonly client: Pick<TriremeClient, "resource">;
    readonly log: Log;
    readonly clock: LoopClock;
  }) {
    this.#client = options.client;
    this.#log = options.log;
    this.#clock = options.clock;
  }

  informer<K extends KindName>(kind: K, selection: Selection = {}): Informer<ObjectTypes[K]> {
    const { namespace = "", labelSelector = "", fieldSelector = "" } = selection;
    const key = JSON.stringify([kind, namespace, labelSelector, fieldSelector]);
    const known = this.#informers.get(key);
    if (known) return known as unknown as Informer<ObjectTypes[K]>;
    const made = new CachedInformer<ObjectTypes[K]>({
      client: this.#client.resource(kind),
      log: this.#log.child({ informer: kind }),
      clock: this.#clock,
      selection,
    });
    this.#informers.set(key, made as unknown as CachedInformer<ApiObject>);
    if (this.#signal) this.#runs.set(key, made.run(this.#signal));
    return made;
  }

  /** Starts what has been asked for, and whatever is asked for later. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const [key, informer] of this.#informers) {
      if (!this.#runs.has(key)) this.#runs.set(key, informer.run(signal));
    }
  }

  async whenSynced(signal?: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((each) => each.whenSynced(signal)));
  }

  /** Lists that had to be repeated, over all informers. */
  get relists(): number {
    return [...this.#informers.values()].reduce((sum, each) => sum + each.relists, 0);
  }

  /** Resolves when every informer has ended, after the signal's abort. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs.values());
  }
}
