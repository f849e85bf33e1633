import type {
  ControllerRevision,
  StatefulSet,
  StatefulSetStatus,
} from "../../../proto/gen/apps.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { type Again, keyOf, splitKey } from "../../client/mod.ts";
import { matchesLabels, selectorOf } from "../../kinds/facts.ts";
import { inParallel } from "../batches.ts";
import { canonical } from "../canonical.ts";
import { PodControl } from "../pod-control/pod-control.ts";
import { isReady } from "../pods.ts";
import { RevisionHistory } from "../revision-history.ts";
import type { Controller, ControllerContext } from "../types.ts";
import {
  isMonotonic,
  isRunningAndAvailable,
  isRunningAndReady,
  ordinalOf,
  revisionNameOf,
} from "./identity.ts";
import { type Action, actionsOf, type Situation } from "./plan.ts";
import { StatefulPods } from "./pods.ts";

/** Pods written at a time where their order is of no importance. */
const parallelMax = 16;

/** Keeps the numbered pods of each StatefulSet, each with its own name and its own claims. */
export function statefulSetController(workers: number): Controller {
  return {
    name: "statefulset",
    informers: ["StatefulSet", "Pod", "ControllerRevision", "PersistentVolumeClaim"],
    workers,
    start(context) {
      const loop = new StatefulSetLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

class StatefulSetLoop {
  readonly #context: ControllerContext;
  readonly #control: PodControl<StatefulSet>;
  readonly #history: RevisionHistory<StatefulSet>;
  readonly #pods: StatefulPods;

  constructor(context: ControllerContext) {
    const { client, informer } = context;
    const read = (name: string, namespace: string | undefined) =>
      client.statefulSets.get(name, namespace);
    this.#context = context;
    this.#control = new PodControl<StatefulSet>(context, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      cached: (name, namespace) => informer("StatefulSet").lister.get(name, namespace),
      read,
    });
    const hashLabel = "controller.kubernetes.io/hash";
    this.#history = new RevisionHistory(context, { kind: "StatefulSet", hashLabel, read });
    this.#pods = new StatefulPods(context);
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    on("StatefulSet", {
      added: (set) => queue.add(keyOf(set)),
      updated: (_, set) => queue.add(keyOf(set)),
    });
    this.#control.watch({
      owned: (key) => queue.add(key),
      orphaned: (pod) => {
        for (const set of informer("StatefulSet").lister.list(pod.metadata?.namespace)) {
          if (belongs(set, pod)) queue.add(keyOf(set));
        }
      },
    });
    // A pod waits for a claim that is on its way out.
    on("PersistentVolumeClaim", {
      deleted: (claim) => {
        for (const set of informer("StatefulSet").lister.list(claim.metadata?.namespace)) {
          const templates = set.spec?.volumeClaimTemplates ?? [];
          const { name = "" } = claim.metadata ?? {};
          const ours = templates.some(({ metadata }) =>
            name.startsWith(`${metadata?.name}-${set.metadata?.name}-`),
          );
          if (ours) queue.add(keyOf(set));
        }
      },
    });
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { clock, informer } = this.#context;
    const { name, namespace = "" } = splitKey(key);
    const set = informer("StatefulSet").lister.get(name, namespace);
    if (!set) return undefined;
    const pods = await this.#control.claim(set, informer("Pod").lister.list(namespace), (pod) =>
      belongs(set, pod),
    );
    const { revision: update, collisionCount, all } = await this.#history.present(set);
    const { currentRevision } = set.status ?? {};
    const current = all.find(({ metadata }) => metadata?.name === currentRevision) ?? update;
    const now = clock.wallMillis();
    const situation: Situation = { set, pods, current, update, now };
    const actions = set.metadata?.deletionTimestamp ? [] : actionsOf(situation);
    try {
      if (!set.metadata?.deletionTimestamp) await this.#retain(set, pods);
      await this.#act(set, actions);
    } finally {
      await this.#writeStatus(situation, collisionCount, actions);
    }
    const live = new Set([current, update].map((each) => each.metadata?.name ?? ""));
    for (const pod of pods) live.add(revisionNameOf(pod));
    await this.#history.truncate(set, all, live);
    const waiting = pods.some(
      (pod) => isRunningAndReady(pod) && !isRunningAndAvailable(set, pod, now),
    );
    return waiting ? { after: 1000 } : undefined;
  }

  async #retain(set: StatefulSet, pods: readonly Pod[]): Promise<void> {
    if ((set.spec?.volumeClaimTemplates ?? []).length === 0) return;
    for (const pod of pods) await this.#pods.retain(set, pod);
  }

  async #act(set: StatefulSet, actions: readonly Action[]): Promise<void> {
    await inParallel(actions, isMonotonic(set) ? 1 : parallelMax, async (action) => {
      switch (action.verb) {
        case "create":
          return this.#pods.create(set, action.revision, action.ordinal);
        case "recreate":
          this.#pods.tellRecreation(set, action.pod);
          return this.#pods.delete(set, action.pod);
        case "delete":
          return this.#pods.delete(set, action.pod);
        case "claim":
          return this.#pods.claim(set, action.ordinal);
        case "identify":
          return this.#pods.identify(set, action.pod);
      }
    });
  }

  async #writeStatus(
    situation: Situation,
    collisionCount: number,
    actions: readonly Action[],
  ): Promise<void> {
    const { client, write } = this.#context;
    const { set } = situation;
    const status = statusOf(situation, collisionCount, actions.every(isUpkeep));
    if (canonical(set.status ?? {}) === canonical(status)) return;
    await client.statefulSets.updateStatus({ ...set, status }, write);
  }
}

/** Changes nothing about which pods there are. */
function isUpkeep({ verb }: Action): boolean {
  return verb === "identify" || verb === "claim";
}

function belongs(set: StatefulSet, pod: Pod): boolean {
  if (ordinalOf(set, pod) === undefined) return false;
  return matchesLabels(selectorOf(set.spec?.selector), pod.metadata?.labels);
}

/** `idle`: nothing is left to do, so that a rollout may be over. */
function statusOf(
  { set, pods, current, update, now }: Situation,
  collisionCount: number,
  idle: boolean,
): StatefulSetStatus {
  const nameOf = (revision: ControllerRevision) => revision.metadata?.name ?? "";
  const count = (test: (pod: Pod) => boolean) => pods.filter(test).length;
  const of = (revision: ControllerRevision) =>
    count((pod) => !pod.metadata?.deletionTimestamp && revisionNameOf(pod) === nameOf(revision));
  const replicas = pods.length;
  const readyReplicas = count((pod) => isRunningAndReady(pod) && isReady(pod));
  const updatedReplicas = of(update);
  const rolling = set.spec?.updateStrategy?.type !== "OnDelete";
  const complete = rolling && idle && updatedReplicas === replicas && readyReplicas === replicas;
  const { conditions } = set.status ?? {};
  return {
    observedGeneration: set.metadata?.generation ?? 0,
    replicas,
    readyReplicas: readyReplicas || undefined,
    currentReplicas: (complete ? updatedReplicas : of(current)) || undefined,
    updatedReplicas: updatedReplicas || undefined,
    currentRevision: nameOf(complete ? update : current),
    updateRevision: nameOf(update),
    collisionCount,
    availableReplicas: count((pod) => isRunningAndAvailable(set, pod, now)),
    ...(conditions !== undefined && conditions.length > 0 && { conditions }),
  };
}
