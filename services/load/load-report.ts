/** The report of a load, from what was measured. */

import { percentilesOf } from "./engine/histogram.ts";
import { gateChecks, yardstickName } from "./gate.ts";
import { references } from "./references.ts";
import {
  type ReportCheck,
  type ReportData,
  type ReportFact,
  type ReportTarget,
  reportVersion,
} from "./report/report-data.ts";
import type { LoadOutcome } from "./run.ts";
import type { Settings } from "./settings.ts";
import { round, type TargetResult } from "./target-result.ts";

export function loadReport(
  outcome: LoadOutcome,
  settings: Settings,
  about: { readonly command: string; readonly yardstick: number },
  saved: ReportData | undefined,
): ReportData {
  const { results, timeline, interrupted } = outcome;
  const targets = results.map((result) => result.report(result.name));
  const bare: ReportData = {
    version: reportVersion,
    ...{ kind: "load", name: settings.profileName, command: about.command, targets },
    verdict: { result: "measured", sentence: "", reasons: [] },
    timeline: {
      ...{ startMs: timeline.startMs, durationMs: timeline.nowMs, buckets: timeline.buckets() },
      ...{ faults: [], elections: [], members: [] },
    },
    references: references[settings.profileName] ?? [],
    facts: factsOf(results, settings, about.yardstick),
  };
  const gates = saved === undefined ? [] : gateChecks(bare, saved, settings.gatePercent);
  const checks = [...objectives(targets, settings), ...gates];
  const reasons = [
    ...(interrupted ? ["the load was interrupted"] : []),
    ...results.flatMap(failuresOf),
    ...checks
      .filter(({ passed }) => !passed)
      .map(({ name, measured, wanted }) => `${name}: ${measured}, wanted ${wanted}`),
  ];
  const anyCall = targets.some(({ calls }) => calls > 0);
  const good = checks.length > 0 ? "passed" : "measured";
  const result = anyCall ? (reasons.length > 0 ? "failed" : good) : "void";
  const sentence = sentenceOf(targets, settings, results);
  return { ...bare, checks, verdict: { result, sentence, reasons } };
}

function objectives(targets: readonly ReportTarget[], settings: Settings): ReportCheck[] {
  const { mode, sloGiven, sloMillis } = settings;
  if (mode.kind === "ramp" || !sloGiven) return [];
  return targets.map(({ name, percentiles: { p99 } }) => ({
    name: `p99 of ${name}`,
    measured: `${p99} ms`,
    wanted: `≤ ${sloMillis} ms`,
    passed: p99 <= sloMillis,
  }));
}

function failuresOf({ name, failures }: TargetResult): string[] {
  return [...failures].map(([code, { count, example }]) => {
    const said = example === "" ? "" : ` (${example.replace(/\s+/g, " ").slice(0, 160)})`;
    return `${name}: ${count} × ${code}${said}`;
  });
}

function factsOf(
  results: readonly TargetResult[],
  { mode, profile, rounds, threads, connections }: Settings,
  yardstick: number,
): ReportFact[] {
  const pace = {
    clients: mode.kind === "clients" ? `${mode.clients} clients, closed loop` : "",
    rate:
      mode.kind === "rate"
        ? `${mode.perSecond} calls/s, open loop; latency counts from when a call was due`
        : "",
    ramp: "open loop, rising; latency counts from when a call was due",
  }[mode.kind];
  return [
    { name: "profile", value: profile.about },
    { name: "pace", value: pace },
    { name: "rounds", value: rounds },
    { name: "client", value: `threads: ${threads}, connections to each target: ${connections}` },
    ...results.flatMap((result) => factsOfTarget(result, results.length > 1, mode.kind)),
    { name: yardstickName, value: yardstick },
  ];
}

function factsOfTarget(result: TargetResult, several: boolean, mode: string): ReportFact[] {
  const whose = several ? `${result.name}: ` : "";
  const facts: ReportFact[] = [];
  if (mode !== "clients") {
    const { p99 } = percentilesOf(result.service);
    facts.push({ name: `${whose}p99 from when calls were sent`, value: `${p99} ms` });
    facts.push({ name: `${whose}calls that were due and never sent`, value: result.unsent });
  }
  if (result.events > 0) {
    const { p50, p99 } = percentilesOf(result.eventLatency);
    facts.push(
      { name: `${whose}watch events`, value: result.events },
      { name: `${whose}from write to watch event`, value: `p50 ${p50} ms, p99 ${p99} ms` },
    );
  }
  return facts;
}

function sentenceOf(
  targets: readonly ReportTarget[],
  { profileName, mode, sloMillis }: Settings,
  results: readonly TargetResult[],
): string {
  const parts = targets.map((target) => {
    const { name, perSecond, percentiles, kneePerSecond } = target;
    if (kneePerSecond === undefined) {
      return `${name} did ${count(perSecond)} calls/s with a p99 of ${percentiles.p99} ms`;
    }
    if (kneePerSecond === 0) return `${name} kept a p99 of ${sloMillis} ms at no rate tried`;
    return `${name} bears ${count(kneePerSecond)} calls/s with a p99 within ${sloMillis} ms`;
  });
  const [first, second] = targets;
  const rate = (target: ReportTarget) => target.kneePerSecond ?? target.perSecond;
  const ratio =
    targets.length === 2 && first !== undefined && second !== undefined && rate(second) > 0
      ? `; the first ${round(rate(first) / rate(second), 2)} times as many as the second`
      : "";
  const wall = results.some(({ clientIsWall }) => clientIsWall)
    ? "; the load client itself was the wall"
    : "";
  const open = mode.kind === "rate" ? ` of ${count(mode.perSecond)} offered` : "";
  return `${profileName}${open}: ${parts.join("; ")}${ratio}${wall}.`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
