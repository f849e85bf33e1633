/** What a StatefulSet does next (upstream `stateful_set_control.go`). Pure. */
import type { ControllerRevision, StatefulSet } from "../../../proto/gen/apps.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { isFinished, percentOf } from "../../kinds/facts.ts";
import {
  isMonotonic,
  isRunningAndAvailable,
  isTerminating,
  ordinalOf,
  revisionNameOf,
  startOf,
} from "./identity.ts";

export interface Situation {
  readonly set: StatefulSet;
  readonly pods: readonly Pod[];
  /** The revision from which a rollout comes, and to which it goes. */
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
  readonly now: number;
}

export type Action =
  | { readonly verb: "create"; readonly ordinal: number; readonly revision: ControllerRevision }
  /** Deletes a pod at its end; the next look creates it anew. */
  | { readonly verb: "recreate"; readonly pod: Pod }
  | { readonly verb: "delete"; readonly pod: Pod }
  /** A claim of a pod that cannot start may have been deleted. */
  | { readonly verb: "claim"; readonly ordinal: number }
  | { readonly verb: "identify"; readonly pod: Pod };

/** One step: with ordered pods at most one is created or deleted, and only when the others are well. */
export function actionsOf(situation: Situation): Action[] {
  const { set, pods, now } = situation;
  const start = startOf(set);
  const size = set.spec?.replicas ?? 1;
  const monotonic = isMonotonic(set);
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod) ?? -1, pod]));
  const actions: Action[] = [];
  for (let ordinal = start; ordinal < start + size; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) {
      actions.push({ verb: "create", ordinal, revision: revisionFor(situation, ordinal) });
      if (monotonic) return actions;
      continue;
    }
    if (isFinished(pod) && !isTerminating(pod)) {
      actions.push({ verb: "recreate", pod });
      if (monotonic) return actions;
      continue;
    }
    if (pod.status?.phase === "Pending") actions.push({ verb: "claim", ordinal });
    if (monotonic && (isTerminating(pod) || !isRunningAndAvailable(set, pod, now))) return actions;
    if (!isTerminating(pod)) actions.push({ verb: "identify", pod });
  }
  const settled = actions.every(({ verb }) => verb === "identify" || verb === "claim");
  const shrinking = condemn(situation);
  if (shrinking !== undefined) return [...actions, ...shrinking];
  if (!settled) return actions;
  return [...actions, ...rollOut(situation, byOrdinal)];
}

/** Pods beyond the size, the last one first. Undefined: there are none. */
function condemn({ set, pods, now }: Situation): Action[] | undefined {
  const start = startOf(set);
  const end = start + (set.spec?.replicas ?? 1);
  const condemned = pods
    .map((pod) => ({ pod, ordinal: ordinalOf(set, pod) ?? -1 }))
    .filter(({ ordinal }) => ordinal < start || ordinal >= end)
    .sort((a, b) => b.ordinal - a.ordinal);
  if (condemned.length === 0) return undefined;
  const going = condemned.filter(({ pod }) => !isTerminating(pod));
  if (!isMonotonic(set)) return going.map(({ pod }) => ({ verb: "delete", pod }));
  // The last one goes only while it is well, unless it is the first that is not.
  const last = condemned[0]?.pod;
  if (last === undefined || isTerminating(last)) return [];
  const isWell = (pod: Pod) => !isTerminating(pod) && isRunningAndAvailable(set, pod, now);
  const firstUnwell = condemned.findLast(({ pod }) => !isWell(pod))?.pod;
  return isWell(last) || last === firstUnwell ? [{ verb: "delete", pod: last }] : [];
}

/** Replaces pods of other revisions from the last to the partition. */
function rollOut({ set, update, now }: Situation, byOrdinal: ReadonlyMap<number, Pod>): Action[] {
  const { updateStrategy, replicas = 1 } = set.spec ?? {};
  if (updateStrategy?.type === "OnDelete") return [];
  const start = startOf(set);
  const { partition = 0, maxUnavailable } = updateStrategy?.rollingUpdate ?? {};
  const allowed = Math.max(1, percentOf(maxUnavailable ?? 1, replicas, false) ?? 1);
  const isWell = (pod: Pod) => !isTerminating(pod) && isRunningAndAvailable(set, pod, now);
  let unavailable = [...byOrdinal.values()].filter((pod) => !isWell(pod)).length;
  const actions: Action[] = [];
  for (let ordinal = start + replicas - 1; ordinal >= start + partition; ordinal--) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) continue;
    const old = revisionNameOf(pod) !== update.metadata?.name && !isTerminating(pod);
    if (!old) {
      // A pod that is not well yet holds the next one back.
      if (allowed === 1 && !isWell(pod)) return actions;
      continue;
    }
    // One that is not well can be replaced without making anything worse.
    const worse = isWell(pod) ? 1 : 0;
    if (allowed > 1 && worse > 0 && unavailable + worse > allowed) continue;
    actions.push({ verb: "delete", pod });
    unavailable += worse;
    if (allowed === 1) return actions;
  }
  return actions;
}

/** Below the partition a pod comes back as it was. */
function revisionFor({ set, current, update }: Situation, ordinal: number): ControllerRevision {
  const { type, rollingUpdate } = set.spec?.updateStrategy ?? {};
  if (type === "OnDelete") return update;
  const kept = rollingUpdate === undefined ? set.status?.currentReplicas : rollingUpdate.partition;
  return ordinal < startOf(set) + (kept ?? 0) ? current : update;
}
