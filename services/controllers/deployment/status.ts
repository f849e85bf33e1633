import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from "../../../proto/gen/apps.ts";
import { parseTime, rfc3339Seconds } from "../../kinds/facts.ts";
import { boundsOf, replicasOf, sum } from "./arithmetic.ts";

/** What the controller found out besides counting. */
export interface Progress {
  readonly fresh: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
  /** The new set was made in this reconciliation. */
  readonly created?: boolean | undefined;
  /** The new set could not be made. */
  readonly failure?: { readonly message: string; readonly cause: StatusError } | undefined;
  readonly collisionCount: number | undefined;
}

/** Upstream: `progressDeadlineSeconds` that stands for none. */
const noDeadline = 2_147_483_647;
const available = "NewReplicaSetAvailable";
const timedOut = "ProgressDeadlineExceeded";

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

/** A rollout that is not over when so much time has brought no progress has failed. */
function deadlineSeconds({ spec }: Deployment): number | undefined {
  const seconds = spec?.progressDeadlineSeconds ?? 600;
  return seconds === noDeadline ? undefined : seconds;
}

/** Milliseconds until the progress deadline; undefined when nothing is awaited. */
export function millisToDeadline(
  deployment: Deployment,
  status: DeploymentStatus,
  nowMillis: number,
): number | undefined {
  const seconds = deadlineSeconds(deployment);
  const known = status.conditions?.find(({ type }) => type === "Progressing");
  if (seconds === undefined || known === undefined || deployment.spec?.paused) return undefined;
  if (known.reason === timedOut || known.reason === available) return undefined;
  if (isComplete(deployment, status)) return undefined;
  const since = parseTime(known.lastUpdateTime) ?? nowMillis;
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
  ];
  const rollout = progressing(deployment, status, progress, nowMillis);
  if (rollout) conditions.push(rollout);
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

/** Undefined: the Deployment has no deadline, and so no such condition. */
function progressing(
  deployment: Deployment,
  status: DeploymentStatus,
  { fresh, created, failure }: Progress,
  nowMillis: number,
): DeploymentCondition | undefined {
  const known = deployment.status?.conditions?.find(({ type }) => type === "Progressing");
  const seconds = deadlineSeconds(deployment);
  if (seconds === undefined) return undefined;
  const name = JSON.stringify((fresh ?? deployment).metadata?.name);
  const about = `${fresh ? "ReplicaSet" : "Deployment"} ${name}`;
  const say = (state: string, reason: string, message: string): News => ({
    ...{ type: "Progressing", status: state, reason, message },
  });
  const settle = (news: News) => settled(deployment, nowMillis, news);
  const advance = (news: News) => advanced(known, nowMillis, news);
  if (deployment.spec?.paused) {
    if (known?.reason === timedOut) return known;
    return settle(say("Unknown", "DeploymentPaused", "Deployment is paused"));
  }
  if (known?.reason === "DeploymentPaused") {
    return advance(say("Unknown", "DeploymentResumed", "Deployment is resumed"));
  }
  if (failure) return settle(say("False", "ReplicaSetCreateError", failure.message));
  const nothingOld = status.replicas === status.updatedReplicas;
  // A rollout that is over stays so, whatever befalls its pods afterwards.
  if (known?.reason === available && nothingOld && !created) return known;
  if (isComplete(deployment, status)) {
    return settle(say("True", available, `${about} has successfully progressed.`));
  }
  if (created)
    return advance(say("True", "NewReplicaSetCreated", `Created new replica set ${name}`));
  if (known === undefined && fresh) {
    return advance(say("True", "FoundNewReplicaSet", `Found new replica set ${name}`));
  }
  const moving = say("True", "ReplicaSetUpdated", `${about} is progressing.`);
  // Without a time the rollout's deadline would never come: it is counted from now on.
  const since = parseTime(known?.lastUpdateTime);
  const rolloutBegins = known?.reason === available;
  if (!known || since === undefined || rolloutBegins) return advance(moving);
  if (hasProgressed(deployment.status, status)) return advance(moving);
  if (known.reason !== timedOut && nowMillis <= since + seconds * 1000) return known;
  return settle(say("False", timedOut, `${about} has timed out progressing.`));
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
