/**
 * A master may say that it is ready and yet fail what it is given: its disk, a bug, a network that
 * lets only small packets through. Such an outlier is left out for a while, as by Envoy's outlier
 * detection:
 *
 * ```
 *            so many failures one after the other, or such a share of a window
 *   taking ──────────────────────────────────────────────────────────────────► ejected
 *      ▲      while most others do well, and a majority of the healthy stays       │
 *      └───────────────────────────────────────────────────────────────────────────┘
 *        its time is over (longer each time), or it is needed, or it is another life of it
 * ```
 * What counts is a broken call and a status that tells of the server's fault; how long an answer
 * takes does not count. Where most others fail too, it is the cluster that is ill: it has no
 * leader, or a client asks for what makes every master stumble. Ejecting one would mend nothing.
 */
import type { Log } from "../runtime/types.ts";
import type { Failure } from "./calls.ts";
import type { BalancerLimits } from "./limits.ts";
import type { Master } from "./master.ts";
import type { ReplyFields } from "./reply-fields.ts";

/** The outcomes of a master's recent calls. */
export class Outcomes {
  /** Calls that ended in the present window, and how many of them it failed. */
  calls = 0;
  failures = 0;
  /** Failures since its last success. */
  run = 0;
  /** The connection whose loss was counted last. */
  lostConnection = 0;

  forget(): void {
    this.calls = 0;
    this.failures = 0;
    this.run = 0;
  }
}

export interface OutliersOptions {
  readonly log: Log;
  readonly limits: BalancerLimits;
  readonly masters: () => readonly Master[];
  /** The master reports that it is ready, and is connected. */
  isHealthy(master: Master): boolean;
  /** A master leads. Without a leader every master has to fail calls. */
  hasLeader(): boolean;
  /** A master has been ejected, or taken back. */
  changed(): void;
}

interface Ejection {
  readonly until: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Resets that tell of a request which no master can take: frame and headers beyond its limits, TLS.
 */
const requestsFault: ReadonlySet<number> = new Set([6, 11, 12]);

export class Outliers {
  readonly #options: OutliersOptions;
  readonly #ejected = new Map<Master, Ejection>();
  /**
   * When each was to be taken back, and how often it had been ejected by then without a long rest.
   */
  readonly #past = new Map<Master, { readonly returned: number; readonly times: number }>();
  #windowBegan = 0;

  constructor(options: OutliersOptions) {
    this.#options = options;
  }

  /** A call has come to its trailers. */
  answered(master: Master, trailers: ReplyFields): void {
    if (trailers.tellsFault) {
      if (this.#options.hasLeader()) this.#count(master);
      return;
    }
    master.outcomes.calls++;
    master.outcomes.run = 0;
  }

  /** A call has come to no trailers. */
  failed(master: Master, { kind, code, scope }: Failure): void {
    master.failures++;
    if (scope === "connection") {
      // One event, however many calls it ended; a goodbye is none.
      const { connections } = master.upstream;
      if (kind !== "lost" || master.outcomes.lostConnection === connections) return;
      master.outcomes.lostConnection = connections;
    } else if (kind === "rejected" && requestsFault.has(code)) {
      return;
    }
    this.#count(master);
  }

  /** A master's health has changed. */
  review(): void {
    for (const master of this.#options.masters()) {
      if (master.status?.ready === true) continue;
      // A master that comes back has restarted, or reports that it is ready again.
      master.outcomes.forget();
      this.#takeBack(master, "it has said itself that it is not ready, or is gone");
    }
    const ejected = [...this.#ejected].filter(([master]) => this.#options.isHealthy(master));
    ejected.sort(([, a], [, b]) => a.until - b.until);
    for (const [master] of ejected.slice(0, Math.max(0, ejected.length - this.#mostEjected()))) {
      this.#takeBack(master, "too few others are left");
    }
  }

  /** The master is no member of the cluster any more. */
  left(master: Master): void {
    this.#takeBack(master, "it has left the cluster");
    this.#past.delete(master);
  }

  close(): void {
    for (const { timer } of this.#ejected.values()) clearTimeout(timer);
  }

  #count(master: Master): void {
    const { limits, masters, isHealthy } = this.#options;
    const now = performance.now();
    if (now - this.#windowBegan > limits.outlierWindowMillis) {
      this.#windowBegan = now;
      for (const { outcomes } of masters()) {
        outcomes.calls = 0;
        outcomes.failures = 0;
      }
    }
    const { outcomes } = master;
    master.faults++;
    outcomes.calls++;
    outcomes.failures++;
    outcomes.run++;
    if (master.ejected || !isHealthy(master) || !this.#standsOut(master)) return;
    const ejected = [...this.#ejected.keys()].filter(isHealthy).length;
    if (ejected < this.#mostEjected()) this.#eject(master, now);
  }

  #standsOut(master: Master): boolean {
    const { limits, masters, isHealthy } = this.#options;
    const { calls, run } = master.outcomes;
    const often = calls >= limits.outlierCalls && this.#failsOften(master);
    if (!often && run < limits.outlierRun) return false;
    const others = masters().filter((each) => each !== master && isHealthy(each) && !each.ejected);
    const ill = others.filter((each) => each.outcomes.calls > 0 && this.#failsOften(each)).length;
    if (2 * ill >= others.length) return false;
    if (often) return true;
    // A few failures at once may have a common cause: others must have answered as many calls well.
    const well = others.reduce(
      (sum, each) => sum + each.outcomes.calls - each.outcomes.failures,
      0,
    );
    return well >= limits.outlierRun;
  }

  #failsOften({ outcomes: { calls, failures } }: Master): boolean {
    return failures * 100 >= calls * this.#options.limits.outlierPercent;
  }

  /** How many healthy masters may be ejected at once: a majority of them always remains. */
  #mostEjected(): number {
    const { limits, masters, isHealthy } = this.#options;
    const healthy = masters().filter(isHealthy).length;
    const share = Math.floor((healthy * limits.ejectedPercent) / 100);
    return Math.max(0, Math.min(share, Math.floor((healthy - 1) / 2)));
  }

  #eject(master: Master, now: number): void {
    const { log, limits, changed } = this.#options;
    const { ejectionMinMillis, ejectionMaxMillis } = limits;
    const past = this.#past.get(master);
    const rested = past === undefined || now - past.returned > ejectionMaxMillis;
    const times = rested ? 1 : past.times + 1;
    const millis = Math.min(ejectionMinMillis * 2 ** (times - 1), ejectionMaxMillis);
    const timer = setTimeout(() => {
      this.#takeBack(master, "its time is over");
      changed();
    }, millis).unref();
    this.#past.set(master, { returned: now + millis, times });
    this.#ejected.set(master, { until: now + millis, timer });
    master.ejected = true;
    master.ejections++;
    const { calls, failures, run } = master.outcomes;
    log.warn("master says it is ready but fails calls: it gets no new ones for a while", {
      ...{ master: master.name, millis, times, calls, failures, oneAfterTheOther: run },
    });
    changed();
  }

  #takeBack(master: Master, why: string): void {
    const ejection = this.#ejected.get(master);
    if (ejection === undefined) return;
    clearTimeout(ejection.timer);
    this.#ejected.delete(master);
    master.ejected = false;
    master.outcomes.forget();
    this.#options.log.info("master is no longer left out", { master: master.name, why });
  }
}
