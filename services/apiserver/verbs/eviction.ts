/** Holds evictions to the budgets of the pods' owners (upstream `registry/core/pod/storage/eviction.go`). */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodDisruptionBudget } from "../../../proto/gen/policy.ts";
import {
  conditionOf,
  type Document,
  isConditionTrue,
  isFinished,
  matchesLabels,
  type Resource,
  rfc3339Seconds,
  selectorOf,
  withCondition,
} from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import { objectKey, partsOf } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change } from "./change.ts";

/** Evictions that the disruption controller has not seen yet, in one budget. */
const disruptedMax = 2_000;
const refusal = "Cannot evict pod as it would violate the pod's disruption budget.";

/**
 * Takes the eviction of a pod off its budget. Throws TooManyRequests when the budget allows none
 * now, InternalError when the pod has several budgets.
 */
export async function takeFromBudget(
  backend: Backend,
  call: Call,
  pod: Pod,
  dryRun: boolean,
): Promise<void> {
  const { name: podName = "", namespace = "", labels, deletionTimestamp } = pod.metadata ?? {};
  const pending = pod.status?.phase === "Pending" || !pod.status?.phase;
  if (deletionTimestamp || isFinished(pod) || pending) return;
  const budgets = backend.registry.required("policy/v1", "PodDisruptionBudget");
  const stored = backend.cache.of(budgets).select(createSelection(budgets, { namespace }));
  const matching = [...stored]
    .map(({ document }) => document as PodDisruptionBudget)
    .filter(({ spec }) => spec?.selector && matchesLabels(selectorOf(spec.selector), labels));
  const [budget] = matching;
  if (budget === undefined) return;
  if (matching.length > 1) {
    const text =
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    throw new StatusError(Code.internal, text, { reason: "InternalError" });
  }
  const name = budget.metadata?.name ?? "";
  const key = objectKey(budgets, namespace, name);
  // The removal of the pod, too, is a write of this request.
  const requestId = call.requestId && `${call.requestId}/budget`;
  await change(backend, call, { resource: budgets, key, name, dryRun, requestId }, (one) => {
    const next = one.copy() as PodDisruptionBudget;
    if (isFreeToGo(pod, next)) return { action: "keep" };
    decrement(budgets, next, podName, backend.now());
    return { action: "put", document: next as Document };
  });
}

/**
 * Says in the pod's status that it ends because of an eviction, so that what owns the pod need not
 * take that for a failure. `uid`: of the pod that is meant, if it must be the very one.
 */
export async function markEvicted(
  backend: Backend,
  call: Call,
  pods: Resource,
  key: string,
  uid: string | undefined,
): Promise<void> {
  const { name } = partsOf(pods, key);
  const requestId = call.requestId && `${call.requestId}/condition`;
  const about = { resource: pods, key, name, dryRun: false, subresource: "status", requestId };
  await change(backend, call, about, (stored) => {
    const pod = stored.copy() as Pod;
    if (pod.metadata?.deletionTimestamp || isFinished(pod)) return { action: "keep" };
    if (uid !== undefined && uid !== pod.metadata?.uid) return { action: "keep" };
    const conditions = withCondition(pod.status?.conditions, evicted, backend.now());
    return {
      action: "put",
      document: { ...pod, status: { ...pod.status, conditions } } as Document,
    };
  });
}

const evicted = {
  type: "DisruptionTarget",
  status: "True",
  reason: "EvictionByEvictionAPI",
  message: "Eviction API: evicting",
};

/** A pod that serves nothing anyway; by default only while enough others are healthy. */
function isFreeToGo(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  if (isConditionTrue(pod.status?.conditions, "Ready")) return false;
  if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return currentHealthy >= desiredHealthy && desiredHealthy > 0;
}

function decrement(
  budgets: Resource,
  budget: PodDisruptionBudget,
  pod: string,
  nowMillis: number,
): void {
  const { name = "", generation = 0 } = budget.metadata ?? {};
  const status = budget.status ?? {};
  const { disruptionsAllowed = 0, desiredHealthy = 0, currentHealthy = 0 } = status;
  const { disruptedPods = {}, observedGeneration = 0 } = status;
  if (observedGeneration < generation) {
    const text = `The disruption budget ${name} is still being processed by the server.`;
    throw refused(text, 10);
  }
  if (disruptionsAllowed < 0) throw forbidden(budgets, name, "pdb disruptions allowed is negative");
  if (Object.keys(disruptedPods).length > disruptedMax) {
    throw forbidden(
      budgets,
      name,
      "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
    );
  }
  if (disruptionsAllowed === 0) {
    const known = conditionOf(status.conditions, "DisruptionAllowed");
    const text =
      known?.reason === "SyncFailed"
        ? `The disruption budget ${name} does not allow evicting pods currently because it failed ` +
          `sync: ${known.message}`
        : `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ` +
          `${currentHealthy} currently`;
    throw refused(text, 0);
  }
  const left = disruptionsAllowed - 1;
  const condition = {
    type: "DisruptionAllowed",
    status: "False",
    reason: "InsufficientPods",
    message: "",
    observedGeneration,
  };
  budget.status = {
    ...status,
    disruptionsAllowed: left,
    disruptedPods: { ...disruptedPods, [pod]: rfc3339Seconds(nowMillis) },
    ...(left === 0 && { conditions: withCondition(status.conditions, condition, nowMillis) }),
  };
}

function refused(message: string, retryAfterSeconds: number): StatusError {
  const causes = [{ field: "", reason: "DisruptionBudget", message }];
  return new StatusError(Code.resourceExhausted, refusal, {
    ...{ reason: "TooManyRequests", retryAfterSeconds, causes },
  });
}
