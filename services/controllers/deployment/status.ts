import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from "../../../proto/gen/apps.ts";
import { parseTime, rfc3339Seconds } from "../../kinds/mod.ts";
import { boundsOf, replicasOf, sum } from "./arithmetic.ts";

/** What the controller found out besides counting. */
export interface Progress {
  readonly fresh: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
  /** The new set was made, or found, in this reconciliation. */
  readonly created?: "created" | undefined;
  readonly collisionCount: number | undefined;
}

export function statusOf(
  deployment: Deployment,
  progress: Progress,
  nowMillis: number,
): DeploymentStatus {
  const { fresh, old, collisionCount } = progress;
  const all = fresh ? [...old, fresh] : [...old];
  const availableReplicas = sum(all, (set) => set.status?.availableReplicas ?? 0);
  const total = sum(all, replicasOf);
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata?.generation ?? 0,
    replicas: sum(all, (set) => set.status?.replicas ?? 0),
    updatedReplicas: fresh?.status?.replicas ?? 0,
    readyReplicas: sum(all, (set) => set.status?.readyReplicas ?? 0),
    availableReplicas,
    unavailableReplicas: Math.max(0, total - availableReplicas),
    terminatingReplicas: sum(all, (set) => set.status?.terminatingReplicas ?? 0),
    ...(collisionCount !== undefined && { collisionCount }),
  };
  status.conditions = conditionsOf(deployment, status, progress, nowMillis);
  return status;
}

/** Every replica is of the new template and available, and nothing old is left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = deployment.spec?.replicas ?? 1;
  return (
    status.updatedReplicas === wanted &&
    status.replicas === wanted &&
    status.availableReplicas === wanted
  );
}

export function sameStatus(a: DeploymentStatus | undefined, b: DeploymentStatus): boolean {
  const view = (status: DeploymentStatus | undefined) =>
    JSON.stringify([
      status?.observedGeneration ?? 0,
      status?.replicas ?? 0,
      status?.updatedReplicas ?? 0,
      status?.readyReplicas ?? 0,
      status?.availableReplicas ?? 0,
      status?.unavailableReplicas ?? 0,
      status?.terminatingReplicas ?? 0,
      status?.collisionCount ?? 0,
      (status?.conditions ?? []).map((each) => [
        each.type,
        each.status,
        each.reason,
        each.message,
        each.lastUpdateTime,
      ]),
    ]);
  return view(a) === view(b);
}

/** Milliseconds until the progress deadline; undefined when nothing is awaited. */
export function millisToDeadline(
  deployment: Deployment,
  status: DeploymentStatus,
  nowMillis: number,
): number | undefined {
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 600;
  const progressing = status.conditions?.find(({ type }) => type === "Progressing");
  if (progressing?.status !== "True" || deployment.spec?.paused) return undefined;
  if (isComplete(deployment, status)) return undefined;
  const since = parseTime(progressing.lastUpdateTime) ?? nowMillis;
  return Math.max(0, since + seconds * 1000 - nowMillis);
}

function conditionsOf(
  deployment: Deployment,
  status: DeploymentStatus,
  progress: Progress,
  nowMillis: number,
): DeploymentCondition[] {
  const { wanted, maxUnavailable } = boundsOf(deployment);
  const enough = (status.availableReplicas ?? 0) >= wanted - maxUnavailable;
  const conditions = [
    settled(deployment, nowMillis, {
      type: "Available",
      status: enough ? "True" : "False",
      reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      message: enough
        ? "Deployment has minimum availability."
        : "Deployment does not have minimum availability.",
    }),
    progressing(deployment, status, progress, nowMillis),
  ];
  const sets = progress.fresh ? [progress.fresh, ...progress.old] : progress.old;
  for (const set of sets) {
    const failure = set.status?.conditions?.find(({ type }) => type === "ReplicaFailure");
    if (failure?.status !== "True") continue;
    const { reason, message } = failure;
    conditions.push(
      settled(deployment, nowMillis, { type: "ReplicaFailure", status: "True", reason, message }),
    );
    break;
  }
  return conditions;
}

function progressing(
  deployment: Deployment,
  status: DeploymentStatus,
  { fresh, created }: Progress,
  nowMillis: number,
): DeploymentCondition {
  const known = deployment.status?.conditions?.find(({ type }) => type === "Progressing");
  const about = fresh ? `ReplicaSet "${fresh.metadata?.name}"` : "Deployment";
  const type = "Progressing";
  if (deployment.spec?.paused) {
    const message = "Deployment is paused";
    const reason = "DeploymentPaused";
    return settled(deployment, nowMillis, { type, status: "Unknown", reason, message });
  }
  if (known?.reason === "DeploymentPaused") {
    const message = "Deployment is resumed";
    const reason = "DeploymentResumed";
    return advanced(known, nowMillis, { type, status: "Unknown", reason, message });
  }
  if (isComplete(deployment, status)) {
    const reason = "NewReplicaSetAvailable";
    const message = `${about} has successfully progressed.`;
    return settled(deployment, nowMillis, { type, status: "True", reason, message });
  }
  if (created) {
    const message = `Created new replica set "${fresh?.metadata?.name}"`;
    const reason = "NewReplicaSetCreated";
    return advanced(known, nowMillis, { type, status: "True", reason, message });
  }
  const reason = "ReplicaSetUpdated";
  const message = `${about} is progressing.`;
  const rolloutBegins = known?.reason === "NewReplicaSetAvailable";
  if (known === undefined || rolloutBegins || hasProgressed(deployment.status, status)) {
    return advanced(known, nowMillis, { type, status: "True", reason, message });
  }
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 600;
  const since = parseTime(known.lastUpdateTime);
  // Without a time the rollout's deadline would never come: it is counted from now on.
  if (since === undefined) {
    return advanced(known, nowMillis, { type, status: "True", reason, message });
  }
  if (nowMillis >= since + seconds * 1000) {
    return settled(deployment, nowMillis, {
      type,
      status: "False",
      reason: "ProgressDeadlineExceeded",
      message: `${about} has timed out progressing.`,
    });
  }
  return known;
}

/** More new pods, fewer old ones, or more ready or available ones than before. */
function hasProgressed(before: DeploymentStatus | undefined, now: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus | undefined) =>
    (status?.replicas ?? 0) - (status?.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before?.updatedReplicas ?? 0) ||
    old(now) < old(before) ||
    (now.readyReplicas ?? 0) > (before?.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before?.availableReplicas ?? 0)
  );
}

type News = Pick<DeploymentCondition, "type" | "status" | "reason" | "message">;

/** The known condition while it says the same; times move only with status or reason. */
function settled(deployment: Deployment, nowMillis: number, news: News): DeploymentCondition {
  const known = deployment.status?.conditions?.find(({ type }) => type === news.type);
  if (known && known.status === news.status && known.reason === news.reason) {
    return { ...known, message: news.message };
  }
  return advanced(known, nowMillis, news);
}

function advanced(
  known: DeploymentCondition | undefined,
  nowMillis: number,
  news: News,
): DeploymentCondition {
  const now = rfc3339Seconds(nowMillis);
  const since = known?.status === news.status ? known?.lastTransitionTime : undefined;
  const lastTransitionTime = since ?? now;
  return { ...news, lastUpdateTime: now, lastTransitionTime };
}
