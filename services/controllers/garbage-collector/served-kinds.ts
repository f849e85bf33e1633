/** Which kinds are served, asked for again and again, and a cache of the metadata of each. */
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import type { ApiObject, Informer, InformerHandlers, ServedKind } from "../../client/mod.ts";
import { apiVersionOf } from "../../client/mod.ts";
import type { ControllerContext } from "../types.ts";

/** A kind that cannot be listed holds deletions up for no longer than this (upstream: 30 s). */
const syncMillisMax = 30_000;

interface Watched {
  readonly served: ServedKind;
  readonly informer: Informer<ApiObject>;
  readonly sinceMillis: number;
  readonly off: () => void;
  complained: boolean;
}

export interface KindEvents {
  changed(served: ServedKind, object: ApiObject): void;
  deleted(served: ServedKind, object: ApiObject): void;
  /** The kind is no longer served: its objects are neither there nor gone, they are unknown. */
  withdrawn(served: ServedKind, objects: readonly ApiObject[]): void;
}

export class ServedKinds {
  readonly #context: ControllerContext;
  readonly #events: KindEvents;
  /** By group and plural. */
  readonly #watched = new Map<string, Watched>();
  /** By apiVersion and kind; a kind is there once for every version. */
  #served = new Map<string, ServedKind>();

  constructor(context: ControllerContext, events: KindEvents) {
    this.#context = context;
    this.#events = events;
    context.signal.addEventListener("abort", () => this.close(), { once: true });
  }

  /** The kind that a reference names; undefined: it is not served, as far as is known. */
  of({ apiVersion = "", kind = "" }: OwnerReference): ServedKind | undefined {
    return this.#served.get(`${apiVersion} ${kind}`);
  }

  /** Asks what is served now; answers whether that has changed. Rejects when it cannot be asked. */
  async refresh(): Promise<boolean> {
    const { client, signal } = this.#context;
    const found = await client.dynamic.discover(undefined, { signal });
    const served = new Map<string, ServedKind>();
    const collected = new Map<string, ServedKind>();
    for (const each of found) {
      served.set(`${apiVersionOf(each)} ${each.kind}`, each);
      const key = `${each.group ?? ""}/${each.plural}`;
      // The version that is named first is the preferred one.
      if (isCollected(each.verbs) && !collected.has(key)) collected.set(key, each);
    }
    const before = [...this.#served.keys(), ...this.#watched.keys()].sort().join();
    this.#served = served;
    for (const [key, watched] of this.#watched) {
      const now = collected.get(key);
      if (now?.version === watched.served.version && now?.kind === watched.served.kind) continue;
      this.#watched.delete(key);
      watched.off();
      this.#events.withdrawn(watched.served, watched.informer.lister.list());
      this.#context.dropDynamic(watched.served);
    }
    for (const [key, each] of collected) {
      if (!this.#watched.has(key)) this.#watched.set(key, this.#watch(each));
    }
    return before !== [...served.keys(), ...this.#watched.keys()].sort().join();
  }

  /**
   * True once every kind has been listed. Before that an object may have dependents not yet seen.
   * A kind that could not be listed for 30 s is left out, with a warning.
   */
  synced(): boolean {
    const { clock, log } = this.#context;
    let synced = true;
    for (const each of this.#watched.values()) {
      if (each.informer.synced) continue;
      if (clock.monotonicMillis() - each.sinceMillis < syncMillisMax) synced = false;
      else if (!each.complained) {
        each.complained = true;
        const { group, plural } = each.served;
        log.warn("a kind cannot be listed; its objects are not collected", { group, plural });
      }
    }
    return synced;
  }

  /** Takes the handlers off; the caches stay warm for the next leadership. */
  close(): void {
    for (const { off } of this.#watched.values()) off();
    this.#watched.clear();
  }

  #watch(served: ServedKind): Watched {
    const informer = this.#context.dynamic(served);
    const { changed, deleted } = this.#events;
    const handlers: InformerHandlers<ApiObject> = {
      added: (object) => changed(served, object),
      updated: (_, object) => changed(served, object),
      deleted: (object) => deleted(served, object),
    };
    const sinceMillis = this.#context.clock.monotonicMillis();
    const watched = { served, informer, sinceMillis, complained: false };
    return { ...watched, off: informer.addHandlers(handlers) };
  }
}

function isCollected(verbs: readonly string[] = []): boolean {
  return ["delete", "list", "watch"].every((verb) => verbs.includes(verb));
}
