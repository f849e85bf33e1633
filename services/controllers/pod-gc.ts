import type { Node, Pod, PodCondition } from "../../proto/gen/core.ts";
import { isConflict, isNotFound, keyOf } from "../client/mod.ts";
import { isConditionTrue, isFinished, parseTime, withCondition } from "../kinds/facts.ts";
import type { Controller, ControllerContext } from "./types.ts";

export interface PodGcOptions {
  /** Ended pods kept; the oldest beyond are deleted. 0: all are kept. */
  readonly terminatedThreshold: number;
  readonly periodMillis: number;
  /** A node missing for this long is gone for good. */
  readonly quarantineMillis: number;
}

const everything = "everything";
const outOfService = "node.kubernetes.io/out-of-service";

/** Removes pods that no kubelet will ever remove. */
export function podGcController(options: PodGcOptions): Controller {
  return {
    name: "pod-garbage-collector",
    informers: ["Pod", "Node"],
    workers: 1,
    start(context) {
      const missingSince = new Map<string, number>();
      context.queue.add(everything);
      return async () => {
        const pods = context.informer("Pod").lister.list();
        await removeExcess(context, pods, options.terminatedThreshold);
        await removeOrphans(context, pods, missingSince, options.quarantineMillis);
        for (const pod of pods) {
          if (!pod.metadata?.deletionTimestamp) continue;
          const { nodeName } = pod.spec ?? {};
          if (nodeName && !isOutOfService(context.informer("Node").lister.get(nodeName))) continue;
          await remove(context, await failed(context, pod));
        }
        return { after: options.periodMillis };
      };
    },
  };
}

/** A person has said that the node will not come back, and it does not answer. */
function isOutOfService(node: Node | undefined): boolean {
  if (node === undefined || isConditionTrue(node.status?.conditions, "Ready")) return false;
  return node.spec?.taints?.some(({ key }) => key === outOfService) ?? false;
}

async function removeExcess(
  context: ControllerContext,
  pods: readonly Pod[],
  threshold: number,
): Promise<void> {
  if (threshold <= 0) return;
  // Evicted ones hold nothing of interest. Nothing says that a pod without a time is old: it goes last.
  const kept = ({ status }: Pod) => (status?.reason === "Evicted" ? 0 : 1);
  const created = (pod: Pod) => parseTime(pod.metadata?.creationTimestamp) ?? Infinity;
  const ended = pods
    .filter((pod) => isFinished(pod) && !pod.metadata?.deletionTimestamp)
    .sort((a, b) => kept(a) - kept(b) || (created(a) < created(b) ? -1 : 1));
  const excess = Math.max(0, ended.length - threshold);
  for (const pod of ended.slice(0, excess)) await remove(context, pod);
}

/** Pods bound to a node that is missing from the cache for a while, and from the API. */
async function removeOrphans(
  context: ControllerContext,
  pods: readonly Pod[],
  missingSince: Map<string, number>,
  quarantineMillis: number,
): Promise<void> {
  const { client, clock, informer } = context;
  const missing = new Set<string>();
  for (const { spec } of pods) {
    const name = spec?.nodeName;
    if (name && !informer("Node").lister.get(name)) missing.add(name);
  }
  for (const name of missingSince.keys()) if (!missing.has(name)) missingSince.delete(name);
  const now = clock.monotonicMillis();
  for (const name of missing) {
    const since = missingSince.get(name) ?? now;
    missingSince.set(name, since);
    if (now - since < quarantineMillis) continue;
    try {
      await client.nodes.get(name);
      continue;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    for (const pod of pods) {
      if (pod.spec?.nodeName === name) await remove(context, await failed(context, pod, nodeGone));
    }
  }
}

const nodeGone = {
  type: "DisruptionTarget",
  status: "True",
  reason: "DeletionByPodGC",
  message: "PodGC: node no longer exists",
};

/** The pod as failed, so that what counts its end finds it, with the condition if there is one. */
async function failed(
  { client, clock, write }: ControllerContext,
  pod: Pod,
  condition?: PodCondition,
): Promise<Pod> {
  if (isFinished(pod)) return pod;
  const known = pod.status?.conditions;
  const conditions = condition && withCondition(known, condition, clock.wallMillis());
  const status = { ...pod.status, phase: "Failed", ...(conditions && { conditions }) };
  try {
    return await client.pods.updateStatus({ ...pod, status }, write);
  } catch (error) {
    // Gone or changed meanwhile; the removal finds out.
    if (!isNotFound(error) && !isConflict(error)) throw error;
    return pod;
  }
}

async function remove({ client, log, write }: ControllerContext, pod: Pod): Promise<void> {
  const { name = "", namespace, uid = "" } = pod.metadata ?? {};
  log.info("removing a pod that no kubelet will remove", { pod: keyOf(pod) });
  try {
    const options = { ...write, gracePeriodSeconds: 0, preconditions: { uid } };
    await client.pods.delete(name, namespace, options);
  } catch (error) {
    // Gone already, or replaced by another of that name.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
