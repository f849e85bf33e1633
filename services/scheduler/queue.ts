/**
 * Pods that wait for a node (upstream `scheduling_queue`).
 *
 *   add ─▶ active ──next──▶ in flight ──bound──▶ gone
 *            ▲  ▲               │ refused
 *    backoff─┘  └──event────unschedulable
 *    (1 s … 10 s)   (or 5 min)
 */
import type { Cancel } from "../../ha/runtime/types.ts";
import { Heap, type LoopClock } from "../client/mod.ts";
import type { ClusterEvent, Plugin } from "./framework.ts";
import type { PodInfo } from "./pod-info.ts";

export const queueLimits = {
  backoffFirstMillis: 1_000,
  backoffCeilingMillis: 10_000,
  /** After this a pod is tried again whatever has happened. */
  unschedulableMillisMax: 300_000,
} as const;

interface Waiting {
  info: PodInfo;
  state: "active" | "backoff" | "unschedulable" | "inFlight";
  readonly addedMillis: number;
  readonly order: number;
  attempts: number;
  backoffUntil: number;
  /** Who refused it; events that these wait for bring it back. */
  plugins: ReadonlySet<string>;
  /** Count of events at the time it was taken: later ones may have made room unseen. */
  takenAt: number;
  unschedulableSince: number;
}

export class SchedulingQueue {
  readonly #clock: LoopClock;
  readonly #interest: ReadonlyMap<ClusterEvent, ReadonlySet<string>>;
  readonly #pods = new Map<string, Waiting>();
  readonly #active = new Heap<Waiting>(before);
  readonly #backoff = new Heap<{ readonly pod: Waiting; readonly until: number }>(
    (a, b) => a.until - b.until,
  );
  readonly #lastEvent = new Map<ClusterEvent, number>();
  #closed = false;
  #events = 0;
  #order = 0;
  #taker: ((info: PodInfo | undefined) => void) | undefined;
  #timer: { readonly until: number; readonly cancel: Cancel } | undefined;

  constructor(plugins: readonly Plugin[], clock: LoopClock) {
    this.#clock = clock;
    const interest = new Map<ClusterEvent, Set<string>>();
    for (const { name, events } of plugins) {
      for (const event of events) {
        const names = interest.get(event) ?? new Set();
        interest.set(event, names.add(name));
      }
    }
    this.#interest = interest;
  }

  /** Pods that wait, in whatever state. */
  get length(): number {
    return this.#pods.size;
  }

  /** A pod without a node appeared, or changed in what matters for scheduling. */
  put(info: PodInfo): void {
    const known = this.#pods.get(info.key);
    if (known && known.info.pod.metadata?.uid === info.pod.metadata?.uid) {
      known.info = info;
      if (known.state === "unschedulable") this.#retry(known);
      return;
    }
    const pod: Waiting = {
      info,
      state: "active",
      addedMillis: this.#clock.monotonicMillis(),
      order: this.#order++,
      attempts: 0,
      backoffUntil: 0,
      plugins: new Set(),
      takenAt: 0,
      unschedulableSince: 0,
    };
    this.#pods.set(info.key, pod);
    this.#activate(pod);
  }

  /** Only the copy is newer; nothing that could change the verdict. */
  refresh(info: PodInfo): void {
    const known = this.#pods.get(info.key);
    if (known) known.info = info;
  }

  get(key: string): PodInfo | undefined {
    return this.#pods.get(key)?.info;
  }

  delete(key: string): void {
    this.#pods.delete(key);
  }

  /** The pod to schedule next; undefined when the signal aborts. One caller at a time. */
  next(signal: AbortSignal): Promise<PodInfo | undefined> {
    const ready = this.#pop();
    if (ready || signal.aborted) return Promise.resolve(signal.aborted ? undefined : ready);
    return new Promise((resolve) => {
      const end = (info: PodInfo | undefined) => {
        this.#taker = undefined;
        signal.removeEventListener("abort", stop);
        resolve(info);
      };
      const stop = () => end(undefined);
      this.#taker = end;
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** The pod fits nowhere: it waits until something happens that its refusers wait for. */
  refused(key: string, plugins: ReadonlySet<string>): void {
    const pod = this.#pods.get(key);
    if (pod?.state !== "inFlight") return;
    pod.plugins = plugins;
    this.#setBackoff(pod);
    const missed = [...this.#lastEvent].some(
      ([event, at]) => at > pod.takenAt && this.#concerns(event, pod),
    );
    if (missed) {
      this.#delay(pod);
      return;
    }
    pod.state = "unschedulable";
    pod.unschedulableSince = this.#clock.monotonicMillis();
    this.#arm(pod.unschedulableSince + queueLimits.unschedulableMillisMax);
  }

  /** The attempt broke off for a reason that lies not in the cluster: again after a backoff. */
  failed(key: string): void {
    const pod = this.#pods.get(key);
    if (pod?.state !== "inFlight") return;
    this.#setBackoff(pod);
    this.#delay(pod);
  }

  /** Something happened that may have made room. */
  event(event: ClusterEvent): void {
    this.#lastEvent.set(event, ++this.#events);
    for (const pod of this.#pods.values()) {
      if (pod.state === "unschedulable" && this.#concerns(event, pod)) this.#retry(pod);
    }
  }

  /** What was in flight when this scheduler stopped leading waits again. */
  reset(): void {
    for (const pod of this.#pods.values()) {
      if (pod.state === "inFlight") this.#activate(pod);
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #concerns(event: ClusterEvent, pod: Waiting): boolean {
    const names = this.#interest.get(event);
    return names !== undefined && [...pod.plugins].some((plugin) => names.has(plugin));
  }

  #setBackoff(pod: Waiting): void {
    const { backoffFirstMillis, backoffCeilingMillis } = queueLimits;
    const wait = Math.min(backoffCeilingMillis, backoffFirstMillis * 2 ** (pod.attempts - 1));
    pod.backoffUntil = this.#clock.monotonicMillis() + wait;
  }

  #retry(pod: Waiting): void {
    if (pod.backoffUntil > this.#clock.monotonicMillis()) this.#delay(pod);
    else this.#activate(pod);
  }

  #delay(pod: Waiting): void {
    pod.state = "backoff";
    this.#backoff.push({ pod, until: pod.backoffUntil });
    this.#arm(pod.backoffUntil);
  }

  #activate(pod: Waiting): void {
    pod.state = "active";
    this.#active.push(pod);
    if (!this.#taker) return;
    const info = this.#pop();
    if (info) this.#taker(info);
  }

  #pop(): PodInfo | undefined {
    for (let pod = this.#active.pop(); pod; pod = this.#active.pop()) {
      // Entries of pods that have gone, or moved on, are dropped here instead of being searched.
      if (this.#pods.get(pod.info.key) !== pod || pod.state !== "active") continue;
      pod.state = "inFlight";
      pod.attempts++;
      pod.takenAt = this.#events;
      return pod.info;
    }
    return undefined;
  }

  #arm(until: number): void {
    if (this.#closed) return;
    if (this.#timer && this.#timer.until <= until) return;
    this.#timer?.cancel();
    const wait = Math.max(0, until - this.#clock.monotonicMillis());
    const cancel = this.#clock.after(wait, () => {
      this.#timer = undefined;
      this.#flush();
    });
    this.#timer = { until, cancel };
  }

  #flush(): void {
    const now = this.#clock.monotonicMillis();
    for (let head = this.#backoff.peek(); head && head.until <= now; head = this.#backoff.peek()) {
      this.#backoff.pop();
      const { pod, until } = head;
      if (pod.state === "backoff" && pod.backoffUntil === until) this.#activate(pod);
    }
    let next = this.#backoff.peek()?.until ?? Number.POSITIVE_INFINITY;
    for (const pod of this.#pods.values()) {
      if (pod.state !== "unschedulable") continue;
      const due = pod.unschedulableSince + queueLimits.unschedulableMillisMax;
      if (due <= now) this.#activate(pod);
      else next = Math.min(next, due);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }
}

/** Higher priority, then earlier deadline, then longer waiting. */
function before(a: Waiting, b: Waiting): number {
  if (a.info.priority !== b.info.priority) return b.info.priority - a.info.priority;
  // Two pods without a deadline compare as Infinity - Infinity otherwise.
  if (a.info.deadlineMillis !== b.info.deadlineMillis) {
    return a.info.deadlineMillis < b.info.deadlineMillis ? -1 : 1;
  }
  return a.addedMillis - b.addedMillis || a.order - b.order;
}
