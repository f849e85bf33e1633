/**
 * Counts each ended pod exactly once, whatever is interrupted (upstream
 * `trackJobStatusAndRemoveFinalizers`): first the status names the pod as uncounted, then the pod
 * loses its finalizer, then the status counts it.
 */
import type { Job, JobStatus } from "../../../proto/gen/batch.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import type { Census, Ending } from "./census.ts";
import { textOf } from "./indexes.ts";
import { failuresBefore, indexOf, isIndexed, uidOf } from "./job-pods.ts";

/** Pods that one status names at a time (upstream `MaxUncountedPods`). */
const uncountedMax = 500;

export interface Tracking {
  /** The status with the ended pods noted. */
  readonly status: JobStatus;
  /** Pods that may lose their finalizer once that status is written. */
  readonly release: readonly Pod[];
}

export function track(job: Job, census: Census, ending: Ending | undefined): Tracking {
  const status = withCounted(job.status ?? {}, new Set(census.tracked.map(uidOf)));
  const succeeded = [...(status.uncountedTerminatedPods?.succeeded ?? [])];
  const failed = [...(status.uncountedTerminatedPods?.failed ?? [])];
  const known = new Set([...succeeded, ...failed]);
  const fresh = new Map(census.fresh.map(({ pod, verdict }) => [uidOf(pod), verdict]));
  const delayed = delayedPods(job, census, ending);
  const over = ending !== undefined || job.metadata?.deletionTimestamp !== undefined;
  const release: Pod[] = [];
  for (const pod of census.tracked) {
    const uid = uidOf(pod);
    if (known.size >= uncountedMax) break;
    if (pod.status?.phase === "Succeeded") {
      if (!isIndexed(job) && !known.has(uid)) succeeded.push(uid);
    } else if (!known.has(uid)) {
      const verdict = fresh.get(uid);
      // When the job has failed, whatever still runs has failed with it.
      const swept = verdict === undefined && ending?.type === "Failed";
      if (!verdict && !over) continue;
      if (delayed.has(uid)) continue;
      if (swept || (verdict && verdict.action !== "Ignore")) failed.push(uid);
    }
    known.add(uid);
    release.push(pod);
  }
  return {
    status: {
      ...status,
      uncountedTerminatedPods: { succeeded, failed },
      ...(isIndexed(job) && {
        succeeded: census.completed.size || undefined,
        completedIndexes: textOf(census.completed) || undefined,
      }),
      ...(job.spec?.backoffLimitPerIndex !== undefined && {
        failedIndexes: textOf(census.failedIndexes),
      }),
    },
    release,
  };
}

/** Uncounted pods without a finalizer are counted now. `tracked`: uids that still have it. */
export function withCounted(status: JobStatus, tracked: ReadonlySet<string>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const left = (uids: readonly string[]) => uids.filter((uid) => tracked.has(uid));
  const [stillSucceeded, stillFailed] = [left(succeeded), left(failed)];
  const count = (before: number | undefined, more: number) => (before ?? 0) + more || undefined;
  return {
    ...status,
    succeeded: count(status.succeeded, succeeded.length - stillSucceeded.length),
    failed: count(status.failed, failed.length - stillFailed.length),
    uncountedTerminatedPods: { succeeded: stillSucceeded, failed: stillFailed },
  };
}

/**
 * With a limit per index the last failed pod of an index holds the number of its failures: it stays
 * until another pod of the index takes the number over.
 */
function delayedPods(job: Job, census: Census, ending: Ending | undefined): ReadonlySet<string> {
  if (ending !== undefined) return new Set();
  return new Set([...lastFailures(job, census).values()].map(uidOf));
}

/** The last failed pod of each index that is to be tried again and has no active pod. */
export function lastFailures(job: Job, census: Census): ReadonlyMap<number, Pod> {
  const last = new Map<number, Pod>();
  if (job.spec?.backoffLimitPerIndex === undefined) return last;
  const active = new Set(census.active.map((pod) => indexOf(job, pod)));
  for (const { pod } of census.fresh) {
    const index = indexOf(job, pod);
    if (index === undefined || active.has(index)) continue;
    if (census.completed.has(index) || census.failedIndexes.has(index)) continue;
    const known = last.get(index);
    if (known === undefined || rank(pod) >= rank(known)) last.set(index, pod);
  }
  return last;
}

function rank(pod: Pod): number {
  const { counted, ignored } = failuresBefore(pod);
  return counted + ignored;
}
