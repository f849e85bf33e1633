/** Leads what the informers see into the scheduler's cache and queue. */
import type { Node, Pod } from "../../proto/gen/core.ts";
import { type InformerFactory, type KindName, keyOf } from "../client/mod.ts";
import { isFinished } from "../kinds/facts.ts";
import type { ClusterCache } from "./cache.ts";
import type { Deadlines } from "./deadlines.ts";
import type { ClusterEvent } from "./framework/mod.ts";
import { podInfo } from "./pod-info.ts";
import type { Profiles } from "./profiles.ts";
import type { SchedulingQueue } from "./queue.ts";

export interface WatchTargets {
  readonly informers: InformerFactory;
  readonly cache: ClusterCache;
  readonly queue: SchedulingQueue;
  readonly deadlines: Deadlines;
  /** Only pods whose spec.schedulerName names one of these are put into the queue. */
  readonly profiles: Pick<Profiles, "has">;
}

export function watchCluster(targets: WatchTargets): void {
  watchNodes(targets);
  watchPods(targets);
  const { informers, cache, queue } = targets;
  informers.informer("NodeLiveness").addHandlers({
    added: (liveness) => cache.setLiveness(liveness),
    updated: (_, liveness) => cache.setLiveness(liveness),
    deleted: (liveness) => cache.removeLiveness(liveness.metadata?.name ?? ""),
  });
  for (const resource of queue.resources) {
    if (resource !== "Node" && resource !== "Pod") watchResource(resource, targets);
  }
}

/** Resources that only plugins look at: their events alone matter. */
function watchResource(resource: KindName, { informers, queue }: WatchTargets): void {
  informers.informer(resource).addHandlers({
    added: (next) => queue.event({ resource, action: "added", next }),
    updated: (previous, next) => queue.event({ resource, action: "updated", previous, next }),
    deleted: (previous) => queue.event({ resource, action: "deleted", previous }),
  });
}

function watchNodes({ informers, cache, queue }: WatchTargets): void {
  informers.informer("Node").addHandlers({
    added(next) {
      cache.setNode(next);
      queue.event({ resource: "Node", action: "added", next });
    },
    updated(previous, next) {
      cache.setNode(next);
      if (schedulingView(previous) === schedulingView(next)) return;
      queue.event({ resource: "Node", action: "updated", previous, next });
    },
    deleted(previous) {
      cache.removeNode(previous.metadata?.name ?? "");
      queue.event({ resource: "Node", action: "deleted", previous });
    },
  });
}

function watchPods(targets: WatchTargets): void {
  const { informers, cache, queue, deadlines } = targets;
  informers.informer("Pod").addHandlers({
    added: (pod) => podSeen(targets, undefined, pod),
    updated: (previous, pod) => podSeen(targets, previous, pod),
    deleted(pod) {
      queue.delete(keyOf(pod));
      deadlines.gone(keyOf(pod));
      const { nominations } = cache.snapshot;
      const nodeName = pod.spec?.nodeName ?? nominations.nodeOf(keyOf(pod));
      nominations.delete(keyOf(pod));
      cache.removePod(keyOf(pod));
      // The room that was made for a pod is free for others, too.
      if (nodeName) {
        const freed = { ...pod, spec: { ...pod.spec, nodeName } };
        queue.event(podEvent("deleted", freed, undefined));
      }
    },
  });
}

function podSeen(targets: WatchTargets, previous: Pod | undefined, pod: Pod): void {
  const { cache, queue, deadlines } = targets;
  const key = keyOf(pod);
  cache.setPod(pod);
  if (pod.spec?.nodeName) {
    queue.delete(key);
    deadlines.gone(key);
    const finished = isFinished(pod);
    if (finished && !(previous && isFinished(previous))) {
      // The pod's object stays, but what it held on its node is free.
      queue.event(podEvent("deleted", previous ?? pod, undefined));
    } else if (!previous?.spec?.nodeName) queue.event(podEvent("added", undefined, pod));
    else if (
      !finished &&
      queue.wants("Pod", "updated") &&
      placedView(previous) !== placedView(pod)
    ) {
      queue.event(podEvent("updated", previous, pod));
    }
    return;
  }
  if (!isWaiting(pod, targets.profiles)) {
    queue.delete(key);
    deadlines.gone(key);
    cache.snapshot.nominations.delete(key);
    return;
  }
  deadlines.seen(podInfo(pod));
  nominationSeen(cache, previous, pod);
  const known = queue.get(key);
  if (known && known.pod.metadata?.uid === pod.metadata?.uid) {
    if (podView(known.pod) === podView(pod)) {
      queue.refresh(podInfo(pod));
      return;
    }
  } else if (cache.isPlaced(key)) return;
  queue.put(podInfo(pod));
  queue.event(podEvent("pending", undefined, pod));
}

/** What this scheduler has nominated stands in its memory before the API shows it. */
function nominationSeen({ snapshot }: ClusterCache, previous: Pod | undefined, pod: Pod): void {
  const { nominations } = snapshot;
  const before = previous?.status?.nominatedNodeName;
  const now = pod.status?.nominatedNodeName;
  const known = nominations.nodeOf(keyOf(pod));
  if (now) nominations.set(podInfo(pod), known ?? now);
  else if (before) nominations.delete(keyOf(pod));
}

/** Whether this scheduler should find a node for the pod. */
export function isWaiting(pod: Pod, profiles: Pick<Profiles, "has">): boolean {
  return (
    profiles.has(pod.spec?.schedulerName ?? "default-scheduler") &&
    !pod.spec?.nodeName &&
    !pod.metadata?.deletionTimestamp &&
    !isFinished(pod)
  );
}

export function podEvent(
  action: ClusterEvent["action"],
  previous: Pod | undefined,
  next: Pod | undefined,
): ClusterEvent {
  return { resource: "Pod", action, previous, next };
}

/** The fields of a node that scheduling looks at. */
function schedulingView({ metadata, spec, status }: Node): string {
  return JSON.stringify([metadata?.labels, spec?.unschedulable, spec?.taints, status?.allocatable]);
}

/** What of a placed pod matters to others: few of its changes, which are mostly of its status. */
function placedView({ metadata, spec }: Pod): string {
  const requests = spec?.containers?.map(({ resources }) => resources?.requests);
  return JSON.stringify([metadata?.labels, metadata?.deletionTimestamp, requests]);
}

function podView({ metadata, spec }: Pod): string {
  return JSON.stringify([metadata?.labels, metadata?.annotations, spec]);
}
