/**
 * Evicts pods while the node runs short of memory, disk or process ids: one at a time, so that what
 * one gives back counts before the next goes (upstream's eviction manager).
 */
import type { Log } from "../../../ha/runtime/types.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { kubeletLimits } from "../limits.ts";
import {
  type Candidate,
  evictionMessage,
  isCritical,
  ranked,
  type Starved,
  starvedOf,
  type Use,
} from "./ranking.ts";
import type { EvictionSettings, MetThreshold } from "./thresholds.ts";

/** A pod of this node. */
export interface EvictablePod {
  readonly pod: Pod;
  /** Has not ended, and is not ending. */
  readonly active: boolean;
  evict(message: string, graceMillis: number): void;
}

interface EvictionOptions {
  readonly settings: Pick<EvictionSettings, "maxPodGraceMillis">;
  readonly pods: () => readonly EvictablePod[];
  readonly isStatic: (uid: string) => boolean;
  /** By uid. */
  readonly use: (starved: Starved, pods: readonly Pod[]) => Promise<ReadonlyMap<string, Use>>;
  /** Gives back what no pod uses. */
  readonly reclaimDisk: () => Promise<void>;
  readonly tell: (reason: string, message: string) => void;
  readonly now: () => number;
  readonly log: Log;
}

export class EvictionManager {
  readonly #options: EvictionOptions;
  /** The pod that is being evicted, until it has ended or too much time has passed. */
  #going: { readonly pod: EvictablePod; readonly until: number } | undefined;
  #reclaimed = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** Evicts at most one pod. `due`: the thresholds that call for it, the most urgent first. */
  async synchronise(due: readonly MetThreshold[]): Promise<void> {
    const [threshold] = due;
    if (threshold === undefined) {
      this.#reclaimed = false;
      return;
    }
    if (this.#isGoing()) return;
    const starved = starvedOf(threshold);
    this.#options.tell("EvictionThresholdMet", `Attempting to reclaim ${starved}`);
    const onDisk = starved === "ephemeral-storage" || starved === "inodes";
    if (onDisk && !this.#reclaimed) {
      // The next measurement tells whether that was enough.
      this.#reclaimed = true;
      await this.#options.reclaimDisk();
      return;
    }
    await this.#evictOne(threshold, starved);
  }

  #isGoing(): boolean {
    if (this.#going === undefined) return false;
    const { pod, until } = this.#going;
    if (pod.active && this.#options.now() < until) return true;
    this.#going = undefined;
    return false;
  }

  async #evictOne(threshold: MetThreshold, starved: Starved): Promise<void> {
    const { pods, isStatic, use, log, settings, now } = this.#options;
    const evictable = pods().filter(({ pod, active }) => {
      return active && !isCritical(pod, isStatic(pod.metadata?.uid ?? ""));
    });
    const uses = await use(
      starved,
      evictable.map(({ pod }) => pod),
    );
    const candidates = evictable.map((one) => {
      return { ...one, use: uses.get(one.pod.metadata?.uid ?? ""), evicted: one };
    });
    const [first] = ranked(candidates, starved) as ((typeof candidates)[number] & Candidate)[];
    if (first === undefined) {
      log.warn("the node runs short and no pod can be evicted", { starved });
      return;
    }
    const { terminationGracePeriodSeconds: seconds = 30 } = first.pod.spec ?? {};
    const graceMillis = threshold.isHard
      ? kubeletLimits.evictionGraceMillis
      : Math.min(settings.maxPodGraceMillis, seconds * 1000);
    first.evicted.evict(evictionMessage(first, threshold), graceMillis);
    const until = now() + graceMillis + kubeletLimits.evictionCleanupMillis;
    this.#going = { pod: first.evicted, until };
  }
}
