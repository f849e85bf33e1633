/** Runs the plugins of a scheduler, stage by stage. Holds nothing that matters beyond a cycle. */
import { formatGoDuration } from "../../kinds/facts.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import { AlikePods } from "./alike.ts";
import type { Cycle } from "./cycle.ts";
import { type Explanation, explainCycle } from "./explain.ts";
import { findNodes, nodeVerdict, putOn, takeOff } from "./find-nodes.ts";
import { type Placement, placementRefused } from "./placement.ts";
import { chooseNode, scoreNodes } from "./score-nodes.ts";
import {
  type BindContext,
  type Diagnosis,
  type PermitWait,
  type Plugin,
  type PostFilterContext,
  type PostFilterResult,
  permitMillisMax,
  type QueuedPod,
  type Refusal,
  type Room,
} from "./types.ts";

/** A refusal and the plugin it comes from. */
export interface PluginRefusal extends Refusal {
  readonly plugin: string;
}

export interface FoundRoom extends Room {
  /** Ends the victims. */
  make(): Promise<void>;
}

export interface FrameworkOptions {
  readonly plugins: readonly Plugin[];
  /** Uniform in 0..1; breaks ties between nodes. */
  readonly random: () => number;
  /** So many suitable nodes are enough; absent: a share that falls with the number of nodes. */
  readonly percentageOfNodesToScore?: number | undefined;
  /** Calls back after so many milliseconds; answers how to cancel that. */
  readonly after: (millis: number, callback: () => void) => () => void;
}

export class Framework {
  readonly plugins: readonly Plugin[];
  readonly #options: FrameworkOptions;
  readonly #sort: (a: QueuedPod, b: QueuedPod) => number;
  readonly #preEnqueue: readonly Plugin[];
  readonly #postFilter: readonly Plugin[];
  /** How to refuse each pod that waits for a permit, by its key. */
  readonly #parked = new Map<string, (plugin: string, reason: string) => void>();
  readonly #alike: AlikePods;
  /** Where the next search for nodes begins, so that all of them get their turn. */
  #searchFrom = 0;

  /** Throws when two plugins have one name, or when not exactly one sorts the queue. */
  constructor(options: FrameworkOptions) {
    const { plugins } = options;
    const names = new Set<string>();
    for (const { name, score } of plugins) {
      if (names.has(name)) throw new RangeError(`two scheduler plugins are called "${name}"`);
      names.add(name);
      if (score && !(score.weight > 0)) throw new RangeError(`${name}: its weight is not positive`);
    }
    const sorters = plugins.filter(({ queueSort }) => queueSort !== undefined);
    const [sorter] = sorters;
    if (sorters.length !== 1 || !sorter?.queueSort) {
      throw new RangeError(`${sorters.length} scheduler plugins sort the queue; exactly one must`);
    }
    this.#sort = sorter.queueSort.bind(sorter);
    this.plugins = plugins;
    this.#alike = new AlikePods(plugins);
    this.#options = options;
    this.#preEnqueue = plugins.filter(({ preEnqueue }) => preEnqueue !== undefined);
    this.#postFilter = plugins.filter(({ postFilter }) => postFilter !== undefined);
  }

  compare(a: QueuedPod, b: QueuedPod): number {
    return this.#sort(a, b);
  }

  preEnqueue(pod: PodInfo): PluginRefusal | undefined {
    for (const plugin of this.#preEnqueue) {
      const refusal = plugin.preEnqueue?.(pod);
      if (refusal) return { ...refusal, plugin: plugin.name };
    }
    return undefined;
  }

  /** From preFilter to the choice of a node. */
  schedule(cycle: Cycle): Placement {
    const nodes = cycle.snapshot.nodes;
    if (nodes.length === 0) {
      const all = new Set(this.plugins.map(({ name }) => name));
      return placementRefused("no nodes available to schedule pods", all);
    }
    const { percentageOfNodesToScore } = this.#options;
    const from = this.#searchFrom % nodes.length;
    const search = { from, percentage: percentageOfNodesToScore, alike: this.#alike };
    const found = findNodes(this.plugins, cycle, search);
    if ("placement" in found) return found.placement;
    this.#searchFrom = (this.#searchFrom + found.examined) % nodes.length;
    const totals = scoreNodes(this.plugins, cycle, found, this.#alike);
    return { node: chooseNode(found.nodes, totals, this.#options.random) };
  }

  /** What every plugin says about every node. */
  explain(cycle: Cycle): Explanation {
    return explainCycle(this.plugins, cycle);
  }

  /**
   * The first plugin that makes room ends the stage. Of the others the messages are collected.
   * Nothing when no plugin has anything to say, or there is no node on which to make room.
   */
  async postFilter(
    cycle: Cycle,
    diagnosis: Diagnosis,
    write: Pick<PostFilterContext, "signal" | "fence">,
  ): Promise<PostFilterResult | undefined> {
    if (cycle.snapshot.nodes.length === 0) return undefined;
    let last: PostFilterResult | undefined;
    for (const plugin of this.#postFilter) {
      const context = this.#postFilterContext(plugin, cycle, write);
      const result = await plugin.postFilter?.(cycle, diagnosis, context);
      if (result?.nominatedNode) return result;
      last = result ?? last;
    }
    return last;
  }

  /** The first room that a plugin finds, and how to make it; nothing has been changed yet. */
  searchRoom(
    cycle: Cycle,
    diagnosis: Diagnosis,
    write: Pick<PostFilterContext, "signal" | "fence">,
  ): FoundRoom | undefined {
    for (const plugin of this.plugins) {
      const context = this.#postFilterContext(plugin, cycle, write);
      const room = plugin.room?.search(cycle, diagnosis, context);
      if (room) return { ...room, make: async () => plugin.room?.make(cycle, room, context) };
    }
    return undefined;
  }

  #postFilterContext(
    plugin: Plugin,
    cycle: Cycle,
    write: Pick<PostFilterContext, "signal" | "fence">,
  ): PostFilterContext {
    return {
      ...write,
      verdict: (node) => nodeVerdict(cycle, node)?.refusal,
      putOn: (pod, node) => putOn(cycle, pod, node),
      takeOff: (pod, node) => takeOff(cycle, pod, node),
      refuseParked: (key, reason) => this.#refuseParked(key, plugin.name, reason),
    };
  }

  /** All plugins take note, or none: after a refusal everything is unreserved. */
  reserve(cycle: Cycle, node: NodeInfo): PluginRefusal | undefined {
    try {
      for (const plugin of this.plugins) {
        const refusal = plugin.reserve?.(cycle, node);
        if (!refusal) continue;
        this.unreserve(cycle, node);
        return { ...refusal, plugin: plugin.name };
      }
    } catch (error) {
      this.unreserve(cycle, node);
      throw error;
    }
    return undefined;
  }

  unreserve(cycle: Cycle, node: NodeInfo): void {
    for (const plugin of this.plugins.toReversed()) plugin.unreserve?.(cycle, node);
  }

  /** Answers a refusal, or what the binding cycle must wait for. */
  permit(cycle: Cycle, node: NodeInfo): PluginRefusal | readonly PluginWait[] {
    const waits: PluginWait[] = [];
    for (const plugin of this.plugins) {
      const verdict = plugin.permit?.(cycle, node);
      if (verdict === undefined) continue;
      if ("reasons" in verdict) return { ...verdict, plugin: plugin.name };
      waits.push({ ...verdict, plugin: plugin.name });
    }
    return waits;
  }

  /** The first refusal ends the wait. */
  async waitForPermit(
    pod: PodInfo,
    waits: readonly PluginWait[],
    signal: AbortSignal,
  ): Promise<PluginRefusal | undefined> {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    const verdicts = waits.map((wait) => this.#waitFor(wait, either));
    const refused = new Promise<PluginRefusal>((resolve, reject) => {
      this.#parked.set(pod.key, (plugin, reason) => resolve({ plugin, reasons: [reason] }));
      for (const verdict of verdicts) {
        verdict.then((refusal) => refusal && resolve(refusal), reject);
      }
    });
    try {
      return await Promise.race([refused, Promise.all(verdicts).then(() => undefined)]);
    } finally {
      this.#parked.delete(pod.key);
      ended.abort();
    }
  }

  async preBind(
    cycle: Cycle,
    node: NodeInfo,
    signal: AbortSignal,
  ): Promise<PluginRefusal | undefined> {
    for (const plugin of this.plugins) {
      const refusal = await plugin.preBind?.(cycle, node, signal);
      if (refusal) return { ...refusal, plugin: plugin.name };
    }
    return undefined;
  }

  /** Throws when the binding could not be written. */
  async bind(cycle: Cycle, node: NodeInfo, context: BindContext): Promise<void> {
    for (const plugin of this.plugins) {
      if ((await plugin.bind?.(cycle, node, context)) === "bound") return;
    }
    await context.bind();
  }

  /** Passes what a plugin throws to `failed` and goes on. */
  postBind(cycle: Cycle, node: NodeInfo, failed: (plugin: string, error: unknown) => void): void {
    for (const plugin of this.plugins) {
      try {
        plugin.postBind?.(cycle, node);
      } catch (error) {
        failed(plugin.name, error);
      }
    }
  }

  /** Tells a pod that waits for a permit that it does not get it. */
  #refuseParked(key: string, plugin: string, reason: string): boolean {
    const refuse = this.#parked.get(key);
    refuse?.(plugin, reason);
    return refuse !== undefined;
  }

  #waitFor(wait: PluginWait, signal: AbortSignal): Promise<PluginRefusal | undefined> {
    const { plugin, until, timeoutMillis } = wait;
    const limit = Math.min(timeoutMillis, permitMillisMax);
    return new Promise((resolve, reject) => {
      const refused = (reason: string) => end(() => resolve({ plugin, reasons: [reason] }));
      const stop = () => refused("the scheduler stopped while the pod waited for a permit");
      const cancel = this.#options.after(limit, () => {
        refused(
          `rejected due to timeout after waiting ${formatGoDuration(limit)} at plugin ${plugin}`,
        );
      });
      const end = (settle: () => void) => {
        cancel();
        signal.removeEventListener("abort", stop);
        settle();
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      until.then(
        (refusal) => end(() => resolve(refusal && { ...refusal, plugin })),
        (error: unknown) => end(() => reject(error)),
      );
    });
  }
}

interface PluginWait extends PermitWait {
  readonly plugin: string;
}
