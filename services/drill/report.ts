/** A drill's report in the form that load tests share, and the lines for a terminal. */
import type {
  HistogramBar,
  MemberLine,
  ReportData,
  ReportPercentiles,
} from "../load/report/report-data.ts";
import type { CallRecord, Evidence } from "./evidence.ts";
import { ofKind, quantile } from "./judge/measure.ts";
import type { Outages, Verdict } from "./judge/verdict.ts";
import { thresholdWords, unitOf } from "./thresholds.ts";

/** A call that took longer is drawn as slow. */
const slowMillis = 100;
/** Single calls are drawn up to so many; beyond, counts of them. */
const requestsMax = 20_000;
const bucketMillis = 250;

export function reportOf(evidence: Evidence, verdict: Verdict): ReportData {
  const { plan, calls, timeline } = evidence;
  const { result, sentence, reasons } = verdict;
  const latencies = calls.flatMap(({ end, due }) => (end === undefined ? [] : [end - due]));
  const seconds = loadSeconds(evidence);
  const percentiles = percentilesOf(latencies);
  const histogram = histogramOf(latencies);
  const failed = calls.filter(({ code }) => code !== "OK");
  const errors = Object.entries(verdict.codes).filter(([code]) => code !== "OK");
  return {
    version: 1,
    kind: "drill",
    name: plan.name,
    command: plan.command,
    verdict: { result, sentence, reasons },
    timeline: {
      startMs: plan.startMs,
      durationMs: timeline.at(-1)?.t,
      ...(calls.length <= requestsMax
        ? { requests: calls.map(pointOf) }
        : { buckets: bucketsOf(calls) }),
      faults: faultsOf(evidence),
      elections: verdict.elections.map(({ t, term, leader, cause }) => ({
        t,
        term,
        leader,
        cause,
      })),
      members: membersOf(evidence),
      outages: [
        ...verdict.writes.spans.map((span) => ({ ...span, name: "writes" })),
        ...verdict.reads.spans.map((span) => ({ ...span, name: "reads" })),
        ...verdict.watches.spans.map((span) => ({ ...span, name: "watch events" })),
      ],
    },
    percentiles,
    histogram,
    targets: [
      {
        name: `${plan.face} of the ${plan.world}`,
        calls: calls.length,
        failed: failed.length,
        perSecond: Math.round(calls.length / seconds),
        percentiles,
        histogram,
        errors: Object.fromEntries(errors),
      },
    ],
    checks: checksOf(verdict, plan.overridden),
    facts: factsOf(verdict, plan.seed),
  };
}

function checksOf(verdict: Verdict, overridden: readonly string[]): ReportData["checks"] {
  const { losses, checker } = verdict;
  const none = (name: string, count: number) => {
    return { name, measured: count, wanted: "0", passed: count === 0 };
  };
  return [
    none("acknowledged writes lost", losses.lost.length),
    none("writes doubled", losses.doubled.length),
    none("writes reordered", losses.reordered.length),
    none("watch guarantees broken", checker.watch.length),
    {
      name: "linearizable",
      measured: checker.linearizable,
      wanted: "yes",
      passed: checker.linearizable === "yes",
    },
    ...verdict.checks.map(({ name, measured, limit, passed }) => ({
      name: thresholdWords[name],
      measured: `${measured}${unitOf(name)}`,
      wanted: `≤ ${limit}${unitOf(name)}${overridden.includes(name) ? " (overridden)" : ""}`,
      passed,
    })),
  ];
}

function factsOf(verdict: Verdict, seed: number): ReportData["facts"] {
  const outage = (name: string, { p50, p99 }: Outages) => {
    return { name: `longest gap of ${name}`, value: `p50 ${p50} ms, p99 ${p99} ms` };
  };
  const { elections, codes, retries, relists, checker, facts } = verdict;
  return [
    outage("writes", verdict.writes),
    outage("reads", verdict.reads),
    outage("watch events", verdict.watches),
    { name: "rounds", value: verdict.rounds.length },
    ...Object.entries(codes).map(([code, count]) => ({ name: `calls ${code}`, value: count })),
    { name: "attempts repeated", value: retries },
    { name: "relists", value: relists },
    { name: "elections", value: elections.length },
    {
      name: "time without a leader",
      value: `${elections.reduce((sum, each) => sum + each.leaderlessMillis, 0)} ms`,
    },
    { name: "calls checked for linearizability", value: checker.registerCalls },
    ...Object.entries(facts).map(([name, value]) => ({ name, value })),
    { name: "seed", value: seed },
  ];
}

function loadSeconds({ timeline }: Evidence): number {
  const marks = ofKind(timeline, "load");
  const began = marks.find(({ state }) => state === "began")?.t ?? 0;
  const ended = marks.find(({ state }) => state === "ended")?.t ?? timeline.at(-1)?.t ?? began;
  return Math.max(0.001, (ended - began) / 1000);
}

function outcomeOf({ code, end, due }: CallRecord): "ok" | "slow" | "failed" {
  if (code !== "OK" || end === undefined) return "failed";
  return end - due > slowMillis ? "slow" : "ok";
}

function pointOf(call: CallRecord) {
  const { due, end = due } = call;
  return { t: due, latencyMs: round(end - due), outcome: outcomeOf(call) };
}

function bucketsOf(calls: readonly CallRecord[]) {
  const groups = Map.groupBy(calls, ({ end, due }) => Math.floor((end ?? due) / bucketMillis));
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([index, own]) => {
      const count = (outcome: string) => own.filter((each) => outcomeOf(each) === outcome).length;
      const latencies = own.flatMap(({ end, due }) => (end === undefined ? [] : [end - due]));
      return {
        t: index * bucketMillis,
        widthMs: bucketMillis,
        ok: count("ok"),
        slow: count("slow"),
        failed: count("failed"),
        p50Ms: round(quantile(latencies, 0.5)),
        p99Ms: round(quantile(latencies, 0.99)),
      };
    });
}

function faultsOf({ timeline }: Evidence) {
  const undone = new Map(ofKind(timeline, "undone").map(({ id, t }) => [id, t]));
  return ofKind(timeline, "fault").map(({ id, t, name }) => {
    const end = undone.get(id);
    return { t, name, ...(end !== undefined && { end }) };
  });
}

function membersOf({ timeline }: Evidence): MemberLine[] {
  const statuses = ofKind(timeline, "status");
  let commit = 0;
  const lines = new Map<string, { t: number; revision: number; lag: number }[]>();
  for (const { t, name, revision, applied, commit: own } of statuses) {
    commit = Math.max(commit, own);
    if (!lines.has(name)) lines.set(name, []);
    lines.get(name)?.push({ t, revision, lag: Math.max(0, commit - applied) });
  }
  return [...lines].map(([name, points]) => ({ name, points }));
}

function percentilesOf(latencies: readonly number[]): ReportPercentiles {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** Bars of a third of a decade. */
const edges = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000] as const;

function histogramOf(latencies: readonly number[]): HistogramBar[] {
  return edges.slice(1).map((toMs, i) => {
    const fromMs = edges[i] ?? 0;
    const count = latencies.filter((each) => each > fromMs && each <= toMs).length;
    return { fromMs, toMs, count };
  });
}

function round(millis: number): number {
  return Math.round(millis * 100) / 100;
}

/** For a terminal. */
export function linesOf({ verdict, checks = [], facts = [] }: ReportData): string[] {
  const width = Math.max(...[...checks, ...facts].map(({ name }) => name.length));
  return [
    verdict.sentence,
    ...verdict.reasons.map((reason) => `  ! ${reason}`),
    ...checks.map(({ name, measured, wanted, passed }) => {
      const mark = passed ? "ok  " : "MISS";
      return `  ${mark} ${name.padEnd(width)}  ${measured}  (${wanted})`;
    }),
    ...facts.map(({ name, value }) => `       ${name.padEnd(width)}  ${value}`),
  ];
}
