import type { StatusError } from "../../ha/runtime/status-error.ts";
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "../../proto/gen/apps.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { type Again, keyOf, type Reconcile, splitKey } from "../client/mod.ts";
import {
  isActive,
  isConditionTrue,
  matchesLabels,
  selectorOf,
  withCondition,
  withoutCondition,
} from "../kinds/facts.ts";
import { controllerOf } from "./owners.ts";
import { PodControl, type PodOwnerKind } from "./pod-control/pod-control.ts";
import { compareForDeletion, isAvailable, isReady } from "./pods.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Pods created or deleted in one reconciliation (upstream `BurstReplicas`). */
const burstMax = 500;

/** A kind whose objects keep a number of pods, seen as ReplicaSets. */
export interface ReplicaKind extends PodOwnerKind<ReplicaSet> {
  list(namespace: string | undefined): readonly ReplicaSet[];
  /** Told of objects that appear, change and go. */
  watch(changed: (set: ReplicaSet) => void, gone: (set: ReplicaSet) => void): void;
  writeStatus(set: ReplicaSet, status: ReplicaSetStatus): Promise<void>;
}

/** Keeps as many pods as each ReplicaSet wants. */
export function replicaSetController(workers: number): Controller {
  return {
    name: "replicaset",
    informers: ["ReplicaSet", "Pod"],
    workers,
    start: (context) => keepReplicas(context, replicaSets(context)),
  };
}

function replicaSets({ client, informer, on, write }: ControllerContext): ReplicaKind {
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    cached: (name, namespace) => informer("ReplicaSet").lister.get(name, namespace),
    read: (name, namespace) => client.replicaSets.get(name, namespace),
    list: (namespace) => informer("ReplicaSet").lister.list(namespace),
    watch(changed, gone) {
      on("ReplicaSet", { added: changed, updated: (_, set) => changed(set), deleted: gone });
    },
    async writeStatus(set, status) {
      await client.replicaSets.updateStatus({ ...set, status }, write);
    },
  };
}

/** Begins to follow the objects of the kind. */
export function keepReplicas(context: ControllerContext, kind: ReplicaKind): Reconcile {
  const loop = new ReplicaLoop(context, kind);
  loop.watch();
  return (key) => loop.reconcile(key);
}

class ReplicaLoop {
  readonly #context: ControllerContext;
  readonly #kind: ReplicaKind;
  readonly #pods: PodControl<ReplicaSet>;

  constructor(context: ControllerContext, kind: ReplicaKind) {
    this.#context = context;
    this.#kind = kind;
    this.#pods = new PodControl<ReplicaSet>(context, kind);
  }

  watch(): void {
    const { queue } = this.#context;
    this.#kind.watch(
      (set) => queue.add(keyOf(set)),
      (set) => {
        this.#pods.forget(keyOf(set));
        queue.add(keyOf(set));
      },
    );
    this.#pods.watch({
      owned: (key, set, pod, previous) => {
        queue.add(key);
        const seconds = set.spec?.minReadySeconds ?? 0;
        // A moment more, because transition times are whole seconds.
        if (seconds > 0 && previous && !isReady(previous) && isReady(pod)) {
          queue.addAfter(key, (seconds + 1) * 1000);
        }
      },
      orphaned: (pod) => this.#enqueueMatching(pod),
    });
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { clock, informer } = this.#context;
    const { name, namespace = "" } = splitKey(key);
    const set = this.#kind.cached(name, namespace);
    if (!set) {
      this.#pods.forget(key);
      return undefined;
    }
    const settled = this.#pods.settled(key);
    const all = informer("Pod").lister.list(namespace);
    const selector = selectorOf(set.spec?.selector);
    const pods = await this.#pods.claim(set, all.filter(isActive), (pod) =>
      matchesLabels(selector, pod.metadata?.labels),
    );
    const terminating = all.filter(
      (pod) => pod.metadata?.deletionTimestamp && controllerOf(pod)?.uid === set.metadata?.uid,
    );
    let failure: StatusError | undefined;
    if (settled && !set.metadata?.deletionTimestamp) failure = await this.#manage(set, pods);
    await this.#writeStatus(set, pods, terminating.length, failure);
    if (failure !== undefined) throw failure;
    const { minReadySeconds = 0 } = set.spec ?? {};
    const waiting = pods.some(
      (pod) => isReady(pod) && !isAvailable(pod, minReadySeconds, clock.wallMillis()),
    );
    return waiting ? { after: 1000 } : undefined;
  }

  /** Answers the error that kept pods from being created or deleted. */
  async #manage(set: ReplicaSet, pods: readonly Pod[]): Promise<StatusError | undefined> {
    const surplus = pods.length - (set.spec?.replicas ?? 1);
    if (surplus < 0) {
      const make = () => this.#pods.podOf(set, set.spec?.template);
      return this.#pods.create(set, Math.min(-surplus, burstMax), make);
    }
    if (surplus === 0) return undefined;
    const crowding = this.#crowding(set, pods);
    const nowMillis = this.#context.clock.wallMillis();
    const ordered = [...pods].sort(compareForDeletion({ crowding, nowMillis }));
    return this.#pods.delete(set, ordered.slice(0, Math.min(surplus, burstMax)));
  }

  /** How many pods of the same workload each node has: those of all sets of a Deployment count. */
  #crowding(set: ReplicaSet, pods: readonly Pod[]): ReadonlyMap<string, number> {
    const { namespace } = set.metadata ?? {};
    const owner = controllerOf(set)?.uid;
    const siblings =
      owner === undefined
        ? []
        : this.#kind.list(namespace).filter((each) => controllerOf(each)?.uid === owner);
    const uids = new Set(siblings.map(({ metadata }) => metadata?.uid ?? ""));
    uids.delete(set.metadata?.uid ?? "");
    const related =
      uids.size === 0
        ? []
        : this.#context
            .informer("Pod")
            .lister.list(namespace)
            .filter((pod) => isActive(pod) && uids.has(controllerOf(pod)?.uid ?? ""));
    const crowding = new Map<string, number>();
    for (const { spec } of [...pods, ...related]) {
      const node = spec?.nodeName ?? "";
      crowding.set(node, (crowding.get(node) ?? 0) + 1);
    }
    return crowding;
  }

  async #writeStatus(
    set: ReplicaSet,
    pods: readonly Pod[],
    terminatingReplicas: number,
    failure: StatusError | undefined,
  ): Promise<void> {
    const now = this.#context.clock.wallMillis();
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
    await this.#kind.writeStatus(set, status);
  }

  #enqueueMatching(pod: Pod): void {
    const { queue } = this.#context;
    for (const set of this.#kind.list(pod.metadata?.namespace)) {
      const selector = selectorOf(set.spec?.selector);
      if (matchesLabels(selector, pod.metadata?.labels)) queue.add(keyOf(set));
    }
  }
}

/**
 * What is known stays as it was first told: the words of the next attempt name another pod, and to
 * write them would be a change that brings the next attempt at once.
 */
function failureConditions(
  set: ReplicaSet,
  failure: StatusError | undefined,
  reason: string,
  nowMillis: number,
): ReplicaSetCondition[] {
  const type = "ReplicaFailure";
  const known = set.status?.conditions;
  if (failure === undefined) return withoutCondition(known, type);
  if (known && isConditionTrue(known, type)) return [...known];
  const { message } = failure;
  return withCondition(known, { type, status: "True", reason, message }, nowMillis);
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
