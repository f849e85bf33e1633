import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "../../../proto/gen/policy.ts";
import {
  type Again,
  type ApiObject,
  apiVersionOf,
  isNotFound,
  keyOf,
  splitKey,
} from "../../client/mod.ts";
import { isFinished, matchesLabels, selectorOf } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import { controllerOf } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";
import {
  evictionMillis,
  expectationOf,
  needsOwners,
  type Owner,
  statusOf,
  survivors,
} from "./plan.ts";

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

type Scaled = ApiObject & {
  readonly spec?: { readonly replicas?: number | undefined } | undefined;
};

function selects({ spec }: PodDisruptionBudget, pod: Pod): boolean {
  if (spec?.selector === undefined) return false;
  return matchesLabels(selectorOf(spec.selector), pod.metadata?.labels);
}

/** Until it is looked again whether the pods' controllers say how many there should be. */
const problemMillis = 15_000;

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
  const now = clock.wallMillis();
  const owners = needsOwners(budget) ? await ownersOf(context, pods) : new Map<string, Owner>();
  const expectation = expectationOf(budget, pods, owners);
  if ("problem" in expectation) {
    const text = `Failed to calculate the number of expected pods: ${expectation.problem}`;
    recorder.event(about, "Warning", "CalculateExpectedPodCountFailed", text);
  } else if (expectation.unmanaged.length > 0) {
    const text =
      `spec: the pods ${expectation.unmanaged.slice(0, 5).join(", ")} have no controller that says ` +
      "how many of them there should be, they do not count; give minAvailable as a number";
    recorder.event(about, "Warning", "UnmanagedPods", text);
  }
  for (const pod of survivors(budget, pods, now)) {
    const text = `Pod was expected by PDB ${key} to be deleted but it wasn't`;
    const aboutPod = { ...pod, apiVersion: "v1", kind: "Pod" };
    recorder.event(aboutPod, "Warning", "NotDeleted", text);
  }
  const status = statusOf(budget, pods, expectation, now);
  if (canonical(withoutEmpty(budget.status ?? {})) !== canonical(status)) {
    await client.podDisruptionBudgets.updateStatus({ ...budget, status }, write);
  }
  if ("problem" in expectation) return { after: problemMillis };
  return status.disruptedPods === undefined ? undefined : { after: evictionMillis };
}

function withoutEmpty({ disruptedPods, ...status }: PodDisruptionBudgetStatus) {
  return Object.keys(disruptedPods ?? {}).length > 0 ? { disruptedPods, ...status } : status;
}

/** How many pods each pod's workload wants, by the pod's controller. */
async function ownersOf(
  context: ControllerContext,
  pods: readonly Pod[],
): Promise<ReadonlyMap<string, Owner>> {
  const owners = new Map<string, Owner>();
  for (const pod of pods) {
    const { uid = "" } = controllerOf(pod) ?? {};
    if (uid === "" || owners.has(uid)) continue;
    owners.set(uid, known(context, pod) ?? (await scaled(context, pod)));
  }
  return owners;
}

/** From the cache; a Deployment counts for its ReplicaSets. */
function known({ informer }: ControllerContext, pod: Pod): Owner | undefined {
  const { kind, name = "", uid = "" } = controllerOf(pod) ?? {};
  const namespace = pod.metadata?.namespace;
  const from = (owner: Scaled | undefined) =>
    owner?.metadata?.uid === uid ? { uid, size: owner.spec?.replicas ?? 1 } : undefined;
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

/** By its scale, whatever kind it is of. */
async function scaled({ client, signal }: ControllerContext, pod: Pod): Promise<Owner> {
  const { apiVersion = "", kind = "", name = "", uid } = controllerOf(pod) ?? {};
  const missing = { problem: `found no controllers for pod ${JSON.stringify(pod.metadata?.name)}` };
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const served = (await client.dynamic.discover(group, { signal })).find(
    (each) => each.kind === kind && apiVersionOf(each) === apiVersion,
  );
  if (served === undefined) return missing;
  const reference = { apiVersion, kind, resource: served.plural };
  const { namespace } = pod.metadata ?? {};
  try {
    const scale = await client.dynamic.getScale(reference, name, namespace, { signal });
    if (scale.metadata?.uid !== uid) return missing;
    return { uid: uid ?? "", size: scale.spec?.replicas ?? 0 };
  } catch (error) {
    if (isNotFound(error)) return missing;
    if (StatusError.from(error).detail?.reason !== "MethodNotAllowed") throw error;
    const resource = group === "" ? served.plural : `${served.plural}.${group}`;
    return { problem: `${resource} does not implement the scale subresource` };
  }
}
