/** How many pods a budget lets go now (upstream `pkg/controller/disruption`). Pure. */
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "../../../proto/gen/policy.ts";
import { parseTime, percentOf, withCondition } from "../../kinds/facts.ts";
import { controllerOf } from "../owners.ts";
import { isReady } from "../pods.ts";

/** After this an eviction is taken to have come to nothing (upstream `DeletionTimeout`). */
export const evictionMillis = 2 * 60_000;

/** A workload and how many pods it wants, or why that is not known. */
export type Owner = { readonly uid: string; readonly size: number } | { readonly problem: string };

export type Expectation =
  | {
      readonly expected: number;
      readonly desired: number;
      /** Names of pods without a controller. */
      readonly unmanaged: readonly string[];
    }
  | { readonly problem: string };

/** A plain number of available pods needs no owners; everything else is a share of their sizes. */
export function needsOwners({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable !== "number";
}

/** `owners`: by the uid of a pod's controller. */
export function expectationOf(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  owners: ReadonlyMap<string, Owner>,
): Expectation {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  if (!needsOwners(budget)) {
    return { expected: pods.length, desired: Number(minAvailable), unmanaged: [] };
  }
  const sizes = new Map<string, number>();
  const unmanaged: string[] = [];
  for (const pod of pods) {
    const owner = owners.get(controllerOf(pod)?.uid ?? "");
    if (owner === undefined) unmanaged.push(pod.metadata?.name ?? "");
    else if ("problem" in owner) return owner;
    else sizes.set(owner.uid, owner.size);
  }
  const expected = [...sizes.values()].reduce((total, size) => total + size, 0);
  const unavailable = percentOf(maxUnavailable ?? 0, expected, true) ?? 0;
  const desired =
    maxUnavailable === undefined
      ? (percentOf(minAvailable ?? 1, expected, true) ?? 0)
      : Math.max(0, expected - unavailable);
  return { expected, desired, unmanaged };
}

/** While it is not known how many pods there should be, none may go. */
export function statusOf(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  expectation: Expectation,
  nowMillis: number,
): PodDisruptionBudgetStatus {
  const { disruptedPods: _, ...before } = budget.status ?? {};
  const disruptedPods = stillGoing(budget, pods, nowMillis);
  const going = Object.keys(disruptedPods).length > 0 && { disruptedPods };
  const observedGeneration = budget.metadata?.generation ?? 0;
  const conditions = (status: string, reason: string, message: string) => {
    const condition = { type: "DisruptionAllowed", status, reason, message, observedGeneration };
    return withCondition(before.conditions, condition, nowMillis);
  };
  if ("problem" in expectation) {
    return {
      ...before,
      ...going,
      observedGeneration,
      disruptionsAllowed: 0,
      currentHealthy: before.currentHealthy ?? 0,
      desiredHealthy: before.desiredHealthy ?? 0,
      expectedPods: before.expectedPods ?? 0,
      conditions: conditions("False", "SyncFailed", expectation.problem),
    };
  }
  const { expected, desired } = expectation;
  const healthy = pods.filter(
    (pod) =>
      isReady(pod) &&
      !pod.metadata?.deletionTimestamp &&
      !Object.hasOwn(disruptedPods, pod.metadata?.name ?? ""),
  ).length;
  const allowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
  return {
    observedGeneration,
    ...going,
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions:
      allowed > 0
        ? conditions("True", "SufficientPods", "")
        : conditions("False", "InsufficientPods", ""),
  };
}

interface Eviction {
  readonly pod: Pod;
  readonly untilMillis: number;
}

/** Evictions whose pods are there still, and not on their way out. */
function evictions({ status }: PodDisruptionBudget, pods: readonly Pod[]): Eviction[] {
  return Object.entries(status?.disruptedPods ?? {}).flatMap(([name, time]) => {
    const pod = pods.find(({ metadata }) => metadata?.name === name);
    if (pod === undefined || pod.metadata?.deletionTimestamp) return [];
    return [{ pod, untilMillis: (parseTime(time) ?? 0) + evictionMillis }];
  });
}

function stillGoing(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMillis: number,
): Record<string, string> {
  const names = evictions(budget, pods)
    .filter(({ untilMillis }) => untilMillis > nowMillis)
    .map(({ pod }) => pod.metadata?.name ?? "");
  const times = budget.status?.disruptedPods ?? {};
  return Object.fromEntries(names.map((name) => [name, times[name] ?? ""]));
}

/** Pods that should have been deleted by an eviction, and were not. */
export function survivors(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMillis: number,
): Pod[] {
  return evictions(budget, pods)
    .filter(({ untilMillis }) => untilMillis <= nowMillis)
    .map(({ pod }) => pod);
}
