/**
 * The resources that are served now, and the ways to find one. Built-in resources are added at the
 * start; others may come and go while the program runs, and listeners are told.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Resource } from "./resource.ts";

export interface RegistryChange {
  readonly type: "added" | "removed";
  readonly resource: Resource;
}

/** Called synchronously, after the change; must not throw and must not change the registry. */
export type RegistryListener = (change: RegistryChange) => void;

/** Every look-up is one step in a map. Iterates in the order in which resources were added. */
export class Registry {
  readonly #byKind = new Map<string, Resource>();
  readonly #byPlural = new Map<string, Resource>();
  /** Plural, singular, short names and kind in lower case, first come first served. */
  readonly #byName = new Map<string, Resource[]>();
  readonly #byService = new Map<string, Resource>();
  readonly #listeners = new Set<RegistryListener>();

  constructor(resources: Iterable<Resource> = []) {
    for (const resource of resources) this.add(resource);
  }

  [Symbol.iterator](): IterableIterator<Resource> {
    return this.#byKind.values();
  }

  get size(): number {
    return this.#byKind.size;
  }

  /** Throws alreadyExists when the kind or the plural of the group and version is taken. */
  add(resource: Resource): void {
    const { plural, kind } = resource;
    const version = apiVersionOf(resource);
    if (this.#byKind.has(keyOf(version, kind)) || this.#byPlural.has(keyOf(version, plural))) {
      throw new StatusError(Code.alreadyExists, `${version} serves ${kind} (${plural}) already`);
    }
    this.#byKind.set(keyOf(version, kind), resource);
    this.#byPlural.set(keyOf(version, plural), resource);
    for (const name of namesOf(resource)) {
      const named = this.#byName.get(name);
      if (named === undefined) this.#byName.set(name, [resource]);
      else named.push(resource);
    }
    const service = serviceNameOf(resource);
    if (service !== undefined) this.#byService.set(service, resource);
    this.#tell({ type: "added", resource });
  }

  /** Removing what is not there does nothing. */
  remove(resource: Resource): void {
    const version = apiVersionOf(resource);
    if (this.#byKind.get(keyOf(version, resource.kind)) !== resource) return;
    this.#byKind.delete(keyOf(version, resource.kind));
    this.#byPlural.delete(keyOf(version, resource.plural));
    for (const name of namesOf(resource)) {
      const left = (this.#byName.get(name) ?? []).filter((each) => each !== resource);
      if (left.length === 0) this.#byName.delete(name);
      else this.#byName.set(name, left);
    }
    const service = serviceNameOf(resource);
    if (service !== undefined) this.#byService.delete(service);
    this.#tell({ type: "removed", resource });
  }

  has(resource: Resource): boolean {
    return this.#byKind.get(keyOf(apiVersionOf(resource), resource.kind)) === resource;
  }

  /** E.g. `byKind("apps/v1", "Deployment")`. */
  byKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#byKind.get(keyOf(apiVersion, kind));
  }

  /** E.g. `byPlural("apps/v1", "deployments")`. */
  byPlural(apiVersion: string, plural: string): Resource | undefined {
    return this.#byPlural.get(keyOf(apiVersion, plural));
  }

  /**
   * By plural, singular, short name or kind, in any case, as a user types it. Without a group the
   * resource that was added first under the name is meant; "" is the core group.
   */
  find(name: string, group?: string): Resource | undefined {
    const named = this.#byName.get(name.toLowerCase());
    return group === undefined ? named?.[0] : named?.find((each) => each.group === group);
  }

  /** By the full name of the typed service, e.g. `trireme.core.v1.Pods`. */
  byService(fullName: string): Resource | undefined {
    return this.#byService.get(fullName);
  }

  /** Throws internal when the resource is not served: for parts that cannot work without it. */
  required(apiVersion: string, kind: string): Resource {
    const resource = this.byKind(apiVersion, kind);
    if (resource !== undefined) return resource;
    throw new StatusError(Code.internal, `kind ${kind} of ${apiVersion} is not registered`);
  }

  /** Tells of every later change; the answer ends that. */
  onChange(listener: RegistryListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(change: RegistryChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

/** `v1` or `group/version`, as objects of the resource carry it. */
export function apiVersionOf(resource: Pick<Resource, "group" | "version">): string {
  const { group, version } = resource;
  return group === "" ? version : `${group}/${version}`;
}

export function listKindOf({ kind, listKind }: Pick<Resource, "kind" | "listKind">): string {
  return listKind ?? `${kind}List`;
}

/** The resource under whose keys objects of this one are kept: itself, for most. */
export function storageOf(resource: Resource): Resource {
  return resource.storedAs?.resource ?? resource;
}

/** Full name of the typed service; undefined for resources that have none. */
export function serviceNameOf(resource: Resource): string | undefined {
  const path = Object.values(resource.service ?? {})[0]?.path;
  return path?.slice(1, path.lastIndexOf("/"));
}

function namesOf(resource: Resource): Set<string> {
  const { plural, singular, shortNames, kind } = resource;
  return new Set([plural, singular, ...shortNames, kind].map((name) => name.toLowerCase()));
}

function keyOf(apiVersion: string, name: string): string {
  return `${apiVersion} ${name}`;
}
