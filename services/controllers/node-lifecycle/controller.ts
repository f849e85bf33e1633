import type { Node, NodeCondition, Pod } from "../../../proto/gen/core.ts";
import { type Again, isConflict, isNotFound, keyOf } from "../../client/mod.ts";
import { isActive, isFinished, rfc3339Seconds, withCondition } from "../../kinds/facts.ts";
import { inParallel } from "../batches.ts";
import { isReady } from "../pods.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { LivenessTracker } from "./liveness.ts";
import { EvictionPace, type NodeCount, type PaceOptions } from "./pace.ts";
import { evictionTime, type Health, sameTaints, TaintTimes, wantedTaints } from "./taints.ts";

export interface NodeLifecycleOptions extends PaceOptions {
  /** A node silent for longer is unreachable. */
  readonly graceMillis: number;
  /** How often every node is looked at. */
  readonly periodMillis: number;
}

const nodeNameIndex = "nodeName";
/** Of its grace; a node that is heard of in every write of its apiserver is never so late. */
const suspectShare = 0.75;
/** Pods of one node that are evicted, or marked, at a time. */
const podsParallel = 16;

/** Judges nodes by their heartbeats, taints the lost ones and drives their pods off. */
export function nodeLifecycleController(options: NodeLifecycleOptions): Controller {
  return {
    name: "node-lifecycle",
    informers: ["Node", "NodeLiveness", "Pod"],
    workers: 16,
    start(context) {
      const loop = new NodeLifecycleLoop(context, options);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

interface NodeCounts {
  readonly atMillis: number;
  /** Their names. */
  readonly unready: ReadonlySet<string>;
  readonly zones: ReadonlyMap<string, NodeCount>;
  readonly all: NodeCount;
}

/** How long a count of the nodes stands. */
const countedMillis = 1_000;

class NodeLifecycleLoop {
  readonly #context: ControllerContext;
  readonly #options: NodeLifecycleOptions;
  readonly #tracker: LivenessTracker;
  readonly #paces = new Map<string, EvictionPace>();
  readonly #taintTimes: TaintTimes;
  #counted: NodeCounts | undefined;

  constructor(context: ControllerContext, options: NodeLifecycleOptions) {
    this.#context = context;
    this.#options = options;
    this.#tracker = new LivenessTracker(context.clock, options.graceMillis * suspectShare);
    this.#taintTimes = new TaintTimes(context.clock);
  }

  watch(): void {
    const { informer, on, queue } = this.#context;
    const [tracker, times] = [this.#tracker, this.#taintTimes];
    informer("Pod").addIndex(nodeNameIndex, podNodes);
    on("Node", {
      added(node) {
        tracker.noteNode(node);
        times.note(keyOf(node), node.spec?.taints ?? []);
        queue.add(keyOf(node));
      },
      updated(_, node) {
        tracker.noteNode(node);
        times.note(keyOf(node), node.spec?.taints ?? []);
        queue.add(keyOf(node));
      },
      deleted(node) {
        tracker.forget(keyOf(node));
        times.forget(keyOf(node));
      },
    });
    const heard = (name: string) => {
      const node = informer("Node").lister.get(name);
      if (node && healthOf(node) === "unreachable") queue.add(name);
    };
    on("NodeLiveness", {
      added: (liveness) => tracker.noteLiveness(liveness).forEach(heard),
      updated: (_, liveness) => tracker.noteLiveness(liveness).forEach(heard),
    });
    // Pods that appear on a node which drives pods off must go too.
    const placed = (pod: Pod) => {
      const node = informer("Node").lister.get(pod.spec?.nodeName ?? "");
      if (node?.spec?.taints?.some(({ effect }) => effect === "NoExecute")) queue.add(keyOf(node));
    };
    on("Pod", { added: placed, updated: (_, pod) => placed(pod) });
  }

  async reconcile(name: string): Promise<Again | undefined> {
    const { informer, queue } = this.#context;
    const cached = informer("Node").lister.get(name);
    if (!cached) return undefined;
    const { graceMillis, periodMillis } = this.#options;
    const leftMillis = graceMillis - this.#tracker.silentMillis(name);
    // Before anything can fail: the backoff after failures must not exceed the period. A node that
    // stays silent is looked at as soon as its grace is over; of one that is well there is nothing
    // to see before.
    const isWell = leftMillis >= 0 && healthOf(cached) === "ready";
    const graceOver = leftMillis < 0 ? periodMillis : leftMillis + 1;
    queue.addAfter(name, isWell ? graceOver : Math.min(periodMillis, graceOver));
    let node = leftMillis < 0 ? await this.#markUnknown(cached) : cached;
    const health = healthOf(node);
    node = await this.#taint(node, health);
    if (health !== "ready") await this.#markPodsNotReady(name);
    const next = await this.#evict(node);
    return next === undefined ? undefined : { after: next - this.#context.clock.wallMillis() };
  }

  /** No heartbeat for the grace: nothing is known of the node any more. */
  async #markUnknown(node: Node): Promise<Node> {
    const { client, clock, log, recorder, write } = this.#context;
    const known = node.status?.conditions ?? [];
    const ready = known.find(({ type }) => type === "Ready");
    if (ready?.status === "Unknown") return node;
    const now = rfc3339Seconds(clock.wallMillis());
    const unknown = (condition: NodeCondition): NodeCondition => ({
      ...condition,
      status: "Unknown",
      reason: ready ? "NodeStatusUnknown" : "NodeStatusNeverUpdated",
      message: ready ? "Kubelet stopped posting node status." : "Kubelet never posted node status.",
      lastTransitionTime: now,
    });
    const conditions = known.map((each) => (isKubelets(each) ? unknown(each) : each));
    if (!ready) conditions.push(unknown({ type: "Ready", status: "Unknown" }));
    log.warn("a node fell silent", { node: keyOf(node), graceMillis: this.#options.graceMillis });
    const status = { ...node.status, conditions };
    const updated = await client.nodes.updateStatus({ ...node, status }, write);
    const text = `Node ${keyOf(node)} status is now: NodeNotReady`;
    recorder.event({ ...node, apiVersion: "v1", kind: "Node" }, "Normal", "NodeNotReady", text);
    return updated;
  }

  async #taint(node: Node, health: Health): Promise<Node> {
    const { client, clock, log, write } = this.#context;
    const current = node.spec?.taints ?? [];
    const now = rfc3339Seconds(clock.wallMillis());
    let wanted = wantedTaints(node, health, false, now);
    // A node that has only just registered has no pods to drive off.
    const registered = node.status?.conditions?.some(({ type }) => type === "Ready");
    if (registered && health !== "ready" && !wanted.some(({ effect }) => effect === "NoExecute")) {
      const zone = zoneOf(node);
      const counts = this.#counts();
      // The verdict on this one may be newer than the counts.
      const more = counts.unready.has(keyOf(node)) ? 0 : 1;
      const judged = (count: NodeCount) => ({ ...count, unready: count.unready + more });
      const inZone = counts.zones.get(zone) ?? { unready: 0, total: 1 };
      if (this.#paceOf(zone).take(judged(inZone), judged(counts.all))) {
        wanted = wantedTaints(node, health, true, now);
      }
    }
    if (sameTaints(current, wanted)) return node;
    log.info("changing a node's taints", { node: keyOf(node), health });
    return client.nodes.update({ ...node, spec: { ...node.spec, taints: wanted } }, write);
  }

  #paceOf(zone: string): EvictionPace {
    const known = this.#paces.get(zone);
    if (known !== undefined) return known;
    const pace = new EvictionPace(this.#options, this.#context.clock);
    this.#paces.set(zone, pace);
    return pace;
  }

  /**
   * A node that is late counts as unready: when all fall silent together, because nothing could hear
   * them, not even the first may be emptied. Counted once a second: then many nodes are judged.
   */
  #counts(): NodeCounts {
    const now = this.#context.clock.monotonicMillis();
    const known = this.#counted;
    if (known !== undefined && now - known.atMillis < countedMillis) return known;
    const lateMillis = this.#options.graceMillis * suspectShare;
    const unready = new Set<string>();
    const zones = new Map<string, NodeCount>();
    const nodes = this.#context.informer("Node").lister.list();
    for (const node of nodes) {
      const name = keyOf(node);
      const isLost = healthOf(node) !== "ready" || this.#tracker.silentMillis(name) > lateMillis;
      if (isLost) unready.add(name);
      const zone = zoneOf(node);
      const before = zones.get(zone) ?? { unready: 0, total: 0 };
      zones.set(zone, { unready: before.unready + (isLost ? 1 : 0), total: before.total + 1 });
    }
    const all = { unready: unready.size, total: nodes.length };
    this.#counted = { atMillis: now, unready, zones, all };
    return this.#counted;
  }

  /** Services must not send requests to pods whose node is silent or not ready. */
  async #markPodsNotReady(nodeName: string): Promise<void> {
    const { client, clock, informer, recorder, write } = this.#context;
    const lastTransitionTime = rfc3339Seconds(clock.wallMillis());
    const ready = informer("Pod")
      .lister.byIndex(nodeNameIndex, nodeName)
      .filter((pod) => isReady(pod) && !isFinished(pod));
    await inParallel(ready, podsParallel, async (pod) => {
      const conditions = (pod.status?.conditions ?? []).map((condition) =>
        condition.type === "Ready"
          ? { ...condition, status: "False", reason: "NodeNotReady", lastTransitionTime }
          : condition,
      );
      const about = { ...pod, apiVersion: "v1", kind: "Pod" };
      try {
        await client.pods.updateStatus({ ...pod, status: { ...pod.status, conditions } }, write);
        recorder.event(about, "Warning", "NodeNotReady", "Node is not ready");
      } catch (error) {
        // Gone, or changed meanwhile: the next look decides anew.
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    });
  }

  /** Deletes the pods whose time on this node is over; answers when the next one's is. */
  async #evict(node: Node): Promise<number | undefined> {
    const { clock, informer } = this.#context;
    const taints = node.spec?.taints ?? [];
    const name = keyOf(node);
    const now = clock.wallMillis();
    const going: Pod[] = [];
    let next: number | undefined;
    for (const pod of informer("Pod").lister.byIndex(nodeNameIndex, name)) {
      if (!isActive(pod)) continue;
      const due = evictionTime(pod, taints, (taint) => this.#taintTimes.since(name, taint));
      if (due === undefined) continue;
      if (due <= now) going.push(pod);
      else next = Math.min(next ?? Infinity, due);
    }
    await inParallel(going, podsParallel, (pod) => this.#evictPod(pod, name));
    return next;
  }

  async #evictPod(pod: Pod, nodeName: string): Promise<void> {
    const { client, clock, log, recorder, write } = this.#context;
    const { name = "", namespace, uid = "" } = pod.metadata ?? {};
    log.info("evicting a pod because of its node's taints", { pod: keyOf(pod), node: nodeName });
    const text = `Marking for deletion Pod ${keyOf(pod)}`;
    const about = { ...pod, apiVersion: "v1", kind: "Pod" };
    recorder.event(about, "Normal", "TaintManagerEviction", text);
    const conditions = withCondition(pod.status?.conditions, tainted, clock.wallMillis());
    try {
      await client.pods.updateStatus({ ...pod, status: { ...pod.status, conditions } }, write);
      await client.pods.delete(name, namespace, { ...write, preconditions: { uid } });
    } catch (error) {
      // Gone already, or replaced by another pod of that name, which this eviction does not mean.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

/** By this, what owns the pod knows that the pod itself has not failed. */
const tainted = {
  type: "DisruptionTarget",
  status: "True",
  reason: "DeletionByTaintManager",
  message: "Taint manager: deleting due to NoExecute taint",
};

function zoneOf({ metadata }: Node): string {
  const { labels = {} } = metadata ?? {};
  const [region, zone] = ["region", "zone"].map((name) => labels[`topology.kubernetes.io/${name}`]);
  return `${region ?? ""}:${zone ?? ""}`;
}

function podNodes(pod: Pod): readonly string[] {
  return pod.spec?.nodeName ? [pod.spec.nodeName] : [];
}

function healthOf(node: Node): Health {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  // A node that never said anything gets its grace first, but no pods.
  if (ready?.status === "True") return "ready";
  return ready?.status === "Unknown" ? "unreachable" : "notReady";
}

function isKubelets({ type }: NodeCondition): boolean {
  return ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].includes(type ?? "");
}
