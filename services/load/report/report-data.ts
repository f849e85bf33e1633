/**
 * What a report tells, of a drill and of a load alike: every number that the page shows. `--json`
 * writes it, `renderReport` draws it, `--gate` and `drill -- judge` read it.
 *
 * Times are milliseconds: `startMs` since the Unix epoch, each `t` and `end` since `startMs`.
 * A change that a reader of an earlier version would misread raises `reportVersion`.
 */
export const reportVersion = 1;

type ReportKind = "drill" | "load";

/** `measured`: a load that nothing was demanded of. */
export type ReportResult = "passed" | "failed" | "void" | "measured";

export interface ReportData {
  readonly version: typeof reportVersion;
  readonly kind: ReportKind;
  /** The drill's or the profile's name. */
  readonly name: string;
  /** The command line that repeats the run. */
  readonly command: string;
  readonly verdict: ReportVerdict;
  readonly timeline: ReportTimeline;
  /** Of all calls of the run; a load with several targets has them at each target. */
  readonly percentiles?: ReportPercentiles | undefined;
  readonly histogram?: readonly HistogramBar[] | undefined;
  /** Who was asked; a drill has one. */
  readonly targets: readonly ReportTarget[];
  /** What had to hold: a drill's thresholds, a load's gate and objective. */
  readonly checks?: readonly ReportCheck[] | undefined;
  /** Figures that others have published, to be seen beside the run's own. */
  readonly references?: readonly ReportReference[] | undefined;
  /** What else was counted: retries, relists, leaderless time, pods disturbed, in this order. */
  readonly facts?: readonly ReportFact[] | undefined;
}

export interface ReportVerdict {
  readonly result: ReportResult;
  /** One sentence that stands at the top of the page. */
  readonly sentence: string;
  /** Why it failed, or is void; empty when it passed. */
  readonly reasons: readonly string[];
}

export interface ReportTimeline {
  readonly startMs: number;
  /** How long the run took; by default the last thing on the timeline ends it. */
  readonly durationMs?: number | undefined;
  /** Single calls, for short runs (at most 100,000) … */
  readonly requests?: readonly RequestPoint[] | undefined;
  /** … and counted calls for long ones. Where both are given, both are drawn. */
  readonly buckets?: readonly RequestBucket[] | undefined;
  readonly faults: readonly FaultSpan[];
  readonly elections: readonly ElectionMark[];
  readonly members: readonly MemberLine[];
  /** Times without an acknowledged call of their kind. */
  readonly outages?: readonly OutageSpan[] | undefined;
}

/** `slow`: answered well, later than the run's limit for slow calls. */
type RequestOutcome = "ok" | "slow" | "failed";

export interface RequestPoint {
  /** When the call was begun, or was due in an open loop. */
  readonly t: number;
  readonly latencyMs: number;
  readonly outcome: RequestOutcome;
  /** Where there are several. */
  readonly target?: string | undefined;
}

/** Calls that ended within `widthMs` from `t`. */
export interface RequestBucket {
  readonly t: number;
  readonly widthMs: number;
  readonly ok: number;
  readonly slow: number;
  readonly failed: number;
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
  readonly target?: string | undefined;
}

interface FaultSpan {
  readonly t: number;
  /** When it was undone; absent: never, a kill for example. */
  readonly end?: number | undefined;
  /** What was done to whom: "SIGKILL of master-0, which led". */
  readonly name: string;
}

interface ElectionMark {
  readonly t: number;
  readonly term: number;
  /** The member that leads from now on. */
  readonly leader: string;
  readonly cause?: string | undefined;
}

export interface MemberLine {
  readonly name: string;
  readonly points: readonly MemberPoint[];
}

export interface MemberPoint {
  readonly t: number;
  /** The store's revision that the member has applied. */
  readonly revision: number;
  /** Log entries that the member is behind the leader's commit index. */
  readonly lag: number;
}

interface OutageSpan {
  readonly t: number;
  readonly end: number;
  /** What was missing: writes, reads, watch events. */
  readonly name: string;
}

export interface ReportPercentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** So many calls took over `fromMs` and at most `toMs`. */
export interface HistogramBar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

export interface ReportTarget {
  readonly name: string;
  readonly url?: string | undefined;
  readonly calls: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly percentiles: ReportPercentiles;
  readonly histogram?: readonly HistogramBar[] | undefined;
  /** Failed calls by code. */
  readonly errors?: Readonly<Record<string, number>> | undefined;
  /** Share of the time of its threads that the load client was busy, 0 to 1. */
  readonly clientCpuShare?: number | undefined;
  /** Processor time of the client a call. */
  readonly clientMicrosPerCall?: number | undefined;
  /** The client could do no more: the rate is the client's, not the target's. */
  readonly clientIsWall?: boolean | undefined;
  /** `--ramp`: each step, and the highest rate within the objective. */
  readonly ramp?: readonly RampStep[] | undefined;
  readonly kneePerSecond?: number | undefined;
  /** Watch profiles: events that arrived a second. */
  readonly eventsPerSecond?: number | undefined;
}

export interface RampStep {
  readonly offeredPerSecond: number;
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly within: boolean;
}

export interface ReportCheck {
  /** "write outage", "acknowledged writes lost". */
  readonly name: string;
  readonly measured: number | string;
  /** What it had to be: "≤ 300 ms", "0". */
  readonly wanted: string;
  readonly passed: boolean;
}

export interface ReportReference {
  readonly name: string;
  readonly perSecond?: number | undefined;
  readonly p99Ms?: number | undefined;
  /** On which machines, at which load. */
  readonly conditions: string;
  readonly source: string;
}

export interface ReportFact {
  readonly name: string;
  readonly value: number | string;
}

/**
 * Takes a parsed report file. Throws an Error that names what is missing, for a file of another
 * version or of another kind of content altogether.
 */
export function readReportData(value: unknown): ReportData {
  const report = value as Partial<ReportData> | null;
  if (typeof report !== "object" || report === null) throw new Error("it is no JSON object");
  if (report.version !== reportVersion) {
    throw new Error(`version is ${JSON.stringify(report.version)}, and must be ${reportVersion}`);
  }
  if (report.kind !== "drill" && report.kind !== "load") {
    throw new Error(`kind is ${JSON.stringify(report.kind)}, and must be "drill" or "load"`);
  }
  for (const field of ["name", "command"] as const) {
    if (typeof report[field] !== "string") throw new Error(`${field} is no text`);
  }
  if (typeof report.verdict?.sentence !== "string") throw new Error("verdict.sentence is no text");
  if (!Array.isArray(report.verdict.reasons)) throw new Error("verdict.reasons is no list");
  if (!Array.isArray(report.targets)) throw new Error("targets is no list");
  if (typeof report.timeline?.startMs !== "number")
    throw new Error("timeline.startMs is no number");
  for (const field of ["faults", "elections", "members"] as const) {
    if (!Array.isArray(report.timeline[field])) throw new Error(`timeline.${field} is no list`);
  }
  return report as ReportData;
}
