/** How many replicas each ReplicaSet of a Deployment should have. Pure. */
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import { percentOf } from "../../kinds/mod.ts";

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
 * Spreads a new size over the sets of a rollout in progress in proportion to their sizes, largest
 * first; the remainder goes to the largest (kubernetes "proportional scaling").
 */
export function proportional(allowed: number, sets: readonly ReplicaSet[]): Target[] {
  const total = sum(sets, replicasOf);
  let left = allowed - total;
  const ordered = [...sets].sort((a, b) => replicasOf(b) - replicasOf(a));
  const targets = ordered.map((set) => {
    const exact = total === 0 ? 0 : (replicasOf(set) * allowed) / total - replicasOf(set);
    const rounded = Math.round(exact);
    const delta = left > 0 ? Math.min(rounded, left) : Math.max(rounded, left);
    left -= delta;
    return { set, replicas: replicasOf(set) + delta };
  });
  const first = targets[0];
  if (first) targets[0] = { set: first.set, replicas: Math.max(0, first.replicas + left) };
  return targets;
}
