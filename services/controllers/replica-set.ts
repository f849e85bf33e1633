import { StatusError } from "../../ha/runtime/status-error.ts";
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "../../proto/gen/apps.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { isNotFound, keyOf, splitKey } from "../client/mod.ts";
import { isActive, matchesLabels, rfc3339Seconds, selectorOf } from "../kinds/mod.ts";
import { slowStart } from "./batches.ts";
import { Expectations } from "./expectations.ts";
import { claim, controllerOf, controllerReference } from "./owners.ts";
import { compareForDeletion, isAvailable, isReady } from "./pods.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Pods created or deleted in one reconciliation (upstream `BurstReplicas`). */
const burstMax = 500;

/** Keeps as many pods as each ReplicaSet wants. */
export function replicaSetController(workers: number): Controller {
  return {
    name: "replicaset",
    informers: ["ReplicaSet", "Pod"],
    workers,
    start(context) {
      const loop = new ReplicaSetLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

class ReplicaSetLoop {
  readonly #context: ControllerContext;
  readonly #expectations: Expectations;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#expectations = new Expectations(context.clock);
  }

  watch(): void {
    const { on, queue } = this.#context;
    on("ReplicaSet", {
      added: (set) => queue.add(keyOf(set)),
      updated: (_, set) => queue.add(keyOf(set)),
      deleted: (set) => {
        this.#expectations.forget(keyOf(set));
        queue.add(keyOf(set));
      },
    });
    on("Pod", {
      added: (pod) => {
        const key = this.#ownerKey(pod);
        if (pod.metadata?.deletionTimestamp) this.#podGoing(pod);
        else if (key === undefined) this.#enqueueMatching(pod);
        else {
          this.#expectations.created(key);
          queue.add(key);
        }
      },
      updated: (previous, pod) => {
        if (pod.metadata?.deletionTimestamp) {
          this.#podGoing(pod);
          return;
        }
        const before = this.#ownerKey(previous);
        const key = this.#ownerKey(pod);
        if (before !== undefined && before !== key) queue.add(before);
        if (key === undefined) {
          this.#enqueueMatching(pod);
          return;
        }
        queue.add(key);
        const seconds = this.#set(key)?.spec?.minReadySeconds ?? 0;
        // A moment more, because transition times are whole seconds.
        if (seconds > 0 && !isReady(previous) && isReady(pod)) {
          queue.addAfter(key, (seconds + 1) * 1000);
        }
      },
      deleted: (pod) => this.#podGoing(pod),
    });
  }

  async reconcile(key: string): Promise<void> {
    const set = this.#set(key);
    if (!set) {
      this.#expectations.forget(key);
      return;
    }
    // Asked before the cache is read: what it shows afterwards includes what was expected.
    const settled = this.#expectations.fulfilled(key);
    const { namespace = "" } = set.metadata ?? {};
    const all = this.#context.informer("Pod").lister.list(namespace);
    const pods = await this.#claim(set, all.filter(isActive));
    const terminating = all.filter(
      (pod) => pod.metadata?.deletionTimestamp && controllerOf(pod)?.uid === set.metadata?.uid,
    );
    let failure: unknown;
    if (settled && !set.metadata?.deletionTimestamp) {
      failure = await this.#manage(key, set, pods);
    }
    await this.#writeStatus(set, pods, terminating.length, failure);
    if (failure !== undefined) throw failure;
    const { minReadySeconds = 0 } = set.spec ?? {};
    const { queue, clock } = this.#context;
    const waiting = pods.some(
      (pod) => isReady(pod) && !isAvailable(pod, minReadySeconds, clock.wallMillis()),
    );
    if (waiting) queue.addAfter(key, 1000);
  }

  #claim(set: ReplicaSet, candidates: readonly Pod[]): Promise<Pod[]> {
    const { client, write } = this.#context;
    const selector = selectorOf(set.spec?.selector);
    const { name = "", namespace = "", uid } = set.metadata ?? {};
    return claim<Pod>({
      candidates,
      owner: set,
      reference: controllerReference(set, "apps/v1", "ReplicaSet"),
      matches: (pod) => matchesLabels(selector, pod.metadata?.labels),
      async mayAdopt() {
        const fresh = await client.replicaSets.get(name, namespace);
        return fresh.metadata?.uid === uid && !fresh.metadata?.deletionTimestamp;
      },
      write: (pod) => client.pods.update(pod, write),
    });
  }

  /** Answers the error that kept pods from being created or deleted. */
  async #manage(key: string, set: ReplicaSet, pods: readonly Pod[]): Promise<unknown> {
    const surplus = pods.length - (set.spec?.replicas ?? 1);
    if (surplus < 0) return this.#create(key, set, Math.min(-surplus, burstMax));
    if (surplus > 0) return this.#delete(key, set, pods, Math.min(surplus, burstMax));
    return undefined;
  }

  async #create(key: string, set: ReplicaSet, count: number): Promise<unknown> {
    const { client, recorder, write } = this.#context;
    const about = { ...set, apiVersion: "apps/v1", kind: "ReplicaSet" };
    this.#expectations.expectCreations(key, count);
    const { succeeded, error } = await slowStart(count, async () => {
      const pod = await client.pods.create(podOf(set), write);
      const text = `Created pod: ${pod.metadata?.name}`;
      recorder.event(about, "Normal", "SuccessfulCreate", text);
    });
    if (succeeded < count) this.#expectations.created(key, count - succeeded);
    if (error === undefined) return undefined;
    // Nothing is created in a namespace that is going away, and that is no failure.
    const cause = StatusError.from(error);
    if (cause.detail?.causes?.some(({ reason }) => reason === "NamespaceTerminating")) {
      return undefined;
    }
    const text = `Error creating: ${cause.message}`;
    recorder.event(about, "Warning", "FailedCreate", text);
    return error;
  }

  async #delete(
    key: string,
    set: ReplicaSet,
    pods: readonly Pod[],
    count: number,
  ): Promise<unknown> {
    const { client, recorder, write } = this.#context;
    const about = { ...set, apiVersion: "apps/v1", kind: "ReplicaSet" };
    const crowding = new Map<string, number>();
    for (const { spec } of pods) {
      const node = spec?.nodeName ?? "";
      crowding.set(node, (crowding.get(node) ?? 0) + 1);
    }
    const going = [...pods].sort(compareForDeletion(crowding)).slice(0, count);
    this.#expectations.expectDeletions(
      key,
      going.map(({ metadata }) => metadata?.uid ?? ""),
    );
    let failure: unknown;
    await Promise.all(
      going.map(async ({ metadata = {} }) => {
        const { name = "", namespace, uid = "" } = metadata;
        try {
          await client.pods.delete(name, namespace, { ...write, preconditions: { uid } });
          recorder.event(about, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
        } catch (error) {
          this.#expectations.deleted(key, uid);
          if (!isNotFound(error)) failure ??= error;
        }
      }),
    );
    return failure;
  }

  async #writeStatus(
    set: ReplicaSet,
    pods: readonly Pod[],
    terminatingReplicas: number,
    failure: unknown,
  ): Promise<void> {
    const { client, clock, write } = this.#context;
    const now = clock.wallMillis();
    const templateLabels = Object.entries(set.spec?.template?.metadata?.labels ?? {});
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const ready = pods.filter(isReady);
    const surplus = pods.length - (set.spec?.replicas ?? 1);
    const reason = surplus < 0 ? "FailedCreate" : "FailedDelete";
    const conditions = failureConditions(set, failure, reason, now);
    const status: ReplicaSetStatus = {
      replicas: pods.length,
      fullyLabeledReplicas: pods.filter(({ metadata }) =>
        templateLabels.every(([key, value]) => metadata?.labels?.[key] === value),
      ).length,
      readyReplicas: ready.length,
      availableReplicas: ready.filter((pod) => isAvailable(pod, minReadySeconds, now)).length,
      terminatingReplicas,
      observedGeneration: set.metadata?.generation ?? 0,
      ...(conditions.length > 0 && { conditions }),
    };
    if (sameStatus(set.status, status)) return;
    await client.replicaSets.updateStatus({ ...set, status }, write);
  }

  #set(key: string): ReplicaSet | undefined {
    const { name, namespace } = splitKey(key);
    return this.#context.informer("ReplicaSet").lister.get(name, namespace);
  }

  #ownerKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    if (owner?.kind !== "ReplicaSet") return undefined;
    const key = `${pod.metadata?.namespace}/${owner.name}`;
    return this.#set(key)?.metadata?.uid === owner.uid ? key : undefined;
  }

  #podGoing(pod: Pod): void {
    const key = this.#ownerKey(pod);
    if (key === undefined) return;
    this.#expectations.deleted(key, pod.metadata?.uid ?? "");
    this.#context.queue.add(key);
  }

  #enqueueMatching(pod: Pod): void {
    if (controllerOf(pod)) return;
    const { informer, queue } = this.#context;
    for (const set of informer("ReplicaSet").lister.list(pod.metadata?.namespace)) {
      const selector = selectorOf(set.spec?.selector);
      if (matchesLabels(selector, pod.metadata?.labels)) queue.add(keyOf(set));
    }
  }
}

function podOf(set: ReplicaSet): Pod {
  const { name, namespace } = set.metadata ?? {};
  const { metadata, spec } = set.spec?.template ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...(metadata?.labels && { labels: metadata.labels }),
      ...(metadata?.annotations && { annotations: metadata.annotations }),
      ...(metadata?.finalizers && { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference(set, "apps/v1", "ReplicaSet")],
    },
    ...(spec && { spec }),
  };
}

function failureConditions(
  set: ReplicaSet,
  failure: unknown,
  reason: string,
  nowMillis: number,
): ReplicaSetCondition[] {
  const others = (set.status?.conditions ?? []).filter(({ type }) => type !== "ReplicaFailure");
  if (failure === undefined) return others;
  const known = set.status?.conditions?.find(({ type }) => type === "ReplicaFailure");
  const condition: ReplicaSetCondition = {
    type: "ReplicaFailure",
    status: "True",
    lastTransitionTime: known?.lastTransitionTime ?? rfc3339Seconds(nowMillis),
    reason,
    message: StatusError.from(failure).message,
  };
  return [...others, condition];
}

function sameStatus(a: ReplicaSetStatus | undefined, b: ReplicaSetStatus): boolean {
  const numbers = (status: ReplicaSetStatus | undefined) => [
    status?.replicas ?? 0,
    status?.fullyLabeledReplicas ?? 0,
    status?.readyReplicas ?? 0,
    status?.availableReplicas ?? 0,
    status?.terminatingReplicas ?? 0,
    status?.observedGeneration ?? 0,
    status?.conditions ?? [],
  ];
  return JSON.stringify(numbers(a)) === JSON.stringify(numbers(b));
}
