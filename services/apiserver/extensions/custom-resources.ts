/**
 * Custom resources: what definitions are in the watch cache is what is registered.
 *
 * Each master follows its cache. A definition whose names are accepted brings a resource for each of
 * its served versions, and takes them along when it goes. A request for a resource that is not
 * registered waits until this master has seen every definition there is (`catchUp`), so what one
 * master calls established, all serve.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { CustomResourceDefinition } from "../../../proto/gen/apiextensions.ts";
import type { Resource } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import { createSelection } from "../storage/selection.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { pause } from "../storage/watch-cache.ts";
import type { Backend } from "../verbs/backend.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import { converterOf, type RemoteConversion } from "./converter.ts";
import { type Plan, planOf, servedResources, storageResource } from "./custom-resource.ts";
import { DefinitionLoop } from "./definition-loop.ts";

interface Installed {
  readonly revision: number;
  /** What the resources were made of. */
  readonly text: string;
  readonly storage: Resource;
  readonly resources: readonly Resource[];
}

export class CustomResources {
  readonly #backend: Backend;
  readonly #definitions: Resource;
  readonly #remote: RemoteConversion;
  readonly #installed = new Map<string, Installed>();
  /** The key of the definition of each custom resource. */
  readonly #origins = new WeakMap<Resource, string>();

  constructor(backend: Backend, remote: RemoteConversion) {
    this.#backend = backend;
    this.#remote = remote;
    this.#definitions = backend.registry.required(
      "apiextensions.k8s.io/v1",
      "CustomResourceDefinition",
    );
  }

  /** Follows the definitions from the first fill of the watch cache until it is closed. */
  start(): void {
    void this.#run();
  }

  /** Resolves when every definition that was established before the call is served here. */
  async catchUp(withinMillis?: number): Promise<void> {
    if (withinMillis === undefined) return this.#catchUp();
    const { clock, log } = this.#backend;
    let stop = () => {};
    const late = new Promise<void>((resolve) => {
      stop = clock.after(withinMillis, resolve);
    });
    const caughtUp = this.#catchUp().catch((thrown: unknown) => {
      log.debug("definitions may be missing", { message: StatusError.from(thrown).message });
    });
    await Promise.race([late, caughtUp]);
    stop();
  }

  async #catchUp(): Promise<void> {
    const { cache } = this.#backend;
    if (!cache.filled) return;
    await waitForCache(this.#backend, this.#definitions, undefined);
    this.#sync();
  }

  /** The key of the definition that a resource comes from; undefined: it is no custom resource. */
  originOf(resource: Resource): string | undefined {
    return this.#origins.get(resource);
  }

  async #run(): Promise<void> {
    const { cache, clock, log } = this.#backend;
    const signal = cache.closed;
    try {
      await cache.whenFilled();
    } catch {
      // Closed before it was filled: there is nothing to follow.
      return;
    }
    const loop = new DefinitionLoop(this.#backend, this.#definitions);
    while (!signal.aborted) {
      try {
        await this.#follow(loop);
      } catch (thrown) {
        const { message } = StatusError.from(thrown);
        log.warn("custom resource definitions could not be followed", { message });
      }
      await pause(clock, limits.retryMinMillis, signal);
    }
    loop.close();
  }

  /** Until the watch of the cache ends, because it was filled anew or closed. */
  async #follow(loop: DefinitionLoop): Promise<void> {
    const { cache } = this.#backend;
    const kind = cache.of(this.#definitions);
    const selection = createSelection(this.#definitions, {});
    const { watcher } = kind.watchAfter(
      Math.max(cache.revision, kind.windowStart),
      selection,
      false,
    );
    this.#sync();
    loop.changed();
    while (!watcher.ended) {
      await watcher.arrival();
      let changed = false;
      while (watcher.take() !== undefined) changed = true;
      if (!changed) continue;
      this.#sync();
      loop.changed();
    }
  }

  /** Brings the registry in line with the cache. */
  #sync(): void {
    const { cache } = this.#backend;
    if (cache.closed.aborted) return;
    const present = new Set<string>();
    const selection = createSelection(this.#definitions, {});
    for (const object of cache.of(this.#definitions).select(selection)) {
      present.add(object.key);
      const installed = this.#installed.get(object.key);
      if (installed?.revision === object.revision) continue;
      try {
        this.#install(object, installed);
      } catch (thrown) {
        this.#complain(object, thrown);
      }
    }
    for (const [key, installed] of this.#installed) {
      if (!present.has(key)) this.#uninstall(key, installed);
    }
  }

  #install(object: StoredObject, before: Installed | undefined): void {
    const definition = object.document as CustomResourceDefinition;
    const plan = planOf(definition);
    const text = JSON.stringify([plan, definition.spec?.conversion]);
    const { revision } = object;
    if (before !== undefined && before.text === text) {
      this.#installed.set(object.key, { ...before, revision });
      return;
    }
    if (plan === undefined) {
      if (before !== undefined) this.#uninstall(object.key, before);
      return;
    }
    const storage = sameStorage(before?.storage, plan) ?? storageResource(plan);
    const converter = converterOf(definition.spec?.conversion, this.#remote);
    const resources = servedResources(plan, storage, converter);
    const { registry, log } = this.#backend;
    for (const resource of before?.resources ?? []) registry.remove(resource);
    const added: Resource[] = [];
    for (const resource of resources) {
      this.#origins.set(resource, object.key);
      try {
        registry.add(resource);
        added.push(resource);
      } catch (thrown) {
        // Names of the API itself are refused by the loop of the definitions.
        const { message } = StatusError.from(thrown);
        log.warn("a custom resource cannot be served", { definition: object.name, message });
      }
    }
    this.#installed.set(object.key, { revision, text, storage, resources: added });
  }

  #uninstall(key: string, { resources }: Installed): void {
    for (const resource of resources) this.#backend.registry.remove(resource);
    this.#installed.delete(key);
  }

  #complain(object: StoredObject, thrown: unknown): void {
    const { code, message } = StatusError.from(thrown);
    const level = code === Code.unknown ? "error" : "warn";
    this.#backend.log[level]("a definition cannot be served", { definition: object.name, message });
  }
}

/** The cache of the objects stays as long as they are kept in the same way. */
function sameStorage(storage: Resource | undefined, plan: Plan): Resource | undefined {
  if (storage === undefined) return undefined;
  const wanted = storageResource(plan);
  const same =
    storage.version === wanted.version &&
    storage.kind === wanted.kind &&
    storage.namespaced === wanted.namespaced;
  return same ? storage : undefined;
}
