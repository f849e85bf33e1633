/** How many replicas each ReplicaSet of a Deployment should have. Pure. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import { percentOf } from "../../kinds/facts.ts";
import { byAge, desiredAnnotation, maxAnnotation } from "./revisions.ts";

export interface Bounds {
  readonly wanted: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

export function boundsOf({ spec }: Deployment): Bounds {
  const wanted = spec?.replicas ?? 1;
  if (spec?.strategy?.type === "Recreate") return { wanted, maxSurge: 0, maxUnavailable: 0 };
  const { maxSurge = "25%", maxUnavailable = "25%" } = spec?.strategy?.rollingUpdate ?? {};
  const surge = percentOf(maxSurge, wanted, true) ?? 0;
  let unavailable = percentOf(maxUnavailable, wanted, false) ?? 0;
  // Both zero, by rounding, would never make progress.
  if (surge === 0 && unavailable === 0) unavailable = 1;
  return { wanted, maxSurge: surge, maxUnavailable: Math.min(unavailable, wanted) };
}

export function replicasOf(set: ReplicaSet): number {
  return set.spec?.replicas ?? 1;
}

export function sum(sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number {
  return sets.reduce((total, set) => total + of(set), 0);
}

/** The new set grows as far as the surge allows, beyond all that exists. */
export function newReplicas(bounds: Bounds, all: readonly ReplicaSet[], fresh: ReplicaSet): number {
  const current = replicasOf(fresh);
  if (current >= bounds.wanted) return bounds.wanted;
  const room = bounds.wanted + bounds.maxSurge - sum(all, replicasOf);
  return current + Math.max(0, Math.min(room, bounds.wanted - current));
}

/**
 * How many pods the old sets may lose now: so many that, even if every pod of the new set that is
 * not available stays so, enough are left.
 */
function oldReplicasToDrop(bounds: Bounds, all: readonly ReplicaSet[], fresh: ReplicaSet): number {
  const available = bounds.wanted - bounds.maxUnavailable;
  const freshUnavailable = replicasOf(fresh) - (fresh.status?.availableReplicas ?? 0);
  return Math.max(0, sum(all, replicasOf) - available - Math.max(0, freshUnavailable));
}

export interface Target {
  readonly set: ReplicaSet;
  readonly replicas: number;
}

/** First the unhealthy pods of the old sets, then others as availability allows. */
export function shrinkOld(
  bounds: Bounds,
  all: readonly ReplicaSet[],
  old: readonly ReplicaSet[],
  fresh: ReplicaSet,
): Target[] {
  let unhealthyLeft = oldReplicasToDrop(bounds, all, fresh);
  const targets = new Map(old.map((set) => [set, replicasOf(set)]));
  for (const set of old) {
    const current = replicasOf(set);
    const unhealthy = Math.max(0, current - (set.status?.availableReplicas ?? 0));
    const drop = Math.min(unhealthyLeft, unhealthy);
    targets.set(set, current - drop);
    unhealthyLeft -= drop;
  }
  const available = sum(all, (set) => set.status?.availableReplicas ?? 0);
  let left = Math.min(unhealthyLeft, available - (bounds.wanted - bounds.maxUnavailable));
  for (const set of old) {
    if (left <= 0) break;
    const current = targets.get(set) ?? 0;
    const drop = Math.min(current, left);
    targets.set(set, current - drop);
    left -= drop;
  }
  return [...targets].map(([set, replicas]) => ({ set, replicas }));
}

/**
 * Sizes after the number of wanted replicas has changed, or while a Deployment is paused (upstream
 * `scale`): a single set takes everything; beside a new set that is whole the old ones go; several
 * grow or shrink in proportion.
 */
export function scaled(
  deployment: Deployment,
  fresh: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Target[] {
  const bounds = boundsOf(deployment);
  const all = fresh ? [...old, fresh] : [...old];
  const active = all.filter((set) => replicasOf(set) > 0);
  const only = active.length === 0 ? all.at(-1) : active[0];
  if (active.length <= 1) return only ? [{ set: only, replicas: bounds.wanted }] : [];
  if (fresh && isWhole(bounds, fresh)) {
    return active.filter((set) => set !== fresh).map((set) => ({ set, replicas: 0 }));
  }
  if (deployment.spec?.strategy?.type === "Recreate") {
    return active.map((set) => ({ set, replicas: replicasOf(set) }));
  }
  return proportional(bounds, active, deployment.status?.replicas ?? 0);
}

/** The new set has all its pods, and they are available, for the size that is wanted now. */
function isWhole({ wanted }: Bounds, fresh: ReplicaSet): boolean {
  return (
    fresh.metadata?.annotations?.[desiredAnnotation] === String(wanted) &&
    replicasOf(fresh) === wanted &&
    (fresh.status?.availableReplicas ?? 0) === wanted
  );
}

/**
 * Each set grows or shrinks as the whole does, the largest first and, among equals, the newest when
 * growing and the oldest when shrinking; what rounding leaves over goes to the first. `present`: how
 * many pods there are, for sets that do not tell the size they were a part of.
 */
export function proportional(
  { wanted, maxSurge }: Bounds,
  sets: readonly ReplicaSet[],
  present: number,
): Target[] {
  const allowed = wanted > 0 ? wanted + maxSurge : 0;
  const toAdd = allowed - sum(sets, replicasOf);
  const ages = [...sets].sort(byAge);
  if (toAdd > 0) ages.reverse();
  let added = 0;
  const targets = ages
    .sort((a, b) => replicasOf(b) - replicasOf(a))
    .map((set) => {
      const share = shareOf(set, wanted === 0 ? 0 : wanted + maxSurge, present);
      const left = toAdd - added;
      const change = toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
      const by = left === 0 ? 0 : change;
      added += by;
      return { set, replicas: replicasOf(set) + by };
    });
  const [first] = targets;
  if (first) targets[0] = { ...first, replicas: Math.max(0, first.replicas + toAdd - added) };
  return targets;
}

/** By how much a set is to change so that its part of the whole stays the same. */
function shareOf(set: ReplicaSet, size: number, present: number): number {
  const replicas = replicasOf(set);
  if (size === 0) return -replicas;
  const before = Number(set.metadata?.annotations?.[maxAnnotation] ?? 0) || present;
  return before === 0 ? 0 : Math.round((replicas * size) / before) - replicas;
}
