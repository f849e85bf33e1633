/** A job and its pods, looked at together. Pure. */
import type { Job } from "../../../proto/gen/batch.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { conditionOf, isConditionTrue, isFinished, parseTime } from "../../kinds/facts.ts";
import { indexesOf } from "./indexes.ts";
import {
  failuresBefore,
  hasFailed,
  indexOf,
  isGoing,
  isIndexed,
  isTracked,
  restartsOf,
  uidOf,
} from "./job-pods.ts";
import { successOf, type Verdict, verdictOn } from "./policies.ts";

export interface Census {
  readonly pods: readonly Pod[];
  /** Pending or running, and not being deleted. */
  readonly active: readonly Pod[];
  /** Being deleted and not at an end. */
  readonly terminating: number;
  /** With the finalizer still; the status may count them. */
  readonly tracked: readonly Pod[];
  /** Failed, with the finalizer, in the status not yet; `Ignore` among them. */
  readonly fresh: readonly { readonly pod: Pod; readonly verdict: Verdict }[];
  readonly failed: number;
  readonly succeeded: number;
  /** Of indexed jobs. */
  readonly completed: ReadonlySet<number>;
  /** Of jobs with a limit per index. */
  readonly failedIndexes: ReadonlySet<number>;
}

/** `released`: uids whose finalizer is gone although the cache still shows it. */
export function take(job: Job, pods: readonly Pod[], released: ReadonlySet<string>): Census {
  const { status = {}, spec = {} } = job;
  const { succeeded: waitingSucceeded = [], failed: waitingFailed = [] } =
    status.uncountedTerminatedPods ?? {};
  const waiting = new Set([...waitingSucceeded, ...waitingFailed]);
  const tracked = pods.filter((pod) => isTracked(pod) && !released.has(uidOf(pod)));
  const fresh = tracked
    .filter((pod) => hasFailed(job, pod) && !waiting.has(uidOf(pod)))
    .map((pod) => ({ pod, verdict: verdictOn(job, pod) }));
  const ended = tracked.filter((pod) => pod.status?.phase === "Succeeded");
  const completed = indexesOf(status.completedIndexes, spec.completions ?? 0);
  const failedIndexes = indexesOf(status.failedIndexes, spec.completions ?? 0);
  for (const pod of isIndexed(job) ? ended : []) {
    const index = indexOf(job, pod);
    if (index !== undefined && !failedIndexes.has(index)) completed.add(index);
  }
  for (const { pod, verdict } of fresh) {
    const index = indexOf(job, pod);
    if (index === undefined || completed.has(index)) continue;
    if (failsIndex(job, pod, verdict)) failedIndexes.add(index);
  }
  const newlyEnded = ended.filter((pod) => !waiting.has(uidOf(pod))).length;
  const counted = fresh.filter(({ verdict }) => verdict.action !== "Ignore").length;
  return {
    pods,
    active: pods.filter((pod) => !isFinished(pod) && !isGoing(pod)),
    terminating: pods.filter((pod) => isGoing(pod) && !isFinished(pod)).length,
    ...{ tracked, fresh, completed, failedIndexes },
    failed: (status.failed ?? 0) + waitingFailed.length + counted,
    succeeded: isIndexed(job)
      ? completed.size
      : (status.succeeded ?? 0) + waitingSucceeded.length + newlyEnded,
  };
}

function failsIndex(job: Job, pod: Pod, { action }: Verdict): boolean {
  const limit = job.spec?.backoffLimitPerIndex;
  if (limit === undefined || action === "Ignore") return false;
  return action === "FailIndex" || failuresBefore(pod).counted >= limit;
}

/** How the job is going to end. */
export interface Ending {
  readonly type: "Complete" | "Failed";
  readonly reason: string;
  readonly message: string;
}

/** Undefined: the job goes on. What was decided before stays decided. */
export function endingOf(job: Job, census: Census, nowMillis: number): Ending | undefined {
  const { conditions } = job.status ?? {};
  for (const [interim, type] of [
    ["FailureTarget", "Failed"],
    ["SuccessCriteriaMet", "Complete"],
  ] as const) {
    const { reason = "", message = "" } = conditionOf(conditions, interim) ?? {};
    if (isConditionTrue(conditions, interim)) return { type, reason, message };
  }
  return failureOf(job, census, nowMillis) ?? success(job, census);
}

function failureOf(job: Job, census: Census, nowMillis: number): Ending | undefined {
  const { spec = {} } = job;
  const failed = (reason: string, message: string): Ending => ({ type: "Failed", reason, message });
  const verdict = census.fresh.find((each) => each.verdict.action === "FailJob")?.verdict;
  if (verdict) return failed("PodFailurePolicy", verdict.message ?? "");
  if (census.failed > (spec.backoffLimit ?? 6) || restartsExceed(job, census)) {
    return failed("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
  if (spec.suspend !== true && (millisToDeadline(job, nowMillis) ?? 1) <= 0) {
    return failed("DeadlineExceeded", "Job was active longer than specified deadline");
  }
  if (spec.backoffLimitPerIndex === undefined) return undefined;
  const { failedIndexes, completed } = census;
  if (spec.maxFailedIndexes !== undefined && failedIndexes.size > spec.maxFailedIndexes) {
    const text = "Job has exceeded the specified maximal number of failed indexes";
    return failed("MaxFailedIndexesExceeded", text);
  }
  const ended = failedIndexes.size + completed.size >= (spec.completions ?? 0);
  if (failedIndexes.size === 0 || !ended) return undefined;
  return failed("FailedIndexes", "Job has failed indexes");
}

/** Containers that are started again in their pods count as failures, too. */
function restartsExceed({ spec = {} }: Job, { active }: Census): boolean {
  if (spec.template?.spec?.restartPolicy !== "OnFailure") return false;
  const restarts = active.reduce((total, pod) => total + restartsOf(pod), 0);
  const limit = spec.backoffLimit ?? 6;
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

function success(job: Job, census: Census): Ending | undefined {
  const message = isIndexed(job) ? successOf(job, census.completed) : undefined;
  return message === undefined ? undefined : { type: "Complete", reason: "SuccessPolicy", message };
}

/** Whether the job has what it wants, after `active` of its pods are left. */
export function completion(job: Job, census: Census, active: number): Ending | undefined {
  const { completions } = job.spec ?? {};
  const { succeeded } = census;
  const done = completions === undefined ? succeeded > 0 && active === 0 : succeeded >= completions;
  // A suspended job whose pods are gone has not come to its end.
  if (!done || (completions === undefined && job.spec?.suspend === true)) return undefined;
  const message = "Reached expected number of succeeded pods";
  return { type: "Complete", reason: "CompletionsReached", message };
}

export function millisToDeadline({ spec, status }: Job, nowMillis: number): number | undefined {
  const start = parseTime(status?.startTime);
  if (spec?.activeDeadlineSeconds === undefined || start === undefined) return undefined;
  return start + spec.activeDeadlineSeconds * 1000 - nowMillis;
}

/** How many active pods the job wants to have now. */
export function wantedActive({ spec = {} }: Job, census: Census): number {
  const { parallelism = 1, completions } = spec;
  const { active, succeeded, failedIndexes } = census;
  if (completions === undefined) {
    // Once one has succeeded no new ones begin, and those that run may go on.
    return succeeded > 0 ? active.length : parallelism;
  }
  return Math.max(0, Math.min(parallelism, completions - succeeded - failedIndexes.size));
}
