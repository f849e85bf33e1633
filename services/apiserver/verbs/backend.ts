import type { Log } from "../../../ha/runtime/types.ts";
import type { Store } from "../../../ha/store/types.ts";
import type { AddressRange } from "../admission/address-range.ts";
import type { Authorizer } from "../auth/authorize.ts";
import type { WatchCache } from "../storage/watch-cache.ts";
import type { Gate } from "./gate.ts";

/** What every verb stands on. */
export interface Backend {
  /** This master, e.g. `master-0`. */
  readonly name: string;
  readonly store: Store;
  readonly cache: WatchCache;
  readonly authorizers: readonly Authorizer[];
  readonly gate: Gate;
  readonly serviceRange: AddressRange;
  readonly requestTimeoutMillis: number;
  readonly log: Log;
  /** Unix milliseconds. */
  now(): number;
  /** Uniform integer in 0..limit-1. */
  random(limit: number): number;
  newUid(): string;
}
