import type { Log } from "../runtime/types.ts";
import type { Fleet } from "./fleet.ts";
import type { BalancerLimits } from "./limits.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** A call under way, as far as the end of the balancer is concerned. */
export interface ActiveCall {
  /** Answers UNAVAILABLE with this message, whatever the state. */
  shutDown(message: string): void;
}

/** What every call of the balancer shares. */
export interface Desk {
  readonly fleet: Fleet;
  readonly room: WaitingRoom;
  readonly limits: BalancerLimits;
  readonly log: Log;
  readonly counters: Counters;
  readonly active: Set<ActiveCall>;
}

/** All but `keptBytes` only ever grow. */
export interface Counters {
  calls: number;
  /** Attempts after the first. */
  retries: number;
  /** Calls that have had to wait for a master. */
  waits: number;
  /** Calls answered with an error by the balancer itself. */
  refusals: number;
  cancellations: number;
  /** Bytes of requests kept for a retry, now. */
  keptBytes: number;
}

export function newCounters(): Counters {
  return { calls: 0, retries: 0, waits: 0, refusals: 0, cancellations: 0, keptBytes: 0 };
}
