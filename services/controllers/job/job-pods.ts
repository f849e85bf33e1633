/** What the job controller reads off a pod, and how it makes one. */
import type { Job } from "../../../proto/gen/batch.ts";
import type { Container, EnvVar, Pod, PodSpec } from "../../../proto/gen/core.ts";
import { conditionOf, parseTime } from "../../kinds/facts.ts";

/** Keeps a pod until the job's status has counted how it ended. */
export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
/** Label and annotation. */
const indexKey = "batch.kubernetes.io/job-completion-index";
const failuresKey = "batch.kubernetes.io/job-index-failure-count";
const ignoredKey = "batch.kubernetes.io/job-index-ignored-failure-count";

export function uidOf(pod: Pod): string {
  return pod.metadata?.uid ?? "";
}

export function isTracked(pod: Pod): boolean {
  return pod.metadata?.finalizers?.includes(trackingFinalizer) ?? false;
}

export function isGoing(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp !== undefined;
}

/**
 * A pod that is being deleted counts as failed, unless the job wants to wait for its end
 * (podReplacementPolicy Failed).
 */
export function hasFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (job.spec?.podReplacementPolicy === "Failed") return false;
  return isGoing(pod) && pod.status?.phase !== "Succeeded";
}

export function isIndexed(job: Job): boolean {
  return job.spec?.completionMode === "Indexed";
}

/** Undefined: the pod has no index of the job, as it is now. */
export function indexOf(job: Job, pod: Pod): number | undefined {
  const text = pod.metadata?.annotations?.[indexKey];
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  return Number(text) < (job.spec?.completions ?? 0) ? Number(text) : undefined;
}

export interface IndexFailures {
  readonly counted: number;
  readonly ignored: number;
}

/** Failures of the index before this pod. */
export function failuresBefore(pod: Pod): IndexFailures {
  const count = (key: string) => Number(pod.metadata?.annotations?.[key] ?? 0) || 0;
  return { counted: count(failuresKey), ignored: count(ignoredKey) };
}

/** When the pod's last container ended; otherwise the best that is known. */
export function endedAtMillis(pod: Pod, nowMillis: number): number {
  const { containerStatuses = [], conditions } = pod.status ?? {};
  const ends = containerStatuses.map(({ state }) => parseTime(state?.terminated?.finishedAt));
  const known = ends.filter((end) => end !== undefined);
  if (known.length > 0 && known.length === ends.length) return Math.max(...known);
  const deletion = parseTime(pod.metadata?.deletionTimestamp);
  const ready = parseTime(conditionOf(conditions, "Ready")?.lastTransitionTime);
  return Math.min(nowMillis, deletion ?? ready ?? nowMillis);
}

/** Restarts of the containers, init containers among them. */
export function restartsOf(pod: Pod): number {
  const { initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
  const all = [...initContainerStatuses, ...containerStatuses];
  return all.reduce((total, { restartCount = 0 }) => total + restartCount, 0);
}

export function withTracking(pod: Pod): Pod {
  const finalizers = [...(pod.metadata?.finalizers ?? []), trackingFinalizer];
  return { ...pod, metadata: { ...pod.metadata, finalizers } };
}

/** Gives a pod its index: in its names, its labels and the environment of its containers. */
export function withIndex(
  job: Job,
  pod: Pod,
  index: number,
  failures: IndexFailures | undefined,
): Pod {
  const name = job.metadata?.name ?? "";
  const text = String(index);
  const counts = failures && {
    [failuresKey]: String(failures.counted),
    ...(failures.ignored > 0 && { [ignoredKey]: String(failures.ignored) }),
  };
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      generateName: `${name}-${index}-`,
      labels: { ...pod.metadata?.labels, [indexKey]: text },
      annotations: { ...pod.metadata?.annotations, [indexKey]: text, ...counts },
    },
    spec: withIndexVariable({ ...pod.spec, hostname: `${name}-${index}` }),
  };
}

function withIndexVariable(spec: PodSpec): PodSpec {
  const variable: EnvVar = {
    name: "JOB_COMPLETION_INDEX",
    valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexKey}']` } },
  };
  const add = (container: Container): Container => {
    const env = container.env ?? [];
    if (env.some(({ name }) => name === variable.name)) return container;
    return { ...container, env: [...env, variable] };
  };
  return {
    ...spec,
    ...(spec.initContainers && { initContainers: spec.initContainers.map(add) }),
    ...(spec.containers && { containers: spec.containers.map(add) }),
  };
}
