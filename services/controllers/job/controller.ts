import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Job, JobStatus } from "../../../proto/gen/batch.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { type Again, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import {
  isConditionTrue,
  matchesLabels,
  rfc3339Seconds,
  selectorOf,
  withCondition,
} from "../../kinds/facts.ts";
import { inParallel } from "../batches.ts";
import { canonical } from "../canonical.ts";
import { controllerOf } from "../owners.ts";
import { PodControl } from "../pod-control/pod-control.ts";
import { isReady } from "../pods.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { FailureRecord } from "./backoff.ts";
import {
  type Census,
  completion,
  type Ending,
  endingOf,
  millisToDeadline,
  take,
} from "./census.ts";
import { isJobFinished } from "./finished.ts";
import { isTracked, uidOf } from "./job-pods.ts";
import { JobPods } from "./manage.ts";
import { track, withCounted } from "./tracking.ts";

const managedByUs = "kubernetes.io/job-controller";
const about = (job: Job) => ({ ...job, apiVersion: "batch/v1", kind: "Job" });
/** Keys of pods that no job counts any more; no namespace has such a name. */
const leftover = "pod!";

/** Runs the pods of each Job until enough have succeeded, or too many failed. */
export function jobController(workers: number): Controller {
  return {
    name: "job",
    informers: ["Job", "Pod"],
    workers,
    start(context) {
      const loop = new JobLoop(context);
      loop.watch();
      return (key) =>
        key.startsWith(leftover) ? loop.release(key.slice(leftover.length)) : loop.reconcile(key);
    },
  };
}

class JobLoop {
  readonly #context: ControllerContext;
  readonly #control: PodControl<Job>;
  readonly #pods: JobPods;
  readonly #failures = new FailureRecord();
  /** By job, uids whose finalizer is gone, until the cache shows it. */
  readonly #released = new Map<string, Set<string>>();

  constructor(context: ControllerContext) {
    const { client, informer } = context;
    this.#context = context;
    this.#control = new PodControl<Job>(context, {
      apiVersion: "batch/v1",
      kind: "Job",
      cached: (name, namespace) => informer("Job").lister.get(name, namespace),
      read: (name, namespace) => client.jobs.get(name, namespace),
    });
    this.#pods = new JobPods(context, this.#control);
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    on("Job", {
      added: (job) => queue.add(keyOf(job)),
      updated: (_, job) => queue.add(keyOf(job)),
      deleted: (job) => {
        queue.add(keyOf(job));
        for (const pod of informer("Pod").lister.list(job.metadata?.namespace)) {
          if (controllerOf(pod)?.uid === job.metadata?.uid) this.#seeLeftover(pod);
        }
      },
    });
    this.#control.watch({
      owned: (key) => queue.add(key),
      orphaned: (pod) => {
        this.#seeLeftover(pod);
        for (const job of informer("Job").lister.list(pod.metadata?.namespace)) {
          const selector = selectorOf(job.spec?.selector);
          if (matchesLabels(selector, pod.metadata?.labels)) queue.add(keyOf(job));
        }
      },
    });
    const see = (pod: Pod) => {
      if (isTracked(pod) && this.#jobOf(pod) === undefined) this.#seeLeftover(pod);
    };
    on("Pod", { added: see, updated: (_, pod) => see(pod) });
  }

  #seeLeftover(pod: Pod): void {
    if (isTracked(pod)) this.#context.queue.add(`${leftover}${keyOf(pod)}`);
  }

  #jobOf(pod: Pod): Job | undefined {
    const { kind, name = "", uid } = controllerOf(pod) ?? {};
    if (kind !== "Job") return undefined;
    const job = this.#context.informer("Job").lister.get(name, pod.metadata?.namespace);
    return job?.metadata?.uid === uid ? job : undefined;
  }

  /** Lets a pod go whose job is gone: the API decides that, not the cache. */
  async release(key: string): Promise<void> {
    const { client, informer } = this.#context;
    const { name, namespace } = splitKey(key);
    const pod = informer("Pod").lister.get(name, namespace);
    if (pod === undefined || !isTracked(pod)) return;
    const owner = controllerOf(pod);
    if (owner?.kind === "Job") {
      try {
        const job = await client.jobs.get(owner.name ?? "", namespace);
        if (job.metadata?.uid === owner.uid) return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await this.#pods.dropFinalizer(pod);
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { informer } = this.#context;
    const { name, namespace = "" } = splitKey(key);
    const job = informer("Job").lister.get(name, namespace);
    if (!job) {
      this.#control.forget(key);
      this.#failures.forget(key);
      this.#released.delete(key);
      return undefined;
    }
    if ((job.spec?.managedBy ?? managedByUs) !== managedByUs) return undefined;
    const settled = this.#control.settled(key);
    const selector = selectorOf(job.spec?.selector);
    const claimed = await this.#control.claim(job, informer("Pod").lister.list(namespace), (pod) =>
      matchesLabels(selector, pod.metadata?.labels),
    );
    if (isJobFinished(job)) {
      await this.#releaseAll(key, claimed.filter(isTracked));
      return undefined;
    }
    const pods = await this.#pods.track(claimed);
    return this.#step(key, job, pods, settled);
  }

  async #step(
    key: string,
    job: Job,
    pods: readonly Pod[],
    settled: boolean,
  ): Promise<Again | undefined> {
    const { clock } = this.#context;
    const now = clock.wallMillis();
    const started = this.#begun(job, now);
    const census = take(started, pods, this.#releasedOf(key, pods));
    const failed = census.fresh.map(({ pod }) => pod);
    this.#failures.note(key, pods, failed, now);
    let ending = endingOf(started, census, now);
    let active = census.active.length;
    let pauseMillis: number | undefined;
    let failure: StatusError | undefined;
    if (ending) {
      ({ active, failure } = await this.#pods.end(started, census));
    } else if (settled && !job.metadata?.deletionTimestamp) {
      const backoff = this.#failures.remainingMillis(key, now);
      ({ active, failure, pauseMillis } = await this.#pods.manage(started, census, backoff, now));
    }
    if (!job.metadata?.deletionTimestamp) ending ??= completion(started, census, active);
    await this.#record(key, job, started, { census, ending, active });
    if (failure !== undefined) throw failure;
    const deadline = millisToDeadline(started, now);
    const waits = [ending ? undefined : deadline, pauseMillis].filter((each) => each !== undefined);
    return waits.length === 0 ? undefined : { after: Math.max(1, Math.min(...waits)) };
  }

  /** The job with its start and its suspension in the status. */
  #begun(job: Job, now: number): Job {
    const { recorder } = this.#context;
    const status: JobStatus = { ...job.status };
    const suspended = job.spec?.suspend === true;
    const was = isConditionTrue(status.conditions, "Suspended");
    if (suspended !== was) {
      const [state, reason, message] = suspended
        ? ["True", "JobSuspended", "Job suspended"]
        : ["False", "JobResumed", "Job resumed"];
      const condition = { type: "Suspended", status: state, reason, message };
      status.conditions = withCondition(status.conditions, condition, now);
      recorder.event(about(job), "Normal", suspended ? "Suspended" : "Resumed", message ?? "");
    }
    // The time of a job that goes on after a suspension is counted from then on.
    if (!suspended && was) status.startTime = rfc3339Seconds(now);
    if (!suspended) status.startTime ??= rfc3339Seconds(now);
    return { ...job, status };
  }

  /** Uids that the cache shows rightly again, or no longer at all, are forgotten. */
  #releasedOf(key: string, pods: readonly Pod[]): ReadonlySet<string> {
    const known = this.#released.get(key);
    if (known === undefined) return new Set();
    const shown = new Set(pods.filter(isTracked).map(uidOf));
    for (const uid of known) if (!shown.has(uid)) known.delete(uid);
    return known;
  }

  /** Counts what has ended, lets those pods go, and says how the job stands. */
  async #record(
    key: string,
    before: Job,
    job: Job,
    found: { census: Census; ending: Ending | undefined; active: number },
  ): Promise<void> {
    const { census, ending, active } = found;
    const now = this.#context.clock.wallMillis();
    const { status, release } = track(job, census, ending);
    const finishing = ending !== undefined;
    const first: JobStatus = {
      ...status,
      active: active || undefined,
      ready: finishing ? 0 : Math.min(active, census.active.filter(isReady).length),
      terminating: census.terminating + (finishing ? census.active.length - active : 0),
      conditions: finishing ? withInterim(status.conditions, ending, now) : status.conditions,
    };
    let written = before;
    if (release.length > 0) {
      written = await this.#write(before, first);
      await this.#releaseAll(key, release);
    }
    const released = this.#released.get(key) ?? new Set();
    const left = census.tracked.map(uidOf).filter((uid) => !released.has(uid));
    const second = withCounted(first, new Set(left));
    const { succeeded = [], failed = [] } = second.uncountedTerminatedPods ?? {};
    const idle = succeeded.length + failed.length + active + (second.terminating ?? 0) === 0;
    if (!finishing || !idle) {
      await this.#write(written, second);
      return;
    }
    await this.#write(written, finished(second, ending, now));
    this.#tellEnd(job, ending);
  }

  #tellEnd(job: Job, { type, reason, message }: Ending): void {
    const { recorder } = this.#context;
    if (type === "Failed") recorder.event(about(job), "Warning", reason, message);
    else recorder.event(about(job), "Normal", "Completed", "Job completed");
  }

  async #write(job: Job, status: JobStatus): Promise<Job> {
    const { client, write } = this.#context;
    if (canonical(job.status ?? {}) === canonical(status)) return job;
    return client.jobs.updateStatus({ ...job, status }, write);
  }

  async #releaseAll(key: string, pods: readonly Pod[]): Promise<void> {
    const released = this.#released.get(key) ?? new Set<string>();
    this.#released.set(key, released);
    await inParallel(pods, 16, async (pod) => {
      await this.#pods.dropFinalizer(pod);
      released.add(uidOf(pod));
    });
  }
}

/** What is decided stands in the status before the last pod is gone. */
function withInterim(
  conditions: JobStatus["conditions"],
  { type, reason, message }: Ending,
  now: number,
): JobStatus["conditions"] {
  const interim = type === "Failed" ? "FailureTarget" : "SuccessCriteriaMet";
  return withCondition(conditions, { type: interim, status: "True", reason, message }, now);
}

function finished(status: JobStatus, { type, reason, message }: Ending, now: number): JobStatus {
  const condition = { type, status: "True", reason, message };
  return {
    ...status,
    conditions: withCondition(status.conditions, condition, now),
    ...(type === "Complete" && { completionTime: rfc3339Seconds(now) }),
  };
}
