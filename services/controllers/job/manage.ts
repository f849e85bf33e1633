import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Job } from "../../../proto/gen/batch.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { isNotFound } from "../../client/mod.ts";
import { isFinished } from "../../kinds/facts.ts";
import { inParallel } from "../batches.ts";
import type { PodControl } from "../pod-control/pod-control.ts";
import { compareForDeletion } from "../pods.ts";
import type { ControllerContext } from "../types.ts";
import { remainingMillis } from "./backoff.ts";
import { type Census, wantedActive } from "./census.ts";
import { firstPending } from "./indexes.ts";
import {
  endedAtMillis,
  failuresBefore,
  type IndexFailures,
  indexOf,
  isGoing,
  isIndexed,
  isTracked,
  trackingFinalizer,
  withIndex,
  withTracking,
} from "./job-pods.ts";
import { verdictOn } from "./policies.ts";
import { lastFailures } from "./tracking.ts";

/** Pods created in one reconciliation (upstream `MaxPodCreateDeletePerSync`). */
const burstMax = 500;

/** What the job has after its pods were created or deleted. */
export interface Managed {
  readonly active: number;
  readonly failure?: StatusError | undefined;
  /** A failure is to be waited out before more pods are made. */
  readonly pauseMillis?: number | undefined;
}

/** Creates and deletes the pods of jobs. */
export class JobPods {
  readonly #context: ControllerContext;
  readonly #control: PodControl<Job>;

  constructor(context: ControllerContext, control: PodControl<Job>) {
    this.#context = context;
    this.#control = control;
  }

  /** Adopted pods get the finalizer, so that their end is counted. */
  async track(pods: readonly Pod[]): Promise<readonly Pod[]> {
    const { client, write } = this.#context;
    const tracked = [...pods];
    for (const [index, pod] of pods.entries()) {
      if (isTracked(pod) || isFinished(pod) || isGoing(pod)) continue;
      tracked[index] = await client.pods.update(withTracking(pod), write);
    }
    return tracked;
  }

  async dropFinalizer({ metadata = {} }: Pod): Promise<void> {
    const { client, write } = this.#context;
    const { name = "", namespace, uid } = metadata;
    const patch = {
      metadata: { uid, "$deleteFromPrimitiveList/finalizers": [trackingFinalizer] },
    };
    try {
      await client.pods.patch(name, namespace, "strategic", patch, write);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** The job is over: what still runs is deleted, and keeps its finalizer until it is counted. */
  async end(job: Job, { active }: Census): Promise<Managed> {
    const failure = await this.#control.delete(job, active);
    return { active: failure === undefined ? 0 : active.length, failure };
  }

  async manage(job: Job, census: Census, backoffMillis: number, now: number): Promise<Managed> {
    const { active, terminating } = census;
    if (job.spec?.suspend === true) return this.#shrink(job, active, active.length);
    const wanted = wantedActive(job, census);
    const { keep, surplus } = withoutDoubles(job, census);
    const ordered = [...keep].sort(compareForDeletion());
    const excess = ordered.slice(0, Math.max(0, keep.length - wanted));
    if (surplus.length + excess.length > 0) {
      return this.#shrink(job, [...surplus, ...excess], active.length);
    }
    const waited = job.spec?.podReplacementPolicy === "Failed" ? terminating : 0;
    const missing = Math.min(burstMax, wanted - active.length - waited);
    if (missing <= 0) return { active: active.length };
    if (isIndexed(job)) return this.#fill(job, census, missing, backoffMillis, now);
    if (backoffMillis > 0) return { active: active.length, pauseMillis: backoffMillis };
    return this.#grow(job, active.length, missing, () => this.#podOf(job));
  }

  /** Pods that are not to count as failures lose their finalizer before they go. */
  async #shrink(job: Job, pods: readonly Pod[], active: number): Promise<Managed> {
    await inParallel(pods.filter(isTracked), 16, (pod) => this.dropFinalizer(pod));
    const failure = await this.#control.delete(job, pods);
    return { active: failure === undefined ? active - pods.length : active, failure };
  }

  #fill(
    job: Job,
    census: Census,
    missing: number,
    backoffMillis: number,
    now: number,
  ): Promise<Managed> | Managed {
    const active = census.active.length;
    const { completions = 0, backoffLimitPerIndex, podReplacementPolicy } = job.spec ?? {};
    const perIndex = backoffLimitPerIndex !== undefined;
    if (!perIndex && backoffMillis > 0) return { active, pauseMillis: backoffMillis };
    const waiting =
      podReplacementPolicy === "Failed" ? census.pods.filter(isUnended) : census.active;
    const taken = new Set(waiting.map((pod) => indexOf(job, pod) ?? -1));
    const last = lastFailures(job, census);
    const pauses = new Map<number, number>();
    for (const [index, pod] of last) {
      const { counted, ignored } = failuresBefore(pod);
      const pause = remainingMillis(counted + ignored + 1, endedAtMillis(pod, now), now);
      if (pause > 0) pauses.set(index, pause);
    }
    const { completed, failedIndexes } = census;
    const resting = new Set(pauses.keys());
    const indexes = firstPending(missing, completions, taken, completed, failedIndexes, resting);
    const pauseMillis = pauses.size > 0 ? Math.min(...pauses.values()) : undefined;
    if (indexes.length === 0) return { active, pauseMillis };
    const next = indexes.values();
    return this.#grow(job, active, indexes.length, () => {
      const index = next.next().value ?? 0;
      const failures = perIndex ? failuresOf(job, last.get(index)) : undefined;
      return withIndex(job, this.#podOf(job), index, failures);
    }).then((grown) => ({ ...grown, pauseMillis }));
  }

  async #grow(job: Job, active: number, count: number, make: () => Pod): Promise<Managed> {
    let created = 0;
    const failure = await this.#control.create(job, count, make, () => created++);
    return { active: active + created, failure };
  }

  #podOf(job: Job): Pod {
    return withTracking(this.#control.podOf(job, job.spec?.template));
  }
}

function isUnended(pod: Pod): boolean {
  return !isFinished(pod);
}

/** The failures of an index, its last pod's among them. */
function failuresOf(job: Job, last: Pod | undefined): IndexFailures {
  if (last === undefined) return { counted: 0, ignored: 0 };
  const { counted, ignored } = failuresBefore(last);
  const isIgnored = verdictOn(job, last).action === "Ignore";
  return isIgnored ? { counted, ignored: ignored + 1 } : { counted: counted + 1, ignored };
}

/** Of an indexed job: pods without an index, of one that is done, or the second of one, are too many. */
function withoutDoubles(job: Job, { active, completed, failedIndexes }: Census) {
  if (!isIndexed(job)) return { keep: active, surplus: [] as Pod[] };
  const keep = new Map<number, Pod>();
  const surplus: Pod[] = [];
  const compare = compareForDeletion();
  for (const pod of [...active].sort(compare).reverse()) {
    const index = indexOf(job, pod);
    const done = index === undefined || completed.has(index) || failedIndexes.has(index);
    if (done || keep.has(index)) surplus.push(pod);
    else keep.set(index, pod);
  }
  return { keep: [...keep.values()], surplus };
}
