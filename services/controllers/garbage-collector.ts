/**
 * Deletes what has lost its owners (kubernetes garbage collector).
 *
 * Background: the owner is gone, so its dependents go. Foreground: the owner waits, under the
 * finalizer `foregroundDeletion`, until the dependents that block it are gone. Orphan: under the
 * finalizer `orphan` the dependents' references to it are removed first.
 */
import type { OwnerReference } from "../../proto/gen/meta.ts";
import {
  type ApiObject,
  isConflict,
  isNotFound,
  type KindName,
  keyOf,
  type ResourceClient,
  resources,
  splitKey,
} from "../client/mod.ts";
import type { Controller, ControllerContext } from "./types.ts";

const kinds = [
  "Pod",
  "ReplicaSet",
  "Deployment",
  "Service",
  "Endpoints",
  "ConfigMap",
  "Secret",
  "ServiceAccount",
] as const satisfies readonly KindName[];
type OwnedKind = (typeof kinds)[number];

const ownerIndex = "ownerUid";
const foreground = "foregroundDeletion";
const orphan = "orphan";
/** Owners known to be gone; a uid is never used again, so this only saves questions. */
const absentMax = 1_000;

export function garbageCollector(workers: number): Controller {
  return {
    name: "garbage-collector",
    informers: kinds,
    workers,
    start(context) {
      const loop = new GarbageCollector(context);
      for (const kind of kinds) loop.watch(kind);
      return (key) => loop.reconcile(key);
    },
  };
}

interface Found {
  readonly kind: OwnedKind;
  readonly object: ApiObject;
}

type OwnerState = "exists" | "waiting" | "absent";

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #absent = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  watch(kind: OwnedKind): void {
    const { informer, on, queue } = this.#context;
    informer(kind).addIndex(ownerIndex, ownerUids);
    const seen = (object: ApiObject) => {
      const owned = (object.metadata?.ownerReferences ?? []).length > 0;
      if (owned || isBeingDeleted(object)) queue.add(`${kind}/${keyOf(object)}`);
    };
    on(kind, {
      added: seen,
      updated: (_: ApiObject, object: ApiObject) => seen(object),
      deleted: (object: ApiObject) => {
        const uid = object.metadata?.uid;
        if (uid) {
          this.#noteAbsent(uid);
          for (const found of this.#dependents(uid)) this.#enqueue(found);
        }
        // An owner in the foreground may have been waiting for this one.
        for (const owner of object.metadata?.ownerReferences ?? []) {
          const namespace = object.metadata?.namespace;
          if (isOwnedKind(owner.kind)) queue.add(`${owner.kind}/${namespace}/${owner.name}`);
        }
      },
    });
  }

  async reconcile(key: string): Promise<void> {
    const slash = key.indexOf("/");
    const kind = key.slice(0, slash);
    if (!isOwnedKind(kind)) return;
    const { name, namespace } = splitKey(key.slice(slash + 1));
    const object: ApiObject | undefined = this.#context.informer(kind).lister.get(name, namespace);
    if (!object) return;
    try {
      if (isBeingDeleted(object)) await this.#finishDeletion({ kind, object });
      else if (!object.metadata?.deletionTimestamp) await this.#collect({ kind, object });
    } catch (error) {
      // Gone, or changed since it was read: its next event brings it back.
      if (isNotFound(error)) return;
      if (!isConflict(error)) throw error;
      this.#context.queue.addRateLimited(key);
    }
  }

  /** Deletes an object none of whose owners is left. */
  async #collect({ kind, object }: Found): Promise<void> {
    const references = object.metadata?.ownerReferences ?? [];
    if (references.length === 0) return;
    const states = new Map<OwnerReference, OwnerState>();
    for (const reference of references) {
      states.set(reference, await this.#stateOf(reference, object.metadata?.namespace));
    }
    const having = (state: OwnerState) => references.filter((each) => states.get(each) === state);
    const existing = having("exists");
    if (existing.length > 0) {
      if (existing.length === references.length) return;
      await this.#update(kind, {
        ...object,
        metadata: { ...object.metadata, ownerReferences: existing },
      });
      return;
    }
    const waiting = having("waiting").length > 0;
    const blocked = this.#dependents(object.metadata?.uid ?? "").length > 0;
    const finalizers = object.metadata?.finalizers ?? [];
    let policy: "Background" | "Foreground" | "Orphan" = "Background";
    if (finalizers.includes(orphan)) policy = "Orphan";
    else if (finalizers.includes(foreground) || (waiting && blocked)) policy = "Foreground";
    await this.#delete({ kind, object }, policy);
  }

  async #finishDeletion({ kind, object }: Found): Promise<void> {
    const uid = object.metadata?.uid ?? "";
    const finalizers = object.metadata?.finalizers ?? [];
    const dependents = this.#dependents(uid);
    if (finalizers.includes(orphan)) {
      for (const each of dependents) await this.#disown(each, uid);
      await this.#dropFinalizer({ kind, object }, orphan);
      return;
    }
    const blocking = dependents.filter(({ object: dependent }) =>
      dependent.metadata?.ownerReferences?.some(
        (owner) => owner.uid === uid && owner.blockOwnerDeletion,
      ),
    );
    if (blocking.length === 0) await this.#dropFinalizer({ kind, object }, foreground);
    else for (const each of blocking) this.#enqueue(each);
  }

  async #disown({ kind, object }: Found, uid: string): Promise<void> {
    const left = (object.metadata?.ownerReferences ?? []).filter((owner) => owner.uid !== uid);
    try {
      await this.#update(kind, {
        ...object,
        metadata: { ...object.metadata, ownerReferences: left },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #dropFinalizer({ kind, object }: Found, finalizer: string): Promise<void> {
    const finalizers = (object.metadata?.finalizers ?? []).filter((each) => each !== finalizer);
    await this.#update(kind, { ...object, metadata: { ...object.metadata, finalizers } });
  }

  /** Asks the API where the cache does not know the owner. */
  async #stateOf(reference: OwnerReference, namespace: string | undefined): Promise<OwnerState> {
    const { client, informer } = this.#context;
    const { apiVersion, kind = "", name = "", uid = "" } = reference;
    if (this.#absent.has(uid)) return "absent";
    const cached: ApiObject | undefined = isOwnedKind(kind)
      ? informer(kind).lister.get(name, namespace)
      : undefined;
    if (cached?.metadata?.uid === uid) return stateOf(cached);
    try {
      const clusterScoped = Object.values(resources).some(
        (row) => row.kind === kind && row.apiVersion === apiVersion && !row.namespaced,
      );
      const ref = { apiVersion, kind };
      const owner = await client.dynamic.get(ref, name, clusterScoped ? undefined : namespace);
      if (owner.metadata?.uid === uid) return stateOf(owner);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    this.#noteAbsent(uid);
    return "absent";
  }

  #dependents(uid: string): Found[] {
    return kinds.flatMap((kind) =>
      this.#context
        .informer(kind)
        .lister.byIndex(ownerIndex, uid)
        .map((object: ApiObject) => ({ kind, object })),
    );
  }

  #enqueue({ kind, object }: Found): void {
    this.#context.queue.add(`${kind}/${keyOf(object)}`);
  }

  #noteAbsent(uid: string): void {
    this.#absent.add(uid);
    if (this.#absent.size <= absentMax) return;
    for (const oldest of this.#absent) {
      this.#absent.delete(oldest);
      return;
    }
  }

  #client(kind: OwnedKind): ResourceClient<ApiObject> {
    return this.#context.client.resource(kind) as unknown as ResourceClient<ApiObject>;
  }

  async #update(kind: OwnedKind, object: ApiObject): Promise<void> {
    await this.#client(kind).update(object, this.#context.write);
  }

  async #delete(
    { kind, object }: Found,
    propagationPolicy: "Background" | "Foreground" | "Orphan",
  ): Promise<void> {
    const { log, write } = this.#context;
    const { name = "", namespace, uid = "", resourceVersion = "" } = object.metadata ?? {};
    log.debug("deleting an object without owners", { kind, name, namespace, propagationPolicy });
    // The revision too: an owner may have been added since.
    const preconditions = { uid, resourceVersion };
    const options = { ...write, propagationPolicy, preconditions };
    await this.#client(kind).delete(name, namespace, options);
  }
}

function ownerUids(object: ApiObject): readonly string[] {
  return (object.metadata?.ownerReferences ?? []).flatMap(({ uid }) => (uid ? [uid] : []));
}

function isOwnedKind(kind: string | undefined): kind is OwnedKind {
  return (kinds as readonly string[]).includes(kind ?? "");
}

/** Under deletion, and waiting for this controller. */
function isBeingDeleted({ metadata }: ApiObject): boolean {
  const finalizers = metadata?.finalizers ?? [];
  return (
    metadata?.deletionTimestamp !== undefined &&
    (finalizers.includes(foreground) || finalizers.includes(orphan))
  );
}

function stateOf({ metadata }: ApiObject): OwnerState {
  const waits = metadata?.deletionTimestamp && metadata.finalizers?.includes(foreground);
  return waits ? "waiting" : "exists";
}
