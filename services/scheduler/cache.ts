import type { Node, Pod } from "../../proto/gen/core.ts";
import type { NodeLiveness, NodeUsageSummary } from "../../proto/gen/node.ts";
import { keyOf } from "../client/mod.ts";
import { isFinished, parseTime } from "../kinds/facts.ts";
import { NodeInfo } from "./node-info.ts";
import { type PodInfo, podInfo, withCopy } from "./pod-info.ts";
import type { Labels } from "./pod-terms.ts";
import { Snapshot } from "./snapshot.ts";
import type { VolumeLookup } from "./volume-lookup.ts";
import type { WorkloadLookup } from "./workload-lookup.ts";

interface Placed {
  readonly info: PodInfo;
  readonly nodeName: string;
  /** Set while only this scheduler believes in the placement. */
  readonly assumed: boolean;
  /** Monotonic milliseconds; from then on an assumption that the API has not confirmed is dropped. */
  readonly expiresAt: number;
}

/** An assumption whose binding was acknowledged is confirmed by the watch well within this. */
export const assumedMillisMax = 30_000;

/**
 * The cluster as the scheduler believes it to be: what the informers say, plus the pods whose
 * binding is still on its way.
 */
export class ClusterCache {
  /** The nodes that exist; updated with every change. */
  readonly snapshot: Snapshot;
  readonly #nodes = new Map<string, NodeInfo>();
  readonly #pods = new Map<string, Placed>();
  /** When each node's newest use was measured. */
  readonly #measured = new WeakMap<NodeInfo, number>();
  /** Per apiserver, its nodes' last measured use. */
  readonly #livenesses = new Map<string, NodeLiveness>();

  constructor(volumes?: VolumeLookup, workloads?: WorkloadLookup) {
    this.snapshot = new Snapshot(volumes, workloads);
  }

  setNode(node: Node): void {
    const info = this.#node(node.metadata?.name ?? "");
    const { images } = info;
    info.setNode(node);
    this.snapshot.changed(info, images);
    this.#measure(info);
  }

  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info) {
      const { images } = info;
      info.setNode(undefined);
      this.snapshot.changed(info, images);
    }
    this.#sweep(name);
  }

  /** A pod as the API shows it: on a node, or gone from one. Confirms an assumption. */
  setPod(pod: Pod): void {
    const key = keyOf(pod);
    const nodeName = pod.spec?.nodeName;
    if (!nodeName || isFinished(pod)) {
      const known = this.#pods.get(key);
      // The watch may still show the pod as it was before the binding.
      if (known?.assumed && !isFinished(pod) && sameUid(known.info.pod, pod)) return;
      this.removePod(key);
      return;
    }
    const known = this.#pods.get(key);
    if (known?.nodeName === nodeName && asBefore(known.info.pod, pod)) {
      const info = withCopy(known.info, pod);
      this.#pods.set(key, { info, nodeName, assumed: false, expiresAt: 0 });
      this.#node(nodeName).pods.set(key, info);
      this.snapshot.nominations.delete(key);
      return;
    }
    this.#place({ info: podInfo(pod), nodeName, assumed: false, expiresAt: 0 });
  }

  removePod(key: string): void {
    const known = this.#pods.get(key);
    if (!known) return;
    this.#pods.delete(key);
    const node = this.#nodes.get(known.nodeName);
    if (node) {
      this.snapshot.podMoved(known.info, node, -1);
      node.removePod(key);
    }
    this.#sweep(known.nodeName);
  }

  assume(info: PodInfo, nodeName: string): void {
    this.#place({ info, nodeName, assumed: true, expiresAt: Number.POSITIVE_INFINITY });
  }

  /** The API took the binding; the watch must show it before the assumption expires. */
  bound(key: string, nowMillis: number): void {
    const known = this.#pods.get(key);
    if (known?.assumed) this.#pods.set(key, { ...known, expiresAt: nowMillis + assumedMillisMax });
  }

  /** Takes an assumption back. A placement that the API has confirmed stays. */
  forget(key: string): void {
    if (this.#pods.get(key)?.assumed) this.removePod(key);
  }

  /** Answers the keys of the assumptions that expired. */
  expire(nowMillis: number): string[] {
    const expired: string[] = [];
    for (const [key, { assumed, expiresAt }] of this.#pods) {
      if (assumed && expiresAt <= nowMillis) expired.push(key);
    }
    for (const key of expired) this.removePod(key);
    return expired;
  }

  /** Supposes that the pod has left its node, until {@link putBack}; nothing may happen between. */
  setAside(info: PodInfo): void {
    const node = this.#nodeOf(info);
    if (!node) return;
    this.snapshot.podMoved(info, node, -1);
    node.removePod(info.key);
  }

  putBack(info: PodInfo): void {
    const node = this.#nodeOf(info);
    if (!node) return;
    node.addPod(info);
    this.snapshot.podMoved(info, node, 1);
  }

  #nodeOf({ key }: PodInfo): NodeInfo | undefined {
    return this.#nodes.get(this.#pods.get(key)?.nodeName ?? "");
  }

  isPlaced(key: string): boolean {
    return this.#pods.has(key);
  }

  setLiveness(liveness: NodeLiveness): void {
    this.#livenesses.set(liveness.metadata?.name ?? "", liveness);
    const measured: NodeInfo[] = [];
    for (const name of Object.keys(liveness.nodes ?? {})) {
      const info = this.#nodes.get(name);
      if (info && this.#measure(info)) measured.push(info);
    }
    this.snapshot.interference.learn(measured, this.snapshot.nodes);
  }

  removeLiveness(name: string): void {
    this.#livenesses.delete(name);
  }

  /** Answers whether there is something new to learn. */
  #measure(info: NodeInfo): boolean {
    let newest: { readonly at: number; readonly usage: NodeUsageSummary } | undefined;
    for (const { nodes } of this.#livenesses.values()) {
      const beat = nodes?.[info.name];
      const at = parseTime(beat?.lastHeartbeatTime) ?? Number.NEGATIVE_INFINITY;
      if (beat?.usage && at > (newest?.at ?? Number.NEGATIVE_INFINITY)) {
        newest = { at, usage: beat.usage };
      }
    }
    const known = this.#measured.get(info) ?? Number.NEGATIVE_INFINITY;
    if (newest === undefined || newest.at <= known) return false;
    this.#measured.set(info, newest.at);
    const { cpuMillis = 0, memoryBytes = 0, cpuPressurePermille } = newest.usage;
    const { usage } = info;
    info.usage = {
      cpu: smoothed(usage?.cpu, cpuMillis),
      memory: smoothed(usage?.memory, memoryBytes),
    };
    if (cpuPressurePermille === undefined) info.cpuPressure = undefined;
    else info.cpuPressure = smoothed(info.cpuPressure, cpuPressurePermille / 1_000);
    return true;
  }

  #place(placed: Placed): void {
    const { info, nodeName } = placed;
    const known = this.#pods.get(info.key);
    if (known) this.removePod(info.key);
    this.#pods.set(info.key, placed);
    const node = this.#node(nodeName);
    node.addPod(info);
    this.snapshot.podMoved(info, node, 1);
    this.snapshot.nominations.delete(info.key);
  }

  /** Pods may be seen before their node: the entry then waits for it. */
  #node(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (!info) {
      info = new NodeInfo(name);
      this.#nodes.set(name, info);
    }
    return info;
  }

  #sweep(name: string): void {
    const info = this.#nodes.get(name);
    if (info && !info.node && info.pods.size === 0) this.#nodes.delete(name);
  }
}

/** Most news of a placed pod are of its status, and change nothing of what it takes and wants. */
function asBefore(known: Pod, pod: Pod): boolean {
  const [before, now] = [known.metadata ?? {}, pod.metadata ?? {}];
  return (
    before.uid === now.uid &&
    now.generation !== undefined &&
    before.generation === now.generation &&
    before.deletionTimestamp === now.deletionTimestamp &&
    sameLabels(before.labels, now.labels) &&
    !isResized(known) &&
    !isResized(pod)
  );
}

/** What such a pod takes is told by its status: another amount than its spec says. */
function isResized({ spec, status }: Pod): boolean {
  const { containerStatuses = [], initContainerStatuses = [] } = status ?? {};
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return [...containerStatuses, ...initContainerStatuses].some(
    ({ name, allocatedResources, resources }) => {
      const told = allocatedResources ?? resources?.requests;
      const own = containers.find((one) => one.name === name)?.resources?.requests;
      return told !== undefined && !sameLabels(told, own);
    },
  );
}

function sameLabels(a: Labels = {}, b: Labels = {}): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function sameUid(a: Pod, b: Pod): boolean {
  return a.metadata?.uid === b.metadata?.uid;
}

/** How much a new value counts beside those before it. */
const newestShare = 0.3;

/** One short burst does not make a node look busy, nor does one pause make it look idle. */
function smoothed(before: number | undefined, value: number): number {
  return before === undefined ? value : before + newestShare * (value - before);
}
