/**
 * Creates, deletes, adopts and releases the pods of a workload (Kubernetes `controller.RealPodControl`
 * and `PodControllerRefManager`): ReplicaSets now, and whatever else will own pods.
 */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod, PodTemplateSpec } from "../../../proto/gen/core.ts";
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import { type ApiObject, isNamespaceTerminating, isNotFound, keyOf } from "../../client/mod.ts";
import { slowStart } from "../batches.ts";
import { claim, controllerOf, controllerReference } from "../owners.ts";
import type { ControllerContext } from "../types.ts";
import { Expectations } from "./expectations.ts";

/** The kind whose objects own the pods. */
export interface PodOwnerKind<T extends ApiObject> {
  readonly apiVersion: string;
  readonly kind: string;
  /** From the cache; undefined: there is none. */
  cached(name: string, namespace: string | undefined): T | undefined;
  /** From the API, never from the cache; rejects with `notFound`. */
  read(name: string, namespace: string | undefined): Promise<T>;
}

export interface PodHandlers<T extends ApiObject> {
  /** A pod of this owner has appeared, changed or gone. `pod` is its last state. */
  owned(key: string, owner: T, pod: Pod, previous: Pod | undefined): void;
  /** A pod without a controller has appeared or changed: perhaps it is to be adopted. */
  orphaned(pod: Pod): void;
}

export class PodControl<T extends ApiObject> {
  readonly #context: ControllerContext;
  readonly #kind: PodOwnerKind<T>;
  readonly #expectations: Expectations;

  constructor(context: ControllerContext, kind: PodOwnerKind<T>) {
    this.#context = context;
    this.#kind = kind;
    this.#expectations = new Expectations(context.clock);
  }

  /** Follows the pods' changes: notes what was expected, and tells the handlers. */
  watch(handlers: PodHandlers<T>): void {
    const { on } = this.#context;
    const tell = (pod: Pod, previous?: Pod) => {
      const key = this.#ownerKey(pod);
      const owner = key === undefined ? undefined : this.#ownerOf(pod);
      if (key !== undefined && owner) handlers.owned(key, owner, pod, previous);
      else if (!controllerOf(pod)) handlers.orphaned(pod);
    };
    const going = (pod: Pod) => {
      const key = this.#ownerKey(pod);
      const owner = this.#ownerOf(pod);
      if (key === undefined || !owner) return;
      this.#expectations.deleted(key, pod.metadata?.uid ?? "");
      handlers.owned(key, owner, pod, undefined);
    };
    on("Pod", {
      added: (pod) => {
        if (pod.metadata?.deletionTimestamp) return going(pod);
        const key = this.#ownerKey(pod);
        if (key !== undefined) this.#expectations.created(key);
        tell(pod);
      },
      updated: (previous, pod) => {
        if (pod.metadata?.deletionTimestamp) return going(pod);
        const before = this.#ownerKey(previous);
        const owner = this.#ownerOf(previous);
        if (before !== undefined && owner && before !== this.#ownerKey(pod)) {
          handlers.owned(before, owner, pod, previous);
        }
        tell(pod, previous);
      },
      deleted: going,
    });
  }

  /**
   * False while the cache does not show yet what this control has done for the owner: the owner's pods
   * must not be counted then. Ask before reading the cache: what it shows afterwards includes what was
   * expected.
   */
  settled(key: string): boolean {
    return this.#expectations.fulfilled(key);
  }

  /** The owner is gone: nothing is expected for it any more. */
  forget(key: string): void {
    this.#expectations.forget(key);
  }

  /**
   * The pods that are the owner's among these. Matching ones without a controller are adopted, after
   * a look at the API whether the owner is still there; its own that match no longer are released.
   */
  claim(owner: T, candidates: readonly Pod[], matches: (pod: Pod) => boolean): Promise<Pod[]> {
    const { client, write } = this.#context;
    const { name = "", namespace, uid } = owner.metadata ?? {};
    return claim<Pod>({
      candidates,
      owner,
      reference: this.#reference(owner),
      matches,
      mayAdopt: async () => {
        const { metadata } = await this.#kind.read(name, namespace);
        return metadata?.uid === uid && !metadata?.deletionTimestamp;
      },
      write: (pod) => client.pods.update(pod, write),
    });
  }

  /**
   * Creates `count` pods in batches of 1, 2, 4, …, and stops after the first batch with a failure.
   * Answers the first error; undefined when all went well, and when the namespace is going away.
   * `done` is told of each pod that came about.
   */
  async create(
    owner: T,
    count: number,
    pod: () => Pod,
    done?: (pod: Pod) => void,
  ): Promise<StatusError | undefined> {
    const { client, recorder, write } = this.#context;
    const key = keyOf(owner);
    const about = this.#about(owner);
    this.#expectations.expectCreations(key, count);
    const { succeeded, error } = await slowStart(count, async () => {
      const created = await client.pods.create(pod(), write);
      done?.(created);
      const text = `Created pod: ${created.metadata?.name}`;
      recorder.event(about, "Normal", "SuccessfulCreate", text);
    });
    if (succeeded < count) this.#expectations.created(key, count - succeeded);
    if (error === undefined) return undefined;
    const cause = StatusError.from(error);
    if (isNamespaceTerminating(cause)) return undefined;
    recorder.event(about, "Warning", "FailedCreate", `Error creating: ${cause.message}`);
    return cause;
  }

  /** Deletes these very pods, all at once. Answers the first error; a pod that is gone is none. */
  async delete(owner: T, pods: readonly Pod[]): Promise<StatusError | undefined> {
    const { client, recorder, write } = this.#context;
    const key = keyOf(owner);
    const about = this.#about(owner);
    this.#expectations.expectDeletions(
      key,
      pods.map(({ metadata }) => metadata?.uid ?? ""),
    );
    let failure: StatusError | undefined;
    const one = async ({ metadata = {} }: Pod) => {
      const { name = "", namespace, uid = "" } = metadata;
      try {
        await client.pods.delete(name, namespace, { ...write, preconditions: { uid } });
        recorder.event(about, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
      } catch (error) {
        this.#expectations.deleted(key, uid);
        if (isNotFound(error)) return;
        failure ??= StatusError.from(error);
        const text = `Error deleting: ${StatusError.from(error).message}`;
        recorder.event(about, "Warning", "FailedDelete", text);
      }
    };
    await Promise.all(pods.map(one));
    return failure;
  }

  /** A pod of the owner's template, named after the owner. */
  podOf(owner: T, template: PodTemplateSpec | undefined): Pod {
    const { name, namespace } = owner.metadata ?? {};
    const { labels, annotations, finalizers } = template?.metadata ?? {};
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        generateName: `${name}-`,
        namespace,
        ...(labels && { labels }),
        ...(annotations && { annotations }),
        ...(finalizers && { finalizers }),
        ownerReferences: [this.#reference(owner)],
      },
      ...(template?.spec && { spec: template.spec }),
    };
  }

  #reference(owner: T): OwnerReference {
    return controllerReference(owner, this.#kind.apiVersion, this.#kind.kind);
  }

  #about(owner: T) {
    const { apiVersion, kind } = this.#kind;
    return { ...owner, apiVersion, kind };
  }

  /** The cached owner, if it is the very object that the pod's reference names. */
  #ownerOf(pod: Pod): T | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== this.#kind.kind) return undefined;
    if (reference.apiVersion !== this.#kind.apiVersion) return undefined;
    const owner = this.#kind.cached(reference.name ?? "", pod.metadata?.namespace);
    return owner?.metadata?.uid === reference.uid ? owner : undefined;
  }

  #ownerKey(pod: Pod): string | undefined {
    const owner = this.#ownerOf(pod);
    return owner && keyOf(owner);
  }
}
