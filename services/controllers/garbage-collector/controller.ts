/**
 * Deletes what has lost its owners (Kubernetes garbage collector).
 *
 * Background: the owner is gone, so its dependents go. Foreground: the owner waits, under the
 * finalizer `foregroundDeletion`, until the dependents that block it are gone. Orphan: under the
 * finalizer `orphan` the dependents' references to it are removed first.
 *
 *   discovery ─▶ served kinds ─metadata─▶ graph ─what changed─▶ queue of uids ─▶ reconcile
 */
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import {
  type Again,
  type ApiObject,
  apiVersionOf,
  isNotFound,
  type ServedKind,
} from "../../client/mod.ts";
import { inParallel } from "../batches.ts";
import type { Controller, ControllerContext } from "../types.ts";
import {
  foregroundFinalizer,
  Graph,
  type GraphNode,
  isDeleting,
  isForeground,
  isOrphaning,
  orphanFinalizer,
  ownersOf,
} from "./graph.ts";
import { type OwnerState, OwnerStates } from "./owner-states.ts";
import { ServedKinds } from "./served-kinds.ts";

/** The key that stands for "which kinds are served?"; no uid looks like it. */
const discoveryKey = "discovery";
/** A kind that is added or removed is noticed after so long; an unknown owner's kind at once. */
const discoveryMillis = 5_000;
const unknownDiscoveryMillis = 1_000;
const syncRetryMillis = 500;
/** Dependents that are set free at a time. */
const orphansParallel = 8;

type Policy = "Background" | "Foreground" | "Orphan";

export function garbageCollector(workers: number): Controller {
  return {
    name: "garbage-collector",
    informers: [],
    workers,
    start(context) {
      const loop = new GarbageCollector(context);
      context.queue.add(discoveryKey);
      return (key) => loop.reconcile(key);
    },
  };
}

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #graph = new Graph();
  readonly #kinds: ServedKinds;
  readonly #states: OwnerStates;
  /** Objects with an owner of a kind that is not served: looked at again when the kinds change. */
  readonly #unresolved = new Set<string>();
  #refreshedAtMillis = Number.NEGATIVE_INFINITY;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#kinds = new ServedKinds(context, {
      changed: (served, object) => this.#changed(served, object),
      deleted: (served, object) => this.#deleted(served, object),
      withdrawn: (served, objects) => {
        for (const { metadata } of objects) {
          const uid = metadata?.uid ?? "";
          this.#graph.remove(served, uid);
          this.#unresolved.delete(uid);
        }
      },
    });
    this.#states = new OwnerStates(context, this.#graph, this.#kinds);
  }

  async reconcile(key: string): Promise<Again | undefined> {
    if (key === discoveryKey) return this.#discover();
    const node = this.#graph.get(key);
    if (!node) return undefined;
    try {
      if (isOrphaning(node)) return await this.#orphan(node);
      if (isForeground(node)) return await this.#finish(node);
      if (!isDeleting(node)) await this.#collect(node);
    } catch (error) {
      // It is gone, and its event is on the way. After a conflict the newer state is.
      if (!isNotFound(error)) throw error;
    }
    return undefined;
  }

  async #discover(): Promise<Again> {
    this.#refreshedAtMillis = this.#context.clock.monotonicMillis();
    if (await this.#kinds.refresh()) {
      for (const uid of this.#unresolved) this.#context.queue.add(uid);
      this.#unresolved.clear();
    }
    return { after: discoveryMillis };
  }

  #changed(served: ServedKind, object: ApiObject): void {
    const { queue } = this.#context;
    const { previous, node } = this.#graph.put(served, object);
    if (!node) return;
    const owners = ownersOf(node);
    if (previous) {
      const before = ownersOf(previous);
      const same = JSON.stringify(before) === JSON.stringify(owners);
      // Owners that waited for this object may wait no longer.
      if (!same) this.#wakeForeground(before);
      if (same && stage(previous) === stage(node)) return;
    }
    if (owners.length > 0 || stage(node) !== "") queue.add(node.uid);
    if (isForeground(node)) {
      for (const each of this.#graph.dependents(node)) queue.add(each.uid);
    }
  }

  #deleted(served: ServedKind, object: ApiObject): void {
    const gone = this.#graph.remove(served, object.metadata?.uid ?? "");
    if (!gone) return;
    this.#unresolved.delete(gone.uid);
    for (const each of this.#graph.referring(gone.uid)) this.#context.queue.add(each.uid);
    this.#wakeForeground(ownersOf(gone));
  }

  #wakeForeground(owners: readonly OwnerReference[]): void {
    for (const { uid = "" } of owners) {
      const owner = this.#graph.get(uid);
      if (owner && isForeground(owner)) this.#context.queue.add(uid);
    }
  }

  /** Deletes an object none of whose owners is left. */
  async #collect(node: GraphNode): Promise<void> {
    const owners = ownersOf(node);
    if (owners.length === 0) return;
    const states = new Map<OwnerReference, OwnerState>();
    for (const each of owners) states.set(each, await this.#states.of(each, node));
    const having = (state: OwnerState) => owners.filter((each) => states.get(each) === state);
    if (having("unknown").length > 0) {
      this.#unresolved.add(node.uid);
      this.#askForKinds();
      return;
    }
    const existing = having("exists");
    if (existing.length > 0) {
      if (existing.length < owners.length) await this.#patch(node, { ownerReferences: existing });
      return;
    }
    const finalizers = node.metadata.finalizers ?? [];
    const waiting = having("waiting").length > 0;
    let policy: Policy = "Background";
    if (finalizers.includes(orphanFinalizer)) policy = "Orphan";
    else if (finalizers.includes(foregroundFinalizer)) policy = "Foreground";
    else if (waiting && this.#graph.dependents(node).length > 0) policy = "Foreground";
    await this.#delete(node, policy);
  }

  /** Lets an owner go for which nothing waits any more; else sees to it that its dependents go. */
  async #finish(node: GraphNode): Promise<Again | undefined> {
    if (!this.#kinds.synced()) return { after: syncRetryMillis };
    if (this.#graph.mayFinish(node)) {
      await this.#dropFinalizer(node, foregroundFinalizer);
      return undefined;
    }
    for (const each of this.#graph.blocking(node)) {
      // What is under deletion already wakes this owner when it has gone.
      if (!isDeleting(each)) this.#context.queue.add(each.uid);
    }
    return undefined;
  }

  async #orphan(node: GraphNode): Promise<Again | undefined> {
    if (!this.#kinds.synced()) return { after: syncRetryMillis };
    const dependents = this.#graph.dependents(node).filter(({ uid }) => uid !== node.uid);
    await inParallel(dependents, orphansParallel, async (each) => {
      const ownerReferences = ownersOf(each).filter(({ uid }) => uid !== node.uid);
      try {
        await this.#patch(each, { ownerReferences });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
    await this.#dropFinalizer(node, orphanFinalizer);
    return undefined;
  }

  async #dropFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const finalizers = (node.metadata.finalizers ?? []).filter((each) => each !== finalizer);
    await this.#patch(node, { finalizers });
  }

  /** Changes the object as it was seen; `aborted` when it has changed since. */
  async #patch(node: GraphNode, change: object): Promise<void> {
    const { client, write } = this.#context;
    const { name = "", namespace, resourceVersion, uid } = node.metadata;
    const patch = { metadata: { uid, resourceVersion, ...change } };
    await client.dynamic.patch(refOf(node), name, namespace, "merge", patch, write);
  }

  async #delete(node: GraphNode, propagationPolicy: Policy): Promise<void> {
    const { client, log, write } = this.#context;
    const { name = "", namespace, resourceVersion = "", uid = "" } = node.metadata;
    const { kind } = node.served;
    log.debug("deleting an object without owners", { kind, name, namespace, propagationPolicy });
    // The revision too: an owner may have been added since.
    const preconditions = { uid, resourceVersion };
    const options = { ...write, propagationPolicy, preconditions };
    await client.dynamic.delete(refOf(node), name, namespace, options);
  }

  /** An owner of an unknown kind: perhaps the kind has just been added. */
  #askForKinds(): void {
    const { clock, queue } = this.#context;
    const since = clock.monotonicMillis() - this.#refreshedAtMillis;
    queue.addAfter(discoveryKey, Math.max(0, unknownDiscoveryMillis - since));
  }
}

/** What of an object's deletion concerns the collector. */
function stage(node: GraphNode): string {
  if (!isDeleting(node)) return "";
  return `deleting ${isForeground(node)} ${isOrphaning(node)}`;
}

function refOf({ served }: GraphNode) {
  return { apiVersion: apiVersionOf(served), kind: served.kind, resource: served.plural };
}
