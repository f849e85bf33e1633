/**
 * Whether a load is steady: a cluster that still starts, or a machine with other work, has gaps of
 * its own, which would pass for an outage.
 */
import type { CallRecord } from "./evidence.ts";
import { acknowledgements, longestGap } from "./judge/measure.ts";

/** A load is looked at over so long … */
const calmMillis = 1_500;
/** … and is steady without a gap above this … */
const gapMillisMax = 100;
/** … or, of a slow load, one that so many calls take, of which chance makes no writes. */
const gapCallsMax = 20;

export interface Calm {
  readonly steady: boolean;
  /** The longest time without an acknowledged write of late. */
  readonly gapMillis: number;
}

/** `calls` in the order of their ends; `rate` in calls a second. */
export function calmOf(calls: readonly CallRecord[], rate: number, now: number): Calm {
  const recent = calls.slice(-Math.ceil((2 * rate * calmMillis) / 1_000));
  const writes = acknowledgements(recent, ["create", "write"]);
  const { t, end } = longestGap(writes, { t: now - calmMillis, end: now });
  const limit = Math.max(gapMillisMax, (1_000 * gapCallsMax) / rate);
  return { steady: end - t <= limit, gapMillis: Math.round(end - t) };
}
