import type { LoopClock } from "../../client/mod.ts";

export interface PaceOptions {
  /** Nodes per second that may be emptied while the cluster is healthy. */
  readonly rate: number;
  /** The same while a large part of the nodes is unready. */
  readonly secondaryRate: number;
  /** Zones of more nodes are emptied on at the secondary rate; smaller ones not at all. */
  readonly largeZone: number;
  /** Share of unready nodes from which the disruption counts as a large one. */
  readonly unhealthyThreshold: number;
}

/** Nodes of one zone, or of the cluster. */
export interface NodeCount {
  readonly unready: number;
  readonly total: number;
}

/**
 * How fast the nodes of one zone may be emptied (kubernetes node-lifecycle `zoneStates`). When many
 * nodes fall silent at once the fault is likelier in the network or here than in the nodes: then
 * slowly, or in a small zone not at all, and not at all when every node of the cluster seems lost. A zone that is lost as a whole
 * while another one lives is emptied at the usual rate.
 */
export class EvictionPace {
  readonly #options: PaceOptions;
  readonly #clock: LoopClock;
  #tokens = 1;
  #atMillis: number;

  constructor(options: PaceOptions, clock: LoopClock) {
    this.#options = options;
    this.#clock = clock;
    this.#atMillis = clock.monotonicMillis();
  }

  /** True when one more node of the zone may be emptied now. */
  take(zone: NodeCount, cluster: NodeCount): boolean {
    const now = this.#clock.monotonicMillis();
    const rate = evictionRate(this.#options, zone, cluster);
    this.#tokens = Math.min(1, this.#tokens + ((now - this.#atMillis) / 1000) * rate);
    this.#atMillis = now;
    if (rate === 0 || this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/** Nodes per second. Pure. */
export function evictionRate(options: PaceOptions, zone: NodeCount, cluster: NodeCount): number {
  const { rate, secondaryRate, unhealthyThreshold, largeZone } = options;
  // A cluster of one node has nowhere else to run, but its pods are gone all the same.
  if (cluster.total > 1 && cluster.unready >= cluster.total) return 0;
  if (zone.unready >= zone.total) return rate;
  if (zone.unready <= 2 || zone.unready / zone.total < unhealthyThreshold) return rate;
  return zone.total > largeZone ? secondaryRate : 0;
}
