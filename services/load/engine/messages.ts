/** What the main thread and the load's threads say to each other. */
import type { Place } from "../operations.ts";
import type { TargetAddress } from "../targets/target.ts";

export interface ThreadSetup {
  readonly to: TargetAddress;
  readonly profile: string;
  readonly place: Place;
  /** From 0. */
  readonly index: number;
  /** Of this thread. */
  readonly connections: number;
  readonly watchers: number;
  /** Objects that were made beforehand. */
  readonly filled: number;
  readonly deadlineMillis: number;
  readonly slowMillis: number;
  /** When the writes of all threads were sent: see `SentTimes`. */
  readonly sentTimes: SharedArrayBuffer;
}

/** How a thread makes its calls. */
export type Pace =
  /** So many clients, each with one call under way. */
  | { readonly kind: "closed"; readonly clients: number }
  /** So many calls a second, whether or not earlier ones were answered; at most so many at once. */
  | { readonly kind: "open"; readonly perSecond: number; readonly atOnceMax: number };

export type ThreadCommand =
  | { readonly type: "round"; readonly pace: Pace; readonly millis: number }
  /** Ends the round before its time. */
  | { readonly type: "stop" }
  | { readonly type: "close" };

export type ThreadReport =
  | { readonly type: "connected" }
  /** Every watcher has seen something. */
  | { readonly type: "watching" }
  | { readonly type: "failed"; readonly message: string }
  | ({ readonly type: "tick" } & Tick)
  | ({ readonly type: "round" } & RoundResult);

/** Calls that have ended since the last tick. */
export interface Tick {
  readonly ok: number;
  readonly slow: number;
  readonly failed: number;
  readonly events: number;
  /** Milliseconds; of very many calls only the first ones. */
  readonly latencies: Float32Array;
}

export interface Failures {
  readonly count: number;
  /** What one of them said. */
  readonly example: string;
}

export interface RoundResult {
  readonly millis: number;
  readonly calls: number;
  /** Failed calls by code. */
  readonly failures: Readonly<Record<string, Failures>>;
  /** Open pace: calls that were due and could not be sent before the end. */
  readonly unsent: number;
  /** Processor time of the thread. */
  readonly cpuMicros: number;
  /** HDR histograms, compressed and as base64, in µs: from when the call was due … */
  readonly latency: string;
  /** … from when it was sent … */
  readonly service: string;
  /** … and of the events of watches, from when their write was sent. */
  readonly events: string;
}
