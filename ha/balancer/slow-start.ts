/**
 * A master that has just come finds its code cold and its caches empty, so it gets its part of the
 * single calls little by little: its weight grows evenly from a small one to that of the others, as
 * in Envoy's slow start. While a master warms up, calls are dealt as Envoy's least-request balancer
 * deals them between unequal hosts: by smooth weighted round robin, a weight being divided by the
 * calls under way. Only the relation of the weights counts: masters that all warm up get all calls.
 *
 * No master is left out, so no call waits or fails for it. Streams are not concerned: they are few,
 * they last, and `spread.ts` levels their number, which two different ideas of the level would keep
 * moving. Nor are writes for the leader: no other master can carry them out.
 */
import type { Link } from "./calls.ts";
import type { BalancerLimits } from "./limits.ts";
import { hasRoom, type Master } from "./master.ts";

/** The weight of a master that began so long ago to warm up, as a share of a whole one. */
export function warmShare(
  sinceMillis: number,
  { slowStartMillis, slowStartPercent }: BalancerLimits,
): number {
  const least = slowStartPercent / 100;
  return Math.min(1, least + (1 - least) * Math.max(0, sinceMillis / slowStartMillis));
}

export class SlowStart {
  readonly #limits: BalancerLimits;
  /** The masters that warm up, with the time at which each began. */
  readonly #began = new Map<Master, number>();
  /** The credit of each master in the weighted round robin. */
  readonly #credits = new Map<Master, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: BalancerLimits) {
    this.#limits = limits;
  }

  /** A master warms up. While none does, this question is all that a call pays. */
  get active(): boolean {
    return this.#timer !== undefined;
  }

  begin(master: Master): void {
    this.#began.set(master, performance.now());
    // Old debts would be paid back to the newcomer all at once.
    this.#credits.clear();
    this.#timer ??= this.#wake(this.#limits.slowStartMillis);
  }

  /** Over 0, and at most 1. */
  share(master: Master, now = performance.now()): number {
    const began = this.#began.get(master);
    return began === undefined ? 1 : warmShare(now - began, this.#limits);
  }

  /**
   * The one of these whose turn it is, but not `except`; undefined when none has room for a call.
   */
  choose(masters: readonly Master[], except: Master | undefined, link: Link): Master | undefined {
    const now = performance.now();
    let best: Master | undefined;
    let most = Number.NEGATIVE_INFINITY;
    let total = 0;
    for (const master of masters) {
      if (master === except || !hasRoom(master, link)) continue;
      const weight = this.share(master, now) / (master.unary + 1);
      const credit = (this.#credits.get(master) ?? 0) + weight;
      this.#credits.set(master, credit);
      total += weight;
      if (credit <= most) continue;
      best = master;
      most = credit;
    }
    if (best !== undefined) this.#credits.set(best, most - total);
    return best;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** After `millis`, forgets the masters that are warm by then. */
  #wake(millis: number): NodeJS.Timeout {
    return setTimeout(() => {
      const { slowStartMillis } = this.#limits;
      const now = performance.now();
      let latest = Number.NEGATIVE_INFINITY;
      for (const [master, began] of this.#began) {
        if (now - began >= slowStartMillis) this.#began.delete(master);
        else latest = Math.max(latest, began);
      }
      this.#timer = this.#began.size === 0 ? undefined : this.#wake(latest + slowStartMillis - now);
    }, Math.ceil(millis)).unref();
  }
}
