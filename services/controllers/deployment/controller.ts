import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import {
  type Again,
  isAlreadyExists,
  isNamespaceTerminating,
  isNotFound,
  keyOf,
  splitKey,
} from "../../client/mod.ts";
import { isFinished, matchesLabels, selectorOf } from "../../kinds/facts.ts";
import { claim, controllerOf, controllerReference } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";
import {
  boundsOf,
  newReplicas,
  replicasOf,
  scaled,
  shrinkOld,
  sum,
  type Target,
} from "./arithmetic.ts";
import {
  byAge,
  desiredAnnotation,
  forgettable,
  hashLabel,
  inheritedAnnotations,
  maxAnnotation,
  numberedAnnotations,
  revisionAnnotation,
  revisionOf,
  sameTemplate,
  templateHash,
} from "./revisions.ts";
import { isComplete, millisToDeadline, type Progress, sameStatus, statusOf } from "./status.ts";

/** Rolls each Deployment's template out through successive ReplicaSets. */
export function deploymentController(workers: number): Controller {
  return {
    name: "deployment",
    informers: ["Deployment", "ReplicaSet", "Pod"],
    workers,
    start(context) {
      const loop = new DeploymentLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

class DeploymentLoop {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    const owner = (set: ReplicaSet) => {
      const controller = controllerOf(set);
      const { namespace, labels } = set.metadata ?? {};
      if (controller) {
        if (controller.kind === "Deployment") queue.add(`${namespace}/${controller.name}`);
        return;
      }
      for (const deployment of informer("Deployment").lister.list(namespace)) {
        if (matchesLabels(selectorOf(deployment.spec?.selector), labels)) {
          queue.add(keyOf(deployment));
        }
      }
    };
    on("Deployment", {
      added: (deployment) => queue.add(keyOf(deployment)),
      updated: (_, deployment) => queue.add(keyOf(deployment)),
    });
    on("ReplicaSet", { added: owner, updated: (_, set) => owner(set), deleted: owner });
    // A Recreate rollout goes on when the last old pod is gone.
    on("Pod", {
      deleted: (pod) => {
        const controller = controllerOf(pod);
        if (controller?.kind !== "ReplicaSet") return;
        const { lister } = informer("ReplicaSet");
        const set = lister.get(controller.name ?? "", pod.metadata?.namespace);
        if (set) owner(set);
      },
    });
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { clock, informer } = this.#context;
    const { name, namespace } = splitKey(key);
    const deployment = informer("Deployment").lister.get(name, namespace);
    if (!deployment) return undefined;
    const sets = (await this.#claim(deployment)).sort(byAge);
    const fresh = sets.find((set) => sameTemplate(set, deployment));
    const old = sets.filter((set) => set !== fresh);
    const progress = await this.#step(deployment, fresh, old);
    const status = await this.#writeStatus(deployment, progress);
    const millis = millisToDeadline(deployment, status, clock.wallMillis());
    const over = deployment.spec?.paused || isComplete(deployment, status);
    if (over && !deployment.metadata?.deletionTimestamp) {
      await this.#forgetHistory(deployment, old);
    }
    if (progress.failure) throw progress.failure.cause;
    return millis === undefined ? undefined : { after: millis + 1000 };
  }

  /** One step towards the wanted state; the changes it makes bring the next. */
  async #step(
    deployment: Deployment,
    fresh: ReplicaSet | undefined,
    old: readonly ReplicaSet[],
  ): Promise<Progress> {
    const unchanged = { fresh, old, collisionCount: deployment.status?.collisionCount };
    if (deployment.metadata?.deletionTimestamp) return unchanged;
    const all = fresh ? [...old, fresh] : old;
    const renumbered = fresh && (await this.#number(deployment, fresh, old));
    if (renumbered) return { ...unchanged, fresh: renumbered };
    if (deployment.spec?.paused || this.#isScaled(deployment, all)) {
      await this.#apply(deployment, scaled(deployment, fresh, old));
      return unchanged;
    }
    const recreate = deployment.spec?.strategy?.type === "Recreate";
    if (recreate) {
      const shrinking = old.filter((set) => replicasOf(set) > 0);
      if (shrinking.length > 0) {
        await this.#apply(
          deployment,
          shrinking.map((set) => ({ set, replicas: 0 })),
        );
        return unchanged;
      }
      if (this.#hasPods(old)) return unchanged;
    }
    if (!fresh) return this.#create(deployment, old);
    const bounds = boundsOf(deployment);
    if (recreate) {
      await this.#apply(deployment, [{ set: fresh, replicas: bounds.wanted }]);
      return unchanged;
    }
    const grown = newReplicas(bounds, all, fresh);
    if (grown !== replicasOf(fresh)) {
      await this.#apply(deployment, [{ set: fresh, replicas: grown }]);
      return unchanged;
    }
    await this.#apply(deployment, shrinkOld(bounds, all, old, fresh));
    return unchanged;
  }

  #claim(deployment: Deployment): Promise<ReplicaSet[]> {
    const { client, informer, write } = this.#context;
    const selector = selectorOf(deployment.spec?.selector);
    const { name = "", namespace = "", uid } = deployment.metadata ?? {};
    return claim<ReplicaSet>({
      candidates: informer("ReplicaSet").lister.list(namespace),
      owner: deployment,
      reference: controllerReference(deployment, "apps/v1", "Deployment"),
      matches: (set) => matchesLabels(selector, set.metadata?.labels),
      async mayAdopt() {
        const now = await client.deployments.get(name, namespace);
        return now.metadata?.uid === uid && !now.metadata?.deletionTimestamp;
      },
      write: (set) => client.replicaSets.update(set, write),
    });
  }

  async #create(deployment: Deployment, old: readonly ReplicaSet[]): Promise<Progress> {
    const { client, informer, recorder, write } = this.#context;
    const { name = "", namespace } = deployment.metadata ?? {};
    const collisionCount = deployment.status?.collisionCount ?? 0;
    const hash = templateHash(deployment.spec?.template, collisionCount);
    const bounds = boundsOf(deployment);
    const room = bounds.wanted + bounds.maxSurge - sum(old, replicasOf);
    const recreate = deployment.spec?.strategy?.type === "Recreate";
    const replicas = recreate ? bounds.wanted : Math.max(0, Math.min(bounds.wanted, room));
    const template = deployment.spec?.template;
    const labels = { ...template?.metadata?.labels, [hashLabel]: hash };
    const selector = deployment.spec?.selector;
    const set: ReplicaSet = {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        annotations: this.#annotations(deployment, nextRevision(old)),
        ownerReferences: [controllerReference(deployment, "apps/v1", "Deployment")],
      },
      spec: {
        replicas,
        ...(deployment.spec?.minReadySeconds !== undefined && {
          minReadySeconds: deployment.spec.minReadySeconds,
        }),
        selector: { ...selector, matchLabels: { ...selector?.matchLabels, [hashLabel]: hash } },
        template: { ...template, metadata: { ...template?.metadata, labels } },
      },
    };
    try {
      const fresh = await client.replicaSets.create(set, write);
      const text = `Scaled up replica set ${fresh.metadata?.name} from 0 to ${replicas}`;
      if (replicas > 0) recorder.event(about(deployment), "Normal", "ScalingReplicaSet", text);
      await this.#setRevision(deployment, nextRevision(old));
      return { fresh, old, created: true, collisionCount: deployment.status?.collisionCount };
    } catch (error) {
      if (isNamespaceTerminating(error)) throw error;
      if (!isAlreadyExists(error)) return this.#tellFailure(deployment, set, old, error);
      const taken = informer("ReplicaSet").lister.get(set.metadata?.name ?? "", namespace);
      const ours = taken && controllerOf(taken)?.uid === deployment.metadata?.uid;
      // Not in the cache yet, or ours already: the next look will find it.
      if (!taken || (ours && sameTemplate(taken, deployment))) throw error;
      return { fresh: undefined, old, collisionCount: collisionCount + 1 };
    }
  }

  #tellFailure(
    deployment: Deployment,
    set: ReplicaSet,
    old: readonly ReplicaSet[],
    error: unknown,
  ): Progress {
    const cause = StatusError.from(error);
    const { collisionCount } = deployment.status ?? {};
    const name = JSON.stringify(set.metadata?.name);
    const message = `Failed to create new replica set ${name}: ${cause.message}`;
    const { recorder } = this.#context;
    recorder.event(about(deployment), "Warning", "ReplicaSetCreateError", message);
    return { fresh: undefined, old, collisionCount, failure: { message, cause } };
  }

  /** A set that becomes current again, by a rollback, takes the next revision. */
  async #number(
    deployment: Deployment,
    fresh: ReplicaSet,
    old: readonly ReplicaSet[],
  ): Promise<ReplicaSet | undefined> {
    const highestOld = Math.max(0, ...old.map(revisionOf));
    const { revision, annotations: numbered } = numberedAnnotations(fresh, highestOld);
    const annotations = {
      ...fresh.metadata?.annotations,
      ...inheritedAnnotations(deployment),
      ...numbered,
    };
    await this.#setRevision(deployment, revision);
    const minReadySeconds = deployment.spec?.minReadySeconds;
    const same = Object.entries(annotations).every(
      ([key, value]) => fresh.metadata?.annotations?.[key] === value,
    );
    if (same && (fresh.spec?.minReadySeconds ?? 0) === (minReadySeconds ?? 0)) return undefined;
    return this.#context.client.replicaSets.update(
      {
        ...fresh,
        metadata: { ...fresh.metadata, annotations },
        spec: { ...fresh.spec, minReadySeconds: minReadySeconds ?? 0 },
      },
      this.#context.write,
    );
  }

  async #setRevision(deployment: Deployment, revision: number): Promise<void> {
    const { client, write } = this.#context;
    const { annotations, name = "", namespace } = deployment.metadata ?? {};
    if (annotations?.[revisionAnnotation] === String(revision)) return;
    const patch = { metadata: { annotations: { [revisionAnnotation]: String(revision) } } };
    await client.deployments.patch(name, namespace, "merge", patch, write);
  }

  #annotations(deployment: Deployment, revision: number): Record<string, string> {
    const { wanted, maxSurge } = boundsOf(deployment);
    return {
      ...inheritedAnnotations(deployment),
      [revisionAnnotation]: String(revision),
      [desiredAnnotation]: String(wanted),
      [maxAnnotation]: String(wanted + maxSurge),
    };
  }

  /** A user or an autoscaler changed spec.replicas since the sets were last sized. */
  #isScaled(deployment: Deployment, all: readonly ReplicaSet[]): boolean {
    const wanted = String(deployment.spec?.replicas ?? 1);
    return all.some((set) => {
      const noted = set.metadata?.annotations?.[desiredAnnotation];
      return replicasOf(set) > 0 && noted !== undefined && noted !== wanted;
    });
  }

  async #apply(deployment: Deployment, targets: readonly Target[]): Promise<void> {
    const { client, recorder, write } = this.#context;
    const { wanted, maxSurge } = boundsOf(deployment);
    const sizes = {
      [desiredAnnotation]: String(wanted),
      [maxAnnotation]: String(wanted + maxSurge),
    };
    for (const { set, replicas } of targets) {
      const before = replicasOf(set);
      const noted = set.metadata?.annotations ?? {};
      const same = Object.entries(sizes).every(([key, value]) => noted[key] === value);
      if (before === replicas && (same || replicas === 0)) continue;
      const annotations = { ...noted, ...sizes };
      await client.replicaSets.update(
        { ...set, metadata: { ...set.metadata, annotations }, spec: { ...set.spec, replicas } },
        write,
      );
      if (before === replicas) continue;
      const direction = replicas > before ? "up" : "down";
      const text = `Scaled ${direction} replica set ${set.metadata?.name} from ${before} to ${replicas}`;
      recorder.event(about(deployment), "Normal", "ScalingReplicaSet", text);
    }
  }

  /** Pods that run, or may, though they are being deleted. */
  #hasPods(sets: readonly ReplicaSet[]): boolean {
    const uids = new Set(sets.map(({ metadata }) => metadata?.uid));
    const [{ metadata } = {}] = sets;
    const pods = this.#context.informer("Pod").lister.list(metadata?.namespace ?? "");
    return pods.some((pod) => {
      return !isFinished(pod) && uids.has(controllerOf(pod)?.uid ?? "");
    });
  }

  async #writeStatus(deployment: Deployment, progress: Progress) {
    const { client, clock, write } = this.#context;
    const status = statusOf(deployment, progress, clock.wallMillis());
    if (sameStatus(deployment.status, status)) return status;
    const { name = "", namespace } = deployment.metadata ?? {};
    // This reconciliation may itself have annotated the Deployment: its revision is then newer.
    const current = await client.deployments.get(name, namespace);
    if (current.metadata?.uid !== deployment.metadata?.uid) return status;
    await client.deployments.updateStatus({ ...current, status }, write);
    return status;
  }

  async #forgetHistory(deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
    const { client, log, write } = this.#context;
    const limit = deployment.spec?.revisionHistoryLimit ?? 10;
    for (const { metadata } of forgettable(old, limit)) {
      const { name = "", namespace, uid = "" } = metadata ?? {};
      try {
        await client.replicaSets.delete(name, namespace, { ...write, preconditions: { uid } });
      } catch (error) {
        if (isNotFound(error)) continue;
        log.debug("an old replica set could not be deleted", {
          name,
          error: StatusError.from(error).message,
        });
        throw error;
      }
    }
  }
}

function nextRevision(old: readonly ReplicaSet[]): number {
  return Math.max(0, ...old.map(revisionOf)) + 1;
}

function about(deployment: Deployment): Deployment {
  return { ...deployment, apiVersion: "apps/v1", kind: "Deployment" };
}
