import type { Pod } from "../../proto/gen/core.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "../../proto/gen/policy.ts";
import { type Again, keyOf, splitKey } from "../client/mod.ts";
import {
  isFinished,
  matchesLabels,
  parseTime,
  percentOf,
  selectorOf,
  withCondition,
} from "../kinds/facts.ts";
import { canonical } from "./canonical.ts";
import { controllerOf } from "./owners.ts";
import { isReady } from "./pods.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** After this an eviction is taken to have come to nothing (upstream `DeletionTimeout`). */
const evictionMillis = 2 * 60_000;

/** Says in each PodDisruptionBudget how many of its pods may be evicted now. */
export function disruptionController(workers: number): Controller {
  return {
    name: "disruption",
    informers: [
      ...(["PodDisruptionBudget", "Pod", "ReplicaSet", "Deployment"] as const),
      ...(["StatefulSet", "ReplicationController"] as const),
    ],
    workers,
    start(context) {
      const { on, queue, informer } = context;
      const affected = (pod: Pod) => {
        for (const budget of informer("PodDisruptionBudget").lister.list(pod.metadata?.namespace)) {
          if (selects(budget, pod)) queue.add(keyOf(budget));
        }
      };
      const all = (owner: { metadata?: { namespace?: string | undefined } | undefined }) => {
        const { lister } = informer("PodDisruptionBudget");
        for (const budget of lister.list(owner.metadata?.namespace)) queue.add(keyOf(budget));
      };
      on("PodDisruptionBudget", {
        added: (budget) => queue.add(keyOf(budget)),
        updated: (_, budget) => queue.add(keyOf(budget)),
      });
      on("Pod", {
        added: affected,
        updated(previous, pod) {
          affected(previous);
          affected(pod);
        },
        deleted: affected,
      });
      for (const kind of [
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "ReplicationController",
      ] as const) {
        on(kind, {
          updated(previous, owner) {
            if (previous.spec?.replicas !== owner.spec?.replicas) all(owner);
          },
        });
      }
      return (key) => reconcile(context, key);
    },
  };
}

function selects({ spec }: PodDisruptionBudget, pod: Pod): boolean {
  if (spec?.selector === undefined) return false;
  return matchesLabels(selectorOf(spec.selector), pod.metadata?.labels);
}

async function reconcile(context: ControllerContext, key: string): Promise<Again | undefined> {
  const { client, clock, informer, recorder, write } = context;
  const { name, namespace = "" } = splitKey(key);
  const budget = informer("PodDisruptionBudget").lister.get(name, namespace);
  if (!budget || budget.metadata?.deletionTimestamp) return undefined;
  const about = { ...budget, apiVersion: "policy/v1", kind: "PodDisruptionBudget" };
  const pods = informer("Pod")
    .lister.list(namespace)
    .filter((pod) => selects(budget, pod) && !isFinished(pod));
  if (pods.length === 0) recorder.event(about, "Normal", "NoPods", "No matching pods found");
  const { expected, desired, unmanaged } = expectation(context, budget, pods);
  if (unmanaged.length > 0) {
    const text =
      `spec: the pods ${unmanaged.slice(0, 5).join(", ")} have no controller that says how many ` +
      "of them there should be, they do not count; give minAvailable as a number";
    recorder.event(about, "Warning", "UnmanagedPods", text);
  }
  const now = clock.wallMillis();
  const disruptedPods = stillGoing(budget, pods, now);
  const healthy = pods.filter(
    (pod) =>
      isReady(pod) &&
      !pod.metadata?.deletionTimestamp &&
      !Object.hasOwn(disruptedPods, pod.metadata?.name ?? ""),
  ).length;
  const allowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
  const observedGeneration = budget.metadata?.generation ?? 0;
  const condition = {
    type: "DisruptionAllowed",
    status: allowed > 0 ? "True" : "False",
    reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
    message: "",
    observedGeneration,
  };
  const status: PodDisruptionBudgetStatus = {
    observedGeneration,
    ...(Object.keys(disruptedPods).length > 0 && { disruptedPods }),
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions: withCondition(budget.status?.conditions, condition, now),
  };
  if (canonical(withoutEmpty(budget.status ?? {})) !== canonical(status)) {
    await client.podDisruptionBudgets.updateStatus({ ...budget, status }, write);
  }
  return Object.keys(disruptedPods).length > 0 ? { after: evictionMillis } : undefined;
}

function withoutEmpty({ disruptedPods, ...status }: PodDisruptionBudgetStatus) {
  return Object.keys(disruptedPods ?? {}).length > 0 ? { disruptedPods, ...status } : status;
}

/** Evictions whose pods are there still, and not on their way out. */
function stillGoing(
  { status }: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMillis: number,
): Record<string, string> {
  const entries = Object.entries(status?.disruptedPods ?? {}).filter(([name, time]) => {
    const pod = pods.find(({ metadata }) => metadata?.name === name);
    if (pod === undefined || pod.metadata?.deletionTimestamp) return false;
    return (parseTime(time) ?? 0) + evictionMillis > nowMillis;
  });
  return Object.fromEntries(entries);
}

interface Expectation {
  readonly expected: number;
  readonly desired: number;
  readonly unmanaged: readonly string[];
}

/** A plain number of available pods needs no owners; everything else is a share of their sizes. */
function expectation(
  context: ControllerContext,
  { spec }: PodDisruptionBudget,
  pods: readonly Pod[],
): Expectation {
  const { minAvailable, maxUnavailable } = spec ?? {};
  if (typeof minAvailable === "number" && maxUnavailable === undefined) {
    return { expected: pods.length, desired: minAvailable, unmanaged: [] };
  }
  const sizes = new Map<string, number>();
  const unmanaged: string[] = [];
  for (const pod of pods) {
    const owner = sizeOf(context, pod);
    if (owner) sizes.set(owner.uid, owner.size);
    else unmanaged.push(pod.metadata?.name ?? "");
  }
  const expected = [...sizes.values()].reduce((total, size) => total + size, 0);
  const unavailable = percentOf(maxUnavailable ?? 0, expected, true) ?? 0;
  const desired =
    maxUnavailable === undefined
      ? (percentOf(minAvailable ?? 1, expected, true) ?? 0)
      : Math.max(0, expected - unavailable);
  return { expected, desired, unmanaged };
}

/** How many pods the workload wants; a Deployment counts for its ReplicaSets. */
function sizeOf(
  { informer }: ControllerContext,
  pod: Pod,
): { readonly uid: string; readonly size: number } | undefined {
  const { kind, name = "", uid = "" } = controllerOf(pod) ?? {};
  const namespace = pod.metadata?.namespace;
  const from = (owner: { spec?: { replicas?: number | undefined } | undefined } | undefined) =>
    owner && { uid, size: owner.spec?.replicas ?? 1 };
  switch (kind) {
    case "ReplicaSet": {
      const set = informer("ReplicaSet").lister.get(name, namespace);
      const above = set && controllerOf(set);
      const deployment = informer("Deployment").lister.get(above?.name ?? "", namespace);
      if (above?.kind !== "Deployment" || !deployment) return from(set);
      return { uid: above.uid ?? "", size: deployment.spec?.replicas ?? 1 };
    }
    case "StatefulSet":
      return from(informer("StatefulSet").lister.get(name, namespace));
    case "ReplicationController":
      return from(informer("ReplicationController").lister.get(name, namespace));
    default:
      return undefined;
  }
}
