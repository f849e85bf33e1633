/**
 * The verdict over a drill, from its evidence alone.
 *
 * What must never happen comes first: a write lost, doubled or reordered, a stale read, a broken
 * watch make the drill fail, whatever else was wrong with it. A drill that proves nothing, for it
 * had no load or struck the wrong victim, is void. Otherwise the thresholds decide.
 */
import type { ReportVerdict } from "../../load/report/report-data.ts";
import type { CheckerResult } from "../checker/main.ts";
import type { CallRecord, Evidence } from "../evidence.ts";
import { type Thresholds, thresholdNames, thresholdWords, unitOf } from "../thresholds.ts";
import {
  acknowledgements,
  arrivals,
  doubleLeaders,
  type Election,
  electionsOf,
  heldUp,
  type Losses,
  longestGap,
  losses,
  ofKind,
  quantile,
  type Round,
  roundsOf,
  type Span,
} from "./measure.ts";

export interface Outages {
  readonly spans: readonly Span[];
  readonly p50: number;
  readonly p99: number;
}

interface ThresholdCheck {
  readonly name: keyof Thresholds;
  readonly measured: number;
  readonly limit: number;
  readonly passed: boolean;
}

export interface Verdict {
  readonly result: "passed" | "failed" | "void";
  readonly sentence: string;
  readonly reasons: readonly string[];
  readonly rounds: readonly Round[];
  readonly writes: Outages;
  readonly reads: Outages;
  readonly watches: Outages;
  readonly codes: Readonly<Record<string, number>>;
  readonly retries: number;
  readonly losses: Losses;
  readonly checker: CheckerResult;
  readonly relists: number;
  readonly elections: readonly Election[];
  readonly facts: Readonly<Record<string, number>>;
  readonly checks: readonly ThresholdCheck[];
}

/** Reasons of one kind that are told in full. */
const toldMax = 3;

export function judge(evidence: Evidence, checker: CheckerResult): Verdict {
  const { calls, timeline, watches, plan } = evidence;
  const rounds = roundsOf(evidence);
  const blind = heldUp(evidence);
  const writes = outages(rounds, [acknowledgements(calls, ["create", "write"])], blind);
  const reads = outages(rounds, [acknowledgements(calls, ["read"])], blind);
  const watched = outages(rounds, arrivals(evidence), blind);
  const elections = electionsOf(evidence);
  const relists = watches.filter(({ kind }) => kind === "relist").length;
  const facts = factsOf(evidence);
  const failed = calls.filter(({ code }) => code !== "OK");
  const lost = losses(evidence);
  const measured: Partial<Record<keyof Thresholds, number>> = {
    writeOutageMillis: writes.p99,
    readOutageMillis: reads.p99,
    watchOutageMillis: watched.p99,
    failedCalls: failed.length,
    relists,
    elections: elections.length / Math.max(1, rounds.length),
    leaderlessMillis: Math.max(0, ...elections.map((each) => each.leaderlessMillis)),
    recoveryMillis: Math.max(0, ...rounds.map(recovery)),
    ...(plan.pods && {
      podsDisturbed: facts["pods disturbed"] ?? 0,
      containersTwice: facts["containers started twice"] ?? 0,
    }),
  };
  const checks = checksOf(plan.thresholds, measured);
  const broken = [
    ...violations(evidence, lost, checker),
    ...silenceBroken(evidence),
    ...doubleLeaders(evidence),
  ];
  const empty = voidReasons(evidence, rounds, checker);
  const missed = [
    ...ofKind(timeline, "failure").map(({ text }) => text),
    ...checks.filter(({ passed }) => !passed).map((each) => tellMiss(each, failed)),
  ];
  const result =
    broken.length > 0
      ? "failed"
      : empty.length > 0
        ? "void"
        : missed.length > 0
          ? "failed"
          : "passed";
  const reasons =
    result === "failed" ? [...broken, ...missed] : result === "void" ? [...empty, ...missed] : [];
  return {
    result,
    sentence: sentenceOf(evidence, result, reasons, writes),
    reasons,
    rounds,
    writes,
    reads,
    watches: watched,
    codes: countCodes(calls),
    retries: calls.reduce((sum, { retries = [] }) => sum + retries.length, 0),
    losses: lost,
    checker,
    relists,
    elections,
    facts,
    checks,
  };
}

/** Of each round the longest gap, on whatever line it is longest. */
function outages(
  rounds: readonly Round[],
  lines: readonly (readonly number[])[],
  blind: readonly Span[],
): Outages {
  const spans = rounds.map(({ faultAt: t, until: end }) => {
    const gaps = lines.map((line) => longestGap(line, { t, end }, blind));
    return gaps.reduce((a, b) => (b.millis > a.millis ? b : a), { t, end: t, millis: 0 });
  });
  const millis = spans.map((gap) => Math.round(gap.millis));
  return { spans, p50: quantile(millis, 0.5), p99: quantile(millis, 0.99) };
}

function recovery({ endingAt, recoveredAt, until }: Round): number {
  return Math.round(Math.max(0, (recoveredAt ?? until) - endingAt));
}

function checksOf(
  thresholds: Thresholds,
  measured: Partial<Record<keyof Thresholds, number>>,
): ThresholdCheck[] {
  return thresholdNames.flatMap((name): ThresholdCheck[] => {
    const limit = thresholds[name];
    const value = measured[name];
    if (limit === undefined || value === undefined) return [];
    return [{ name, measured: value, limit, passed: value <= limit }];
  });
}

function tellMiss(
  { name, measured, limit }: ThresholdCheck,
  failed: readonly CallRecord[],
): string {
  const unit = unitOf(name);
  const text = `${thresholdWords[name]}: ${measured}${unit}, above ${limit}${unit}`;
  const [first] = failed;
  return name === "failedCalls" && first
    ? `${text}; the first: ${first.code}: ${first.error}`
    : text;
}

function violations(
  { outcome }: Evidence,
  { lost, doubled, reordered }: Losses,
  { linearizable, detail, watch }: CheckerResult,
): string[] {
  const told = (all: readonly string[], words: string) =>
    all.length === 0 ? [] : [`${all.length} ${words}: ${all.slice(0, toldMax).join("; ")}`];
  const hashes = Object.entries(outcome?.hashes ?? {});
  const differ = new Set(hashes.map(([, hash]) => hash)).size > 1;
  return [
    ...told(lost, "acknowledged writes lost"),
    ...told(doubled, "writes doubled"),
    ...told(reordered, "writes reordered"),
    ...(linearizable === "no" ? [`not linearizable: ${detail}`] : []),
    ...told(watch, "watch guarantees broken"),
    ...(differ
      ? [`the members differ: ${hashes.map(([name, hash]) => `${name} ${hash}`).join(", ")}`]
      : []),
  ];
}

/** While there was no quorum, nothing may have been acknowledged, and nothing read. */
function silenceBroken({ calls, timeline }: Evidence): string[] {
  return ofKind(timeline, "silence").flatMap(({ t, end }) => {
    const within = calls.filter(({ code, end: at = 0 }) => code === "OK" && at > t && at < end);
    const writes = within.filter(({ op }) => op !== "read").length;
    const reads = within.filter((call) => call.op === "read" && call.t > t).length;
    return [
      ...(writes > 0 ? [`${writes} writes were acknowledged without a quorum`] : []),
      ...(reads > 0 ? [`${reads} reads were answered without a quorum`] : []),
    ];
  });
}

/** The share of the planned writes without which a steady state is none. */
const steadyShare = 0.5;
const writesLeast = 20;
const warmUpMillis = 300;
const steadyGapMillisMax = 1_500;

const unsteady = "the load was not steady before the fault";

/** It proves nothing, for its load had faults before there was one: another time it may. */
export function isUnsteady({ result, reasons }: ReportVerdict): boolean {
  return result === "void" && reasons.some((reason) => reason.startsWith(unsteady));
}

function voidReasons(
  { calls, timeline, plan, outcome }: Evidence,
  rounds: readonly Round[],
  checker: CheckerResult,
): string[] {
  const reasons: string[] = [];
  if (ofKind(timeline, "interrupted").length > 0) reasons.push("the drill was interrupted");
  for (const { name, wanted, was } of ofKind(timeline, "victim")) {
    if (wanted !== was) {
      const word = wanted === "leader" ? "led" : `was the ${wanted}`;
      reasons.push(`the victim, ${name}, is not who ${word} when it was struck: it was ${was}`);
    }
  }
  const [first] = rounds;
  if (first === undefined) {
    const [failure] = ofKind(timeline, "failure");
    reasons.push(`no fault was set${failure ? `: ${failure.text}` : ""}`);
  } else if (rounds.length < plan.repeat && reasons.length === 0) {
    reasons.push(`only ${rounds.length} of ${plan.repeat} rounds were held`);
  }
  const load = new Map(ofKind(timeline, "load").map(({ state, t }) => [state, t]));
  const faultAt = first?.faultAt ?? load.get("ended") ?? 0;
  const steady = { t: (load.get("began") ?? faultAt) + warmUpMillis, end: faultAt };
  const acknowledged = acknowledgements(calls, ["create", "write"]);
  const before = acknowledged.filter((at) => at >= steady.t && at <= steady.end);
  const planned = (plan.rate * writeShare * Math.max(0, steady.end - steady.t)) / 1000;
  const gap = longestGap(acknowledged, steady);
  if (before.length < Math.max(writesLeast, planned * steadyShare)) {
    const wanted = Math.ceil(Math.max(writesLeast, planned * steadyShare));
    reasons.push(
      `${unsteady}: ${before.length} writes acknowledged, where at least ${wanted} were to be`,
    );
  } else if (gap.end - gap.t > steadyGapMillisMax) {
    reasons.push(`${unsteady}: a gap of ${Math.round(gap.end - gap.t)} ms`);
  }
  if (outcome === undefined) reasons.push("the store could not be read at the end");
  if (checker.linearizable === "undecided") {
    reasons.push(`whether the history is linearizable could not be decided: ${checker.detail}`);
  }
  return reasons;
}

/** Of a drill's calls, those that write are at least so many (`load.ts`). */
const writeShare = 0.3;

function factsOf(evidence: Evidence): Record<string, number> {
  const facts: Record<string, number> = {};
  for (const { name, value } of ofKind(evidence.timeline, "fact")) facts[name] = value;
  const held = heldUp(evidence).map(({ t, end }) => Math.round(end - t));
  facts["ms the machine held the drill up (no outage)"] = held.reduce((a, b) => a + b, 0);
  facts["the longest of these, ms"] = Math.max(0, ...held);
  return facts;
}

function countCodes(calls: readonly CallRecord[]): Record<string, number> {
  const codes: Record<string, number> = {};
  for (const { code } of calls) codes[code] = (codes[code] ?? 0) + 1;
  return codes;
}

function sentenceOf(
  { plan, calls }: Evidence,
  result: Verdict["result"],
  reasons: readonly string[],
  { p50, p99, spans }: Outages,
): string {
  const outage =
    spans.length > 1
      ? `a write outage of ${p99} ms at most (p50 ${p50})`
      : `a write outage of ${p99} ms`;
  const acknowledged = calls.filter(({ op, code }) => op !== "read" && code === "OK").length;
  switch (result) {
    case "passed":
      return `${plan.name} passed: ${outage}, ${acknowledged} acknowledged writes, none lost or doubled.`;
    case "failed":
      return `${plan.name} failed: ${reasons[0]}.`;
    case "void":
      return `${plan.name} proves nothing: ${reasons[0]}.`;
  }
}
