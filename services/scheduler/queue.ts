/**
 * Pods that wait for a node (upstream `scheduling_queue`).
 *
 *   put ─▶ active ──next──▶ in flight ──bound──▶ gone
 *    │      ▲  ▲               │ refused
 *    ▼      │  └──event────unschedulable
 *   gated   └─backoff◀─────────┘ (or 5 min)
 *           (1 s … 10 s)
 *
 * The best waiting pod comes first: a pod that an event has woken is not kept in its backoff while
 * a woken pod of lower rank is tried.
 */
import type { Cancel } from "../../ha/runtime/types.ts";
import { Heap, type KindName, type LoopClock } from "../client/mod.ts";
import type { ClusterEvent, EventRegistration, Framework, QueuedPod } from "./framework/mod.ts";
import type { PodInfo } from "./pod-info.ts";

export interface BackoffLimits {
  readonly backoffFirstMillis: number;
  readonly backoffCeilingMillis: number;
}

const queueLimits = {
  backoffFirstMillis: 1_000,
  backoffCeilingMillis: 10_000,
  /** After this a pod is tried again whatever has happened. */
  unschedulableMillisMax: 300_000,
  /** Events remembered for pods in flight; a pod that has missed more is tried again. */
  recentEventsMax: 256,
} as const;

type State = "gated" | "active" | "backoff" | "unschedulable" | "inFlight";

interface Waiting extends QueuedPod {
  info: PodInfo;
  state: State;
  attempts: number;
  backoffUntil: number;
  /** In backoff: an event has made another attempt worth while, so only the cost speaks for it. */
  woken: boolean;
  /** The plugins that refused it; the events that these wait for bring it back. */
  plugins: ReadonlySet<string>;
  /** Number of events at the time it was taken: later ones may have made room unseen. */
  takenAt: number;
  unschedulableSince: number;
}

interface Interest {
  readonly plugin: string;
  readonly registration: EventRegistration;
}

export class SchedulingQueue {
  readonly #clock: LoopClock;
  readonly #framework: Pick<Framework, "plugins" | "compare" | "preEnqueue">;
  /** By `resource action`. */
  readonly #interests = new Map<string, Interest[]>();
  readonly #pods = new Map<string, Waiting>();
  /** Those that an event may bring back: gated, unschedulable, and woken in their backoff. */
  readonly #parked = new Set<Waiting>();
  readonly #active: Heap<Waiting>;
  readonly #backoff = new Heap<{ readonly pod: Waiting; readonly until: number }>(
    (a, b) => a.until - b.until,
  );
  /** The last events that some plugin waits for, the oldest first. */
  readonly #recent: ClusterEvent[] = [];
  readonly #backoffLimits: BackoffLimits;
  #closed = false;
  #events = 0;
  #order = 0;
  #taker: ((info: PodInfo | undefined) => void) | undefined;
  #timer: { readonly until: number; readonly cancel: Cancel } | undefined;

  constructor(
    framework: Pick<Framework, "plugins" | "compare" | "preEnqueue">,
    clock: LoopClock,
    backoff: Partial<BackoffLimits> = {},
  ) {
    this.#backoffLimits = { ...queueLimits, ...backoff };
    this.#framework = framework;
    this.#clock = clock;
    this.#active = new Heap((a, b) => framework.compare(a, b));
    for (const { name, events = [] } of framework.plugins) {
      for (const registration of events) {
        for (const action of registration.actions) {
          const key = `${registration.resource} ${action}`;
          const known = this.#interests.get(key) ?? [];
          this.#interests.set(key, [...known, { plugin: name, registration }]);
        }
      }
    }
  }

  /** Resources whose events some plugin waits for. */
  get resources(): ReadonlySet<KindName> {
    return new Set(
      this.#framework.plugins.flatMap(({ events = [] }) => events.map(({ resource }) => resource)),
    );
  }

  /** Whether some plugin waits for such events. */
  wants(resource: KindName, action: ClusterEvent["action"]): boolean {
    return this.#interests.has(`${resource} ${action}`);
  }

  /** Pods that wait, in whatever state. */
  get length(): number {
    return this.#pods.size;
  }

  /** Pods by upstream's names of the queues; those in flight wait nowhere. */
  counts(): Record<"active" | "backoff" | "unschedulable" | "gated", number> {
    const counts = { active: 0, backoff: 0, unschedulable: 0, gated: 0 };
    for (const { state } of this.#pods.values()) if (state !== "inFlight") counts[state] += 1;
    return counts;
  }

  /** A pod without a node appeared, or changed in what matters for scheduling. */
  put(info: PodInfo): void {
    const known = this.#pods.get(info.key);
    if (known && known.info.pod.metadata?.uid === info.pod.metadata?.uid) {
      known.info = info;
      if (known.state === "gated") this.#enqueue(known);
      else if (known.state === "unschedulable") this.#retry(known);
    } else {
      const pod: Waiting = {
        info,
        state: "gated",
        addedMillis: this.#clock.monotonicMillis(),
        order: this.#order++,
        attempts: 0,
        backoffUntil: 0,
        woken: false,
        plugins: new Set(),
        takenAt: 0,
        unschedulableSince: 0,
      };
      if (known) this.#parked.delete(known);
      this.#pods.set(info.key, pod);
      this.#enqueue(pod);
    }
    this.#handOver();
  }

  /** Only the copy is newer; nothing has changed that could change the verdict. */
  refresh(info: PodInfo): void {
    const known = this.#pods.get(info.key);
    if (known) known.info = info;
  }

  get(key: string): PodInfo | undefined {
    return this.#pods.get(key)?.info;
  }

  delete(key: string): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) return;
    this.#pods.delete(key);
    this.#parked.delete(pod);
  }

  /** The pod to schedule next; undefined when the signal aborts. One caller at a time. */
  next(signal: AbortSignal): Promise<PodInfo | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const ready = this.#pop();
    if (ready) return Promise.resolve(ready);
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

  /** Takes the pods that are meant, wherever they wait; gated ones stay. The best come first. */
  take(isMeant: (info: PodInfo) => boolean): readonly PodInfo[] {
    const taken = [...this.#pods.values()].filter(
      ({ info, state }) => state !== "inFlight" && state !== "gated" && isMeant(info),
    );
    for (const pod of taken) this.#setOff(pod);
    return taken.sort((a, b) => this.#framework.compare(a, b)).map(({ info }) => info);
  }

  /** The pod fits nowhere: it waits until something happens that the refusing plugins wait for. */
  refused(key: string, plugins: ReadonlySet<string>): void {
    const pod = this.#pods.get(key);
    if (pod?.state !== "inFlight") return;
    pod.plugins = plugins;
    this.#setBackoff(pod);
    const missed = this.#events - pod.takenAt;
    const seen = missed === 0 ? [] : this.#recent.slice(-missed);
    if (seen.length < missed || seen.some((event) => this.#concerns(event, pod))) {
      this.#delay(pod, true);
    } else {
      pod.state = "unschedulable";
      this.#parked.add(pod);
      pod.unschedulableSince = this.#clock.monotonicMillis();
      this.#arm(pod.unschedulableSince + queueLimits.unschedulableMillisMax);
    }
  }

  /** The attempt broke off for a reason that lies not in the cluster: again after a backoff. */
  failed(key: string): void {
    const pod = this.#pods.get(key);
    if (pod?.state !== "inFlight") return;
    this.#setBackoff(pod);
    this.#delay(pod, false);
  }

  /** Something happened that may have made room. */
  event(event: ClusterEvent): void {
    if (!this.wants(event.resource, event.action)) return;
    this.#events++;
    this.#recent.push(event);
    if (this.#recent.length > queueLimits.recentEventsMax) this.#recent.shift();
    const woken: Waiting[] = [];
    for (const pod of this.#parked) {
      if (pod.state === "gated" && this.#framework.preEnqueue(pod.info) === undefined) {
        woken.push(pod);
      } else if (pod.state === "unschedulable" && this.#concerns(event, pod)) woken.push(pod);
      else if (pod.state === "backoff" && pod.woken) woken.push(pod);
    }
    this.#wake(woken);
  }

  /** What was in flight when this scheduler stopped leading waits again. */
  reset(): void {
    for (const pod of this.#pods.values()) {
      if (pod.state === "inFlight") this.#enqueue(pod);
    }
    this.#handOver();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Makes active every pod whose backoff is over, every better one, and the best in any case; the
   * others wait out their backoff. So no pod is overtaken, and a storm of events costs one attempt
   * each, not one of every pod.
   */
  #wake(pods: Waiting[]): void {
    const now = this.#clock.monotonicMillis();
    const ranked = pods.sort((a, b) => this.#framework.compare(a, b));
    const last = ranked.findLastIndex(({ backoffUntil }) => backoffUntil <= now);
    for (const [index, pod] of ranked.entries()) {
      if (index <= Math.max(0, last)) this.#activate(pod);
      else if (pod.state !== "backoff") this.#delay(pod, true);
    }
    this.#handOver();
  }

  #concerns(event: ClusterEvent, pod: Waiting): boolean {
    const interests = this.#interests.get(`${event.resource} ${event.action}`) ?? [];
    return interests.some(
      ({ plugin, registration: { hint } }) =>
        pod.plugins.has(plugin) && (hint === undefined || hint(pod.info, event)),
    );
  }

  #setBackoff(pod: Waiting): void {
    const { backoffFirstMillis, backoffCeilingMillis } = this.#backoffLimits;
    const wait = Math.min(backoffCeilingMillis, backoffFirstMillis * 2 ** (pod.attempts - 1));
    pod.backoffUntil = this.#clock.monotonicMillis() + wait;
  }

  #retry(pod: Waiting): void {
    if (pod.backoffUntil > this.#clock.monotonicMillis()) this.#delay(pod, true);
    else this.#enqueue(pod);
  }

  #delay(pod: Waiting, woken: boolean): void {
    pod.state = "backoff";
    pod.woken = woken;
    if (woken) this.#parked.add(pod);
    else this.#parked.delete(pod);
    this.#backoff.push({ pod, until: pod.backoffUntil });
    this.#arm(pod.backoffUntil);
  }

  /** Active, or gated when a plugin does not let it into the queue. */
  #enqueue(pod: Waiting): void {
    if (this.#framework.preEnqueue(pod.info)) {
      pod.state = "gated";
      this.#parked.add(pod);
    } else this.#activate(pod);
  }

  #activate(pod: Waiting): void {
    pod.state = "active";
    this.#parked.delete(pod);
    this.#active.push(pod);
  }

  /** Only after everything that became active at once is in order. */
  #handOver(): void {
    if (!this.#taker) return;
    const info = this.#pop();
    if (info) this.#taker(info);
  }

  #pop(): PodInfo | undefined {
    for (let pod = this.#active.pop(); pod; pod = this.#active.pop()) {
      // Entries of pods that have gone, or moved on, are dropped here instead of being searched.
      if (this.#pods.get(pod.info.key) !== pod || pod.state !== "active") continue;
      this.#setOff(pod);
      return pod.info;
    }
    return undefined;
  }

  #setOff(pod: Waiting): void {
    pod.state = "inFlight";
    pod.attempts++;
    pod.takenAt = this.#events;
    this.#parked.delete(pod);
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
    let someDue = false;
    for (let head = this.#backoff.peek(); head && head.until <= now; head = this.#backoff.peek()) {
      this.#backoff.pop();
      const { pod, until } = head;
      if (this.#pods.get(pod.info.key) !== pod) continue;
      if (pod.state !== "backoff" || pod.backoffUntil !== until) continue;
      someDue = true;
      pod.woken = true;
      this.#parked.add(pod);
    }
    const due: Waiting[] = [];
    let next = this.#backoff.peek()?.until ?? Number.POSITIVE_INFINITY;
    for (const pod of this.#parked) {
      if (pod.state === "backoff" && pod.woken && someDue) due.push(pod);
      if (pod.state !== "unschedulable") continue;
      const until = pod.unschedulableSince + queueLimits.unschedulableMillisMax;
      if (until <= now) due.push(pod);
      else next = Math.min(next, until);
    }
    if (due.length > 0) this.#wake(due);
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
