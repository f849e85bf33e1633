import type { FencingToken } from "../../ha/election/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import {
  type EventRecorder,
  type InformerFactory,
  isNotFound,
  type LoopClock,
  sleep,
  type TriremeClient,
} from "../client/mod.ts";
import { formatGoDuration, parseTime } from "../kinds/facts.ts";
import { Binder, type BinderLimits, type Leading } from "./binder.ts";
import { assumedMillisMax, ClusterCache } from "./cache.ts";
import type { Configuration } from "./configuration.ts";
import { Deadlines } from "./deadlines.ts";
import { Cycle, type Plugin, type PluginRefusal } from "./framework/mod.ts";
import { groupInNeed, scheduleGroup } from "./group-cycle.ts";
import { type AttemptResult, countAttempt } from "./metrics.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodGroup } from "./plugins/pod-groups.ts";
import { type PodInfo, podInfo } from "./pod-info.ts";
import { Profiles } from "./profiles.ts";
import { type BackoffLimits, SchedulingQueue } from "./queue.ts";
import { type Report, reportWaiting } from "./report.ts";
import { type Listers, volumeLookup } from "./volume-lookup.ts";
import { isWaiting, podEvent, watchCluster } from "./watch.ts";
import { workloadLookup } from "./workload-lookup.ts";

export interface SchedulerOptions {
  readonly client: Pick<TriremeClient, "bind" | "bindAll" | "pods">;
  readonly informers: InformerFactory;
  readonly recorder: EventRecorder;
  readonly plugins: readonly Plugin[];
  /** Only pods whose spec.schedulerName is this; unless `configuration` has other profiles. */
  readonly schedulerName: string;
  readonly configuration?: Configuration | undefined;
  readonly clock: LoopClock;
  readonly log: Log;
  readonly random?: () => number;
  /** Absent: what suits a large cluster. */
  readonly bindings?: BinderLimits;
}

/** Bindings and reports under way at once; the loop waits when there are more. */
const underWayMax = 512;

/** So long the loop goes on before it lets other work of the process have its turn. */
const turnMillisMax = 10;

/** Pods that are remembered for not being told of again. */
const timedOutMax = 10_000;

/**
 * Keeps its view of the cluster for as long as its informers run, so that one that is elected
 * schedules as soon as they have synced; places pods only within {@link Scheduler.lead}.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #profiles: Profiles;
  readonly #cache: ClusterCache;
  readonly #queue: SchedulingQueue;
  readonly #deadlines: Deadlines;
  /** When the present attempt of a pod began. */
  readonly #began = new WeakMap<PodInfo, number>();
  /** What is being written on pods of why they wait. */
  readonly #reporting = new Map<string, string>();
  /** uids of pods of which was told that their group has waited too long. */
  readonly #timedOut = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #binder: Binder;
  /** Lets the loop go on that waits until less is under way. */
  #roomMade: () => void = () => {};
  /** Pods that wait for a permit; not counted as bindings under way. */
  readonly #parked = new Set<Promise<void>>();

  constructor(options: SchedulerOptions) {
    const { plugins, clock, informers, schedulerName, random = Math.random } = options;
    const { configuration = { profiles: [{ schedulerName, plugins }] } } = options;
    this.#options = options;
    this.#binder = new Binder(options.client, options.bindings);
    const listers: Listers = (kind) => informers.informer(kind).lister;
    this.#cache = new ClusterCache(volumeLookup(listers), workloadLookup(listers));
    const timing = { random, after: clock.after.bind(clock) };
    this.#profiles = new Profiles(configuration.profiles, timing);
    this.#queue = new SchedulingQueue(this.#profiles, clock, backoffOf(configuration));
    this.#deadlines = new Deadlines(options);
    const targets = { cache: this.#cache, queue: this.#queue, deadlines: this.#deadlines };
    watchCluster({ ...targets, informers, profiles: this.#profiles });
  }

  /** Pods that wait for a node. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** The same by the state in which they wait. */
  pending(): { readonly labels: { readonly queue: string }; readonly value: number }[] {
    return Object.entries(this.#queue.counts()).map(([queue, value]) => ({
      labels: { queue },
      value,
    }));
  }

  /** Schedules until the signal aborts, and resolves when every binding under way has ended. */
  async lead(fence: FencingToken | undefined, signal: AbortSignal): Promise<void> {
    const { clock, informers } = this.#options;
    await informers.whenSynced(signal);
    let cancel = () => {};
    const expire = () => {
      for (const key of this.#cache.expire(clock.monotonicMillis())) this.#lostAssumption(key);
      cancel = clock.after(assumedMillisMax / 10, expire);
    };
    expire();
    this.#deadlines.lead({ fence, signal });
    try {
      const leading = { fence, signal };
      let turnBegan = clock.monotonicMillis();
      for (;;) {
        while (this.#underWay.size >= underWayMax) await this.#room();
        if (clock.monotonicMillis() - turnBegan > turnMillisMax) {
          await sleep(clock, 0, signal);
          turnBegan = clock.monotonicMillis();
        }
        const info = await this.#queue.next(signal);
        if (!info) break;
        await this.#scheduleOne(info, leading);
      }
    } finally {
      cancel();
      await Promise.allSettled([...this.#underWay, ...this.#parked]);
      await Promise.allSettled(this.#underWay);
      this.#queue.reset();
    }
  }

  /** Ends its timers; for good. */
  close(): void {
    this.#queue.close();
    this.#deadlines.close();
  }

  /** The scheduling cycle of one pod. Never rejects. */
  async #scheduleOne(info: PodInfo, leading: Leading): Promise<void> {
    if (info.pod.metadata?.deletionTimestamp || this.#cache.isPlaced(info.key)) {
      this.#queue.delete(info.key);
      return;
    }
    const group = groupInNeed(info, this.#cache);
    if (group !== undefined) {
      await this.#scheduleGroup(info, group, leading);
      return;
    }
    this.#began.set(info, this.#options.clock.monotonicMillis());
    const cycle = new Cycle(info, this.#cache.snapshot);
    try {
      const placement = this.#profiles.of(info).schedule(cycle);
      if ("node" in placement) {
        this.#place(cycle, placement.node, leading);
        return;
      }
      const { message, plugins, diagnosis } = placement.refusal;
      const room = await this.#profiles.of(info).postFilter(cycle, diagnosis, leading);
      const { nominatedNode } = room ?? {};
      if (nominatedNode) this.#cache.snapshot.nominations.set(info, nominatedNode);
      else if (nominatedNode === "") this.#cache.snapshot.nominations.delete(info.key);
      this.#queue.refused(info.key, plugins);
      this.#count(info, "unschedulable");
      const full = room?.message ? `${message} ${room.message}` : message;
      this.#report(info, "Unschedulable", full, leading, nominatedNode);
    } catch (error) {
      this.#failed(info, error, leading);
    }
  }

  /** Of all pods of the group that wait. */
  async #scheduleGroup(info: PodInfo, group: PodGroup, leading: Leading): Promise<void> {
    const others = this.#queue.take((other) => groupInNeed(other, this.#cache)?.key === group.key);
    const members = [info, ...others].filter(({ key }) => !this.#cache.isPlaced(key));
    const now = this.#options.clock.monotonicMillis();
    for (const member of members) this.#began.set(member, now);
    try {
      const framework = this.#profiles.of(info);
      const outcome = scheduleGroup(framework, this.#cache, group, members, leading);
      for (const { cycle, node } of outcome.placed) this.#place(cycle, node, leading);
      for (const { make } of outcome.rooms) await make();
      for (const { info: member, refusal } of outcome.refused) {
        this.#queue.refused(member.key, refusal.plugins);
        this.#count(member, "unschedulable");
        const node = outcome.nominated.get(member.key);
        this.#report(member, "Unschedulable", refusal.message, leading, node);
      }
      if (outcome.placed.length === 0) this.#groupWaits(members, group);
    } catch (error) {
      for (const member of members) {
        this.#cache.forget(member.key);
        this.#failed(member, error, leading);
      }
    }
  }

  #groupWaits(members: readonly PodInfo[], { name, timeoutMillis }: PodGroup): void {
    const { clock, recorder } = this.#options;
    for (const { key, pod } of members) {
      const created = parseTime(pod.metadata?.creationTimestamp) ?? clock.wallMillis();
      const { uid = "" } = pod.metadata ?? {};
      if (this.#timedOut.has(uid) || clock.wallMillis() - created < timeoutMillis) continue;
      if (this.#timedOut.size >= timedOutMax) this.#timedOut.clear();
      this.#timedOut.add(uid);
      const within = `within ${formatGoDuration(timeoutMillis)}`;
      const text = `pod group ${JSON.stringify(name)} has found no room ${within}; ${key} waits on`;
      recorder.event({ ...pod, kind: "Pod", apiVersion: "v1" }, "Warning", "PodGroupTimeout", text);
    }
  }

  /** From here on the pod counts as on the node, until the API has it or the attempt fails. */
  #place(cycle: Cycle, node: NodeInfo, leading: Leading): void {
    this.#cache.assume(cycle.pod, node.name);
    try {
      const refusal = this.#profiles.of(cycle.pod).reserve(cycle, node);
      if (refusal) {
        this.#takeBack(cycle.pod, node.name);
        this.#refused(cycle.pod, refusal, leading);
        return;
      }
      const verdict = this.#profiles.of(cycle.pod).permit(cycle, node);
      if ("plugin" in verdict) {
        this.#undo(cycle, node);
        this.#refused(cycle.pod, verdict, leading);
      } else if (verdict.length === 0) {
        this.#track(this.#underWay, this.#bindingCycle(cycle, node, leading));
      } else {
        const permitted = this.#profiles
          .of(cycle.pod)
          .waitForPermit(cycle.pod, verdict, leading.signal);
        this.#track(this.#parked, this.#afterPermit(permitted, cycle, node, leading));
      }
    } catch (error) {
      this.#undo(cycle, node);
      throw error;
    }
  }

  async #afterPermit(
    permitted: Promise<PluginRefusal | undefined>,
    cycle: Cycle,
    node: NodeInfo,
    leading: Leading,
  ): Promise<void> {
    try {
      const refusal = await permitted;
      if (!refusal) {
        this.#track(this.#underWay, this.#bindingCycle(cycle, node, leading));
        return;
      }
      this.#undo(cycle, node);
      // Leadership has ended: the pod is in flight still, and is put back with the others.
      if (!leading.signal.aborted) this.#refused(cycle.pod, refusal, leading);
    } catch (error) {
      this.#undo(cycle, node);
      this.#failed(cycle.pod, error, leading);
    }
  }

  async #bindingCycle(cycle: Cycle, node: NodeInfo, leading: Leading): Promise<void> {
    const { log, recorder, clock } = this.#options;
    const info = cycle.pod;
    const { signal } = leading;
    try {
      const refusal = await this.#profiles.of(cycle.pod).preBind(cycle, node, signal);
      if (refusal) {
        this.#undo(cycle, node);
        this.#refused(info, refusal, leading);
        return;
      }
      const { name = "", namespace = "", uid } = info.pod.metadata ?? {};
      const pod = { name, namespace, ...(uid !== undefined && { uid }) };
      const bind = () => this.#binder.bind(pod, node.name, leading);
      await this.#profiles.of(cycle.pod).bind(cycle, node, { signal, bind });
    } catch (thrown) {
      this.#undo(cycle, node);
      this.#count(info, "error");
      const error = StatusError.from(thrown);
      log.info("a pod could not be bound", {
        pod: info.key,
        node: node.name,
        error: error.message,
      });
      // Gone: the watch will say so. Bound by another scheduler: the retry finds it placed.
      if (isNotFound(error)) this.#queue.delete(info.key);
      else this.#queue.failed(info.key);
      return;
    }
    this.#count(info, "scheduled");
    this.#cache.bound(info.key, clock.monotonicMillis());
    this.#queue.delete(info.key);
    const text = `Successfully assigned ${info.key} to ${node.name}`;
    recorder.event({ ...info.pod, kind: "Pod", apiVersion: "v1" }, "Normal", "Scheduled", text);
    this.#profiles.of(cycle.pod).postBind(cycle, node, (plugin, error) => {
      log.warn("a plugin failed after a binding", { plugin, pod: info.key, error });
    });
  }

  #undo(cycle: Cycle, node: NodeInfo): void {
    this.#profiles.of(cycle.pod).unreserve(cycle, node);
    this.#takeBack(cycle.pod, node.name);
  }

  /** The room on the node is free again, for others too. */
  #takeBack(info: PodInfo, nodeName: string): void {
    this.#cache.forget(info.key);
    const freed = { ...info.pod, spec: { ...info.pod.spec, nodeName } };
    this.#queue.event(podEvent("deleted", freed, undefined));
  }

  /** A plugin has refused the pod after a node was chosen. */
  #refused(info: PodInfo, { plugin, reasons }: PluginRefusal, leading: Leading): void {
    this.#queue.refused(info.key, new Set([plugin]));
    this.#count(info, "unschedulable");
    this.#report(info, "Unschedulable", reasons.join(", "), leading);
  }

  #failed(info: PodInfo, thrown: unknown, leading: Leading): void {
    const { message } = StatusError.from(thrown);
    this.#options.log.error("an attempt to schedule a pod failed", {
      pod: info.key,
      error: thrown,
    });
    this.#queue.failed(info.key);
    this.#count(info, "error");
    this.#report(info, "SchedulerError", message, leading);
  }

  #count(info: PodInfo, result: AttemptResult): void {
    const { clock } = this.#options;
    const schedulerName = info.pod.spec?.schedulerName ?? "default-scheduler";
    const now = clock.monotonicMillis();
    countAttempt(result, schedulerName, (now - (this.#began.get(info) ?? now)) / 1_000);
  }

  #report(
    info: PodInfo,
    reason: Report["reason"],
    message: string,
    leading: Leading,
    nominatedNode?: string,
  ): void {
    // The newest copy: an older one would only meet a conflict.
    const pod = this.#queue.get(info.key)?.pod ?? info.pod;
    const report = { reason, message, nominatedNode };
    const text = JSON.stringify(report);
    if (this.#reporting.get(info.key) === text) return;
    this.#reporting.set(info.key, text);
    const told = reportWaiting(this.#options, pod, report, leading).then((written) => {
      if (this.#reporting.get(info.key) === text) this.#reporting.delete(info.key);
      const present = this.#queue.get(info.key)?.pod.metadata;
      // The next attempt may come before the watch.
      const known = present?.resourceVersion === pod.metadata?.resourceVersion;
      if (written && known) this.#queue.refresh(podInfo(written));
    });
    this.#track(this.#underWay, told);
  }

  #track(set: Set<Promise<void>>, work: Promise<void>): void {
    const tracked = work.finally(() => {
      set.delete(tracked);
      if (this.#underWay.size < underWayMax) this.#roomMade();
    });
    set.add(tracked);
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#roomMade = resolve;
    });
  }

  #lostAssumption(key: string): void {
    const { log, informers } = this.#options;
    log.warn("a binding was never confirmed; the pod is scheduled again", { pod: key });
    const [namespace, name = ""] = key.split("/");
    const current = informers.informer("Pod").lister.get(name, namespace);
    if (current && isWaiting(current, this.#profiles)) this.#queue.put(podInfo(current));
  }
}

function backoffOf(configuration: Configuration): Partial<BackoffLimits> {
  const { initialBackoffSeconds: first, maxBackoffSeconds: most } = configuration;
  return {
    ...(first !== undefined && { backoffFirstMillis: first * 1_000 }),
    ...(most !== undefined && { backoffCeilingMillis: most * 1_000 }),
  };
}
