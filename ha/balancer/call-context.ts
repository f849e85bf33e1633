import type { DeadlineWheel } from "../rpc/engine/deadline-wheel.ts";
import type { Tracer } from "../runtime/trace.ts";
import type { Log } from "../runtime/types.ts";
import type { CallQueue } from "./call-queue.ts";
import type { Fleet } from "./fleet.ts";
import type { BalancerLimits } from "./limits.ts";
import type { Master } from "./master.ts";

/** A call under way, as far as the end of the balancer is concerned. */
export interface ActiveCall {
  /** Index in {@link ActiveCalls}, which sets it. */
  place: number;
  /** Answers UNAVAILABLE with this message, whatever the state. */
  shutDown(message: string): void;
  /** The master is suspected to be stopped: a call under way on it is repeated if it may be. */
  suspected(master: Master): void;
}

/** All calls under way, in an array: a `Set` would rebuild its hash table again and again. */
export class ActiveCalls {
  readonly #calls: ActiveCall[] = [];

  get size(): number {
    return this.#calls.length;
  }

  /** A copy: the calls under way at this moment. */
  all(): readonly ActiveCall[] {
    return [...this.#calls];
  }

  has(call: ActiveCall): boolean {
    return this.#calls[call.place] === call;
  }

  add(call: ActiveCall): void {
    call.place = this.#calls.push(call) - 1;
  }

  /** Does nothing for a call that is not among them. */
  delete(call: ActiveCall): void {
    if (!this.has(call)) return;
    const last = this.#calls.pop() as ActiveCall;
    if (last === call) return;
    this.#calls[call.place] = last;
    last.place = call.place;
  }
}

/** What every call of the balancer shares. */
export interface CallContext {
  readonly fleet: Fleet;
  readonly queue: CallQueue;
  readonly limits: BalancerLimits;
  readonly log: Log;
  readonly counters: Counters;
  readonly active: ActiveCalls;
  /** Undefined: calls carry on what they came with. */
  readonly tracer: Tracer | undefined;
  /** Ends calls whose time has run out. */
  readonly deadlines: DeadlineWheel;
}

/** All counters but `keptBytes` only grow. */
export interface Counters {
  calls: number;
  /** Attempts after the first. */
  retries: number;
  /** Calls that have had to wait for a master. */
  waits: number;
  /** Calls answered with an error by the balancer itself. */
  refusals: number;
  cancellations: number;
  /** Attempts that were given up because their master was suspected to be stopped. */
  suspicions: number;
  /** Streams ended so that their clients begin them anew on another master. */
  moves: number;
  /** Bytes of requests kept for a retry, now. */
  keptBytes: number;
}

export function newCounters(): Counters {
  return {
    calls: 0,
    retries: 0,
    waits: 0,
    refusals: 0,
    cancellations: 0,
    suspicions: 0,
    moves: 0,
    keptBytes: 0,
  };
}
