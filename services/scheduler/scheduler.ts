import type { FencingToken } from "../../ha/election/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Node, Pod, PodCondition } from "../../proto/gen/core.ts";
import {
  type EventRecorder,
  type InformerFactory,
  isConflict,
  isNotFound,
  keyOf,
  type LoopClock,
  type TriremeClient,
} from "../client/mod.ts";
import { isFinished, rfc3339Seconds } from "../kinds/mod.ts";
import { assumedMillisMax, ClusterCache } from "./cache.ts";
import { type Plugin, type Refusal, schedule } from "./framework.ts";
import { type PodInfo, podInfo } from "./pod-info.ts";
import { SchedulingQueue } from "./queue.ts";

export interface SchedulerOptions {
  readonly client: Pick<TriremeClient, "bind" | "pods">;
  readonly informers: InformerFactory;
  readonly recorder: EventRecorder;
  readonly plugins: readonly Plugin[];
  /** Only pods whose spec.schedulerName is this. */
  readonly schedulerName: string;
  readonly clock: LoopClock;
  readonly log: Log;
  readonly random?: () => number;
}

/** Bindings under way at once; the loop waits when there are more. */
const bindingsMax = 32;

/**
 * Keeps its view of the cluster from the start, so that a standby that is elected schedules at
 * once; places pods only within {@link Scheduler.lead}.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache = new ClusterCache();
  readonly #queue: SchedulingQueue;
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#queue = new SchedulingQueue(options.plugins, options.clock);
    this.#follow();
  }

  /** Pods that wait for a node. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Schedules until the signal aborts, and resolves when every binding under way has ended. */
  async lead(token: FencingToken | undefined, signal: AbortSignal): Promise<void> {
    const { clock, informers } = this.#options;
    await informers.whenSynced(signal);
    let cancel = () => {};
    const expire = () => {
      for (const key of this.#cache.expire(clock.monotonicMillis())) this.#lostAssumption(key);
      cancel = clock.after(assumedMillisMax / 10, expire);
    };
    expire();
    try {
      for (;;) {
        while (this.#underWay.size >= bindingsMax) await Promise.race(this.#underWay);
        const info = await this.#queue.next(signal);
        if (!info) break;
        this.#scheduleOne(info, token, signal);
      }
    } finally {
      cancel();
      await Promise.allSettled(this.#underWay);
      this.#queue.reset();
    }
  }

  /** Ends its timers; for good. */
  close(): void {
    this.#queue.close();
  }

  #scheduleOne(info: PodInfo, token: FencingToken | undefined, signal: AbortSignal): void {
    if (info.pod.metadata?.deletionTimestamp || this.#cache.isPlaced(info.key)) {
      this.#queue.delete(info.key);
      return;
    }
    const { plugins, random = Math.random } = this.#options;
    const placement = schedule(plugins, { pod: info, nodes: this.#cache.nodes() }, random);
    if ("refusal" in placement) {
      this.#queue.refused(info.key, placement.refusal.plugins);
      this.#track(this.#explain(info, placement.refusal, token, signal));
    } else {
      this.#cache.assume(info, placement.node);
      this.#track(this.#bind(info, placement.node, token, signal));
    }
  }

  async #bind(
    info: PodInfo,
    node: string,
    fence: FencingToken | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, log, recorder } = this.#options;
    const { name = "", namespace = "", uid } = info.pod.metadata ?? {};
    try {
      await client.bind({ name, namespace, uid }, node, { fence, signal });
      this.#cache.bound(info.key, clock.monotonicMillis());
      this.#queue.delete(info.key);
      const text = `Successfully assigned ${info.key} to ${node}`;
      recorder.event({ ...info.pod, kind: "Pod", apiVersion: "v1" }, "Normal", "Scheduled", text);
    } catch (thrown) {
      const error = StatusError.from(thrown);
      this.#cache.forget(info.key);
      this.#queue.event("assignedPodDeleted");
      log.info("a pod could not be bound", { pod: info.key, node, error: error.message });
      // Gone: the watch will say so. Bound by another: likewise, and the retry finds it placed.
      if (isNotFound(error)) this.#queue.delete(info.key);
      else this.#queue.failed(info.key);
    }
  }

  /** Says on the pod why it fits nowhere; only when that has changed. */
  async #explain(
    info: PodInfo,
    { message }: Refusal,
    fence: FencingToken | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, log, recorder } = this.#options;
    // The newest copy: an older one would only meet a conflict.
    const pod = this.#queue.get(info.key)?.pod ?? info.pod;
    const known = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    if (known?.status === "False" && known.message === message) return;
    const now = rfc3339Seconds(clock.wallMillis());
    const condition: PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: known?.status === "False" ? (known.lastTransitionTime ?? now) : now,
    };
    const others = pod.status?.conditions?.filter(({ type }) => type !== "PodScheduled") ?? [];
    recorder.event(
      { ...pod, kind: "Pod", apiVersion: "v1" },
      "Warning",
      "FailedScheduling",
      message,
    );
    try {
      const status = { ...pod.status, conditions: [...others, condition] };
      await client.pods.updateStatus({ ...pod, status }, { fence, signal });
    } catch (thrown) {
      if (isNotFound(thrown) || isConflict(thrown)) return;
      const error = StatusError.from(thrown).message;
      log.warn("could not write why a pod is unschedulable", { pod: info.key, error });
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  #lostAssumption(key: string): void {
    this.#options.log.warn("a binding was never confirmed; scheduling again", { pod: key });
    const pod = this.#options.informers.informer("Pod").lister;
    const [namespace, name = ""] = key.split("/");
    const current = pod.get(name, namespace);
    if (current && this.#isMine(current)) this.#queue.put(podInfo(current));
  }

  #follow(): void {
    const { informers } = this.#options;
    const queue = this.#queue;
    const cache = this.#cache;
    informers.informer("Node").addHandlers({
      added(node) {
        cache.setNode(node);
        queue.event("nodeAdded");
      },
      updated(previous, node) {
        cache.setNode(node);
        if (schedulingView(previous) !== schedulingView(node)) queue.event("nodeUpdated");
      },
      deleted: (node) => cache.removeNode(node.metadata?.name ?? ""),
    });
    informers.informer("NodeLiveness").addHandlers({
      added: (liveness) => cache.setLiveness(liveness),
      updated: (_, liveness) => cache.setLiveness(liveness),
      deleted: (liveness) => cache.removeLiveness(liveness.metadata?.name ?? ""),
    });
    informers.informer("Pod").addHandlers({
      added: (pod) => this.#podSeen(undefined, pod),
      updated: (previous, pod) => this.#podSeen(previous, pod),
      deleted: (pod) => {
        queue.delete(keyOf(pod));
        cache.removePod(keyOf(pod));
        if (pod.spec?.nodeName) queue.event("assignedPodDeleted");
      },
    });
  }

  #podSeen(previous: Pod | undefined, pod: Pod): void {
    const key = keyOf(pod);
    this.#cache.setPod(pod);
    if (pod.spec?.nodeName) {
      this.#queue.delete(key);
      const freed = isFinished(pod) && !(previous && isFinished(previous));
      if (freed) this.#queue.event("assignedPodDeleted");
      else if (!previous?.spec?.nodeName) this.#queue.event("assignedPodAdded");
      return;
    }
    if (!this.#isMine(pod)) {
      this.#queue.delete(key);
      return;
    }
    const known = this.#queue.get(key);
    if (known && known.pod.metadata?.uid === pod.metadata?.uid) {
      if (podView(known.pod) === podView(pod)) {
        this.#queue.refresh(podInfo(pod));
        return;
      }
    } else if (this.#cache.isPlaced(key)) return;
    this.#queue.put(podInfo(pod));
  }

  #isMine(pod: Pod): boolean {
    return (
      (pod.spec?.schedulerName ?? "default-scheduler") === this.#options.schedulerName &&
      !pod.spec?.nodeName &&
      !pod.metadata?.deletionTimestamp &&
      (pod.spec?.schedulingGates ?? []).length === 0 &&
      !isFinished(pod)
    );
  }
}

/** What of a node scheduling looks at. */
function schedulingView({ metadata, spec, status }: Node): string {
  return JSON.stringify([metadata?.labels, spec?.unschedulable, spec?.taints, status?.allocatable]);
}

function podView({ metadata, spec }: Pod): string {
  return JSON.stringify([metadata?.labels, metadata?.annotations, spec]);
}
