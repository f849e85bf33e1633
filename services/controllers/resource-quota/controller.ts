import type { ResourceQuota } from "../../../proto/gen/core.ts";
import {
  type Again,
  type ApiObject,
  type Informer,
  type InformerHandlers,
  keyOf,
  type ServedKind,
  splitKey,
} from "../../client/mod.ts";
import { countedResourceOf, equalJson } from "../../kinds/facts.ts";
import type { CountedResource } from "../../kinds/mod.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { changesUsage, millisToFree, statusOfQuota } from "./plan.ts";

/** A burst of changes is one recount, and what is freed is usable again well within a second. */
const collectMillis = 200;
/** A full recount although nothing was seen to change (upstream `resource-quota-sync-period`). */
const resyncMillis = 5 * 60_000;
/** Until a cache that is being filled is asked again. */
const fillingMillis = 500;
/** How long what discovery said is believed of a resource that it did not name. */
const discoveryMillis = 30_000;

/**
 * Recounts what quotas bound when counted objects change or go. Creations are charged by the
 * apiserver with the write itself, so that both agree: each writes the status only over the one it
 * has read.
 */
export function resourceQuotaController(workers: number): Controller {
  return {
    name: "resourcequota",
    informers: ["ResourceQuota", "Pod", "Service", "PersistentVolumeClaim"],
    workers,
    start(context) {
      const loop = new QuotaLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

class QuotaLoop {
  readonly #context: ControllerContext;
  /** Caches of the resources that only `count/…` and the like name, by plural and group. */
  readonly #watched = new Map<string, { informer: Informer<ApiObject>; off: () => void }>();
  #served: ReadonlyMap<string, ServedKind> = new Map();
  #askedMillis = Number.NEGATIVE_INFINITY;

  constructor(context: ControllerContext) {
    this.#context = context;
    const off = () => {
      for (const each of this.#watched.values()) each.off();
      this.#watched.clear();
    };
    context.signal.addEventListener("abort", off, { once: true });
  }

  watch(): void {
    const { informer, on, queue } = this.#context;
    on("ResourceQuota", {
      added: (quota) => queue.add(keyOf(quota)),
      updated(previous, quota) {
        const says = ({ spec, status }: ResourceQuota) => ({ spec, hard: status?.hard });
        if (!equalJson(says(previous), says(quota))) queue.add(keyOf(quota));
      },
    });
    const changed = this.#changed("pods", "");
    on("Pod", {
      added: changed,
      updated: (previous, pod) => {
        // Most namespaces have no quota: there nothing is compared.
        const bound = informer("ResourceQuota").lister.list(pod.metadata?.namespace ?? "");
        if (bound.length > 0 && changesUsage(previous, pod)) changed(pod);
      },
      deleted: changed,
    });
    on("Service", this.#handlers("services", ""));
    on("PersistentVolumeClaim", this.#handlers("persistentvolumeclaims", ""));
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { client, clock, informer, write } = this.#context;
    const { name, namespace } = splitKey(key);
    const quota = informer("ResourceQuota").lister.get(name, namespace);
    if (quota === undefined) return undefined;
    const listers = await this.#informersOf(quota);
    const filling = [...listers.values()].some((each) => each && !each.synced);
    if (filling) return { after: fillingMillis };
    const now = clock.wallMillis();
    const status = statusOfQuota(
      quota,
      (resource) => listers.get(nameOf(resource))?.lister.list(namespace),
      now,
    );
    if (status !== undefined) await client.resourceQuotas.updateStatus({ ...quota, status }, write);
    const free = millisToFree(informer("Pod").lister.list(namespace), now) ?? resyncMillis;
    return { after: Math.min(resyncMillis, free) };
  }

  #changed(plural: string, group: string): (object: ApiObject) => void {
    const { informer, queue } = this.#context;
    const resource = nameOf({ plural, group });
    return ({ metadata }) => {
      for (const quota of informer("ResourceQuota").lister.list(metadata?.namespace ?? "")) {
        const bounds = Object.keys(quota.spec?.hard ?? {});
        if (bounds.some((each) => nameOf(countedResourceOf(each)) === resource)) {
          queue.addAfter(keyOf(quota), collectMillis);
        }
      }
    };
  }

  #handlers(plural: string, group: string): InformerHandlers<ApiObject> {
    const changed = this.#changed(plural, group);
    return { added: changed, updated: (_, object) => changed(object), deleted: changed };
  }

  /** Undefined for a resource that is not served. */
  async #informersOf(
    quota: ResourceQuota,
  ): Promise<ReadonlyMap<string, Informer<ApiObject> | undefined>> {
    const found = new Map<string, Informer<ApiObject> | undefined>();
    for (const bound of Object.keys(quota.spec?.hard ?? {})) {
      const resource = countedResourceOf(bound);
      const name = nameOf(resource);
      if (!found.has(name)) found.set(name, await this.#informerOf(resource));
    }
    return found;
  }

  async #informerOf(resource: CountedResource): Promise<Informer<ApiObject> | undefined> {
    const { informer } = this.#context;
    const name = nameOf(resource);
    switch (name) {
      case "pods":
        return informer("Pod");
      case "services":
        return informer("Service");
      case "persistentvolumeclaims":
        return informer("PersistentVolumeClaim");
      default:
        return this.#dynamic(name, resource);
    }
  }

  async #dynamic(
    name: string,
    { plural, group }: CountedResource,
  ): Promise<Informer<ApiObject> | undefined> {
    const served = await this.#servedKind(name);
    const known = this.#watched.get(name);
    if (served === undefined) {
      known?.off();
      this.#watched.delete(name);
      return undefined;
    }
    const informer = this.#context.dynamic(served);
    if (known?.informer === informer) return informer;
    known?.off();
    const off = informer.addHandlers(this.#handlers(plural, group));
    this.#watched.set(name, { informer, off });
    return informer;
  }

  async #servedKind(name: string): Promise<ServedKind | undefined> {
    const { client, clock, signal } = this.#context;
    const now = clock.monotonicMillis();
    const stale = now - this.#askedMillis >= discoveryMillis;
    if (stale) {
      const served = new Map<string, ServedKind>();
      for (const each of await client.dynamic.discover(undefined, { signal })) {
        const { plural = "", group = "", namespaced, verbs = [] } = each;
        const listed = ["list", "watch"].every((verb) => verbs.includes(verb));
        const key = nameOf({ plural, group });
        // The version that is named first is the preferred one.
        if (namespaced && listed && !served.has(key)) served.set(key, each);
      }
      this.#served = served;
      this.#askedMillis = now;
    }
    return this.#served.get(name);
  }
}

function nameOf({ plural, group }: CountedResource): string {
  return group === "" ? plural : `${plural}.${group}`;
}
