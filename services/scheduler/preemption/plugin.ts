/** Makes room for a pod by ending pods of lower priority (upstream `DefaultPreemption`). */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import {
  type EventRecorder,
  isNotFound,
  type LoopClock,
  retryOnConflict,
  type TriremeClient,
} from "../../client/mod.ts";
import { withCondition } from "../../kinds/facts.ts";
import type { Cycle, Plugin, PostFilterContext, Room } from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import { preempted, searchRoom } from "./search.ts";

export interface PreemptionOptions {
  readonly client: Pick<TriremeClient, "pods">;
  readonly recorder: EventRecorder;
  readonly clock: LoopClock;
  readonly log: Log;
  /** Uniform in 0..1: where the search among the nodes starts. */
  readonly random?: () => number;
}

const name = "DefaultPreemption";
/** Victims that are told at once. */
const parallel = 16;

export function preemption(options: PreemptionOptions): Plugin {
  return {
    name,
    async postFilter(cycle, diagnosis, context) {
      const found = searchRoom(cycle, diagnosis, context, options.random ?? Math.random);
      if (!("victims" in found)) return found;
      await makeRoom(options, cycle, found, context);
      return { nominatedNode: found.node.name };
    },
    room: {
      search(cycle, diagnosis, context) {
        const found = searchRoom(cycle, diagnosis, context, options.random ?? Math.random);
        return "victims" in found ? found : undefined;
      },
      make: (cycle, room, context) => makeRoom(options, cycle, room, context),
    },
  };
}

async function makeRoom(
  options: PreemptionOptions,
  { pod, snapshot }: Cycle,
  { node, victims }: Room,
  context: PostFilterContext,
): Promise<void> {
  // Others that wait for this node with less right to it look for another place.
  for (const other of [...snapshot.nominations.on(node.name).values()]) {
    if (other.priority < pod.priority) await clearNomination(options, snapshot, other, context);
  }
  const waiting = victims.filter((each) => !each.pod.metadata?.deletionTimestamp);
  for (let start = 0; start < waiting.length; start += parallel) {
    const some = waiting.slice(start, start + parallel);
    await Promise.all(some.map((victim) => preempt(options, pod, victim, node, context)));
  }
}

async function clearNomination(
  { client, log }: PreemptionOptions,
  snapshot: Cycle["snapshot"],
  info: PodInfo,
  { fence, signal }: PostFilterContext,
): Promise<void> {
  snapshot.nominations.delete(info.key);
  const { name: podName = "", namespace } = info.pod.metadata ?? {};
  const patch = { status: { nominatedNodeName: null } };
  try {
    const write = { fence, signal, subresource: "status" } as const;
    await client.pods.patch(podName, namespace, "merge", patch, write);
  } catch (error) {
    log.warn("a nomination could not be cleared", { pod: info.key, error });
  }
}

async function preempt(
  { client, recorder, clock }: PreemptionOptions,
  preemptor: PodInfo,
  victim: PodInfo,
  node: NodeInfo,
  { fence, signal, refuseParked }: PostFilterContext,
): Promise<void> {
  if (!refuseParked(victim.key, "preempted")) {
    const { name: podName = "", namespace, uid } = victim.pod.metadata ?? {};
    const scheduler = preemptor.pod.spec?.schedulerName ?? "default-scheduler";
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: preempted,
      message: `${scheduler}: preempting to accommodate a higher priority pod`,
    };
    try {
      await retryOnConflict(async () => {
        const pod = await client.pods.get(podName, namespace, { signal });
        if (pod.metadata?.uid !== uid || pod.metadata?.deletionTimestamp) return;
        const conditions = withCondition(pod.status?.conditions, condition, clock.wallMillis());
        const status = { ...pod.status, conditions };
        await client.pods.updateStatus({ ...pod, status }, { fence, signal });
      }, clock);
      const preconditions = uid === undefined ? undefined : { uid };
      await client.pods.delete(podName, namespace, { fence, signal, preconditions });
    } catch (thrown) {
      // It has gone by itself.
      if (!isNotFound(StatusError.from(thrown))) throw thrown;
      return;
    }
  }
  const about = { ...victim.pod, kind: "Pod", apiVersion: "v1" };
  const text = `Preempted by pod ${preemptor.pod.metadata?.uid} on node ${node.name}`;
  recorder.event(about, "Normal", "Preempted", text);
}
