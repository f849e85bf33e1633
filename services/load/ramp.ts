/** `--ramp`: the highest rate that a target takes within its objective, the knee. */
import { percentilesOf } from "./engine/histogram.ts";
import type { Pace } from "./engine/messages.ts";
import { round, TargetResult } from "./target-result.ts";

export interface Climb {
  /** Of all steps. */
  readonly result: TargetResult;
  readonly durationMillis: number;
  readonly sloMillis: number;
  readonly atOnceMax: number;
  /** Makes calls, and counts them into the result. */
  readonly step: (pace: Pace, millis: number, into: TargetResult) => Promise<void>;
  readonly stopped: () => boolean;
}

const probeClients = 32;
const steps = 10;
const stepMillisMin = 500;
const factorUp = 1.3;
/** Two rates that differ by less are one. */
const precision = 1.05;
/** A target that does less than this of what it is offered is past its knee. */
const doneShareMin = 0.95;

/**
 * Learns the order of magnitude by a closed loop, begins at half of that, and goes up by steps until
 * one is past the knee; then halves the interval.
 */
export async function climb(options: Climb): Promise<void> {
  const { result, durationMillis, step, stopped } = options;
  const millis = Math.max(stepMillisMin, durationMillis / (steps + 1));
  const probe = new TargetResult(result.name);
  await step({ kind: "closed", clients: probeClients }, millis, probe);
  let low = 0;
  let high: number | undefined;
  let rate = Math.max(1, probe.perSecond / 2);
  for (let i = 0; i < steps && !stopped(); i++) {
    const within = await tryRate(options, rate, millis);
    if (within) low = rate;
    else high = rate;
    if (high !== undefined && low > 0 && high / low < precision) break;
    if (high === undefined) rate *= factorUp;
    else rate = low === 0 ? high / 2 : (low + high) / 2;
    if (rate < 1) break;
  }
  result.kneePerSecond = Math.round(low);
}

async function tryRate(options: Climb, perSecond: number, millis: number): Promise<boolean> {
  const { result, sloMillis, atOnceMax, step } = options;
  const one = new TargetResult(result.name);
  await step({ kind: "open", perSecond, atOnceMax }, millis, one);
  result.absorb(one);
  const p99Ms = percentilesOf(one.latency).p99;
  const done = one.perSecond >= doneShareMin * perSecond && one.unsent === 0;
  const within = done && one.failed === 0 && p99Ms <= sloMillis;
  result.ramp.push({
    offeredPerSecond: Math.round(perSecond),
    ...{ perSecond: round(one.perSecond, 1), p99Ms, within },
  });
  return within;
}
