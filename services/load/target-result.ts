/** What the rounds of one target come to. */
import {
  addEncoded,
  barsOf,
  type Histogram,
  newHistogram,
  percentilesOf,
} from "./engine/histogram.ts";
import type { Failures, RoundResult, Tick } from "./engine/messages.ts";
import type { RampStep, ReportTarget, RequestBucket } from "./report/report-data.ts";

/** A thread that is busy for this share of its time can do no more. */
const wallShare = 0.9;

export class TargetResult {
  readonly name: string;
  readonly latency: Histogram = newHistogram();
  readonly service: Histogram = newHistogram();
  readonly eventLatency: Histogram = newHistogram();
  readonly failures = new Map<string, Failures>();
  readonly ramp: RampStep[] = [];
  kneePerSecond: number | undefined;
  calls = 0;
  failed = 0;
  unsent = 0;
  events = 0;
  millis = 0;
  #cpuMicros = 0;
  #threads = 1;

  constructor(name: string) {
    this.name = name;
  }

  add(results: readonly RoundResult[]): void {
    this.#threads = results.length;
    this.millis += Math.max(...results.map(({ millis }) => millis));
    for (const result of results) {
      addEncoded(this.latency, result.latency);
      addEncoded(this.service, result.service);
      addEncoded(this.eventLatency, result.events);
      this.calls += result.calls;
      this.unsent += result.unsent;
      this.#cpuMicros += result.cpuMicros;
      for (const [code, { count, example }] of Object.entries(result.failures)) {
        this.failed += count;
        const before = this.failures.get(code);
        this.failures.set(code, { count: (before?.count ?? 0) + count, example });
      }
    }
  }

  /** Counts another one's calls among its own. */
  absorb(other: TargetResult): void {
    this.#threads = other.#threads;
    this.#cpuMicros += other.#cpuMicros;
    this.latency.add(other.latency);
    this.service.add(other.service);
    this.eventLatency.add(other.eventLatency);
    this.calls += other.calls;
    this.failed += other.failed;
    this.unsent += other.unsent;
    this.events += other.events;
    this.millis += other.millis;
    for (const [code, failures] of other.failures) {
      const before = this.failures.get(code)?.count ?? 0;
      this.failures.set(code, { ...failures, count: before + failures.count });
    }
  }

  /** Calls that went well. */
  get perSecond(): number {
    return this.millis === 0 ? 0 : ((this.calls - this.failed) * 1_000) / this.millis;
  }

  get cpuShare(): number {
    return this.millis === 0 ? 0 : this.#cpuMicros / 1_000 / this.millis / this.#threads;
  }

  get clientIsWall(): boolean {
    return this.cpuShare >= wallShare;
  }

  report(url: string): ReportTarget {
    const errors = [...this.failures].map(([code, { count }]) => [code, count] as const);
    const eventsPerSecond = this.millis === 0 ? 0 : (this.events * 1_000) / this.millis;
    return {
      ...{ name: this.name, url, calls: this.calls, failed: this.failed },
      perSecond: round(this.perSecond, 1),
      percentiles: percentilesOf(this.latency),
      histogram: barsOf(this.latency),
      errors: Object.fromEntries(errors),
      clientCpuShare: round(this.cpuShare, 3),
      clientMicrosPerCall: round(this.#cpuMicros / Math.max(1, this.calls), 1),
      clientIsWall: this.clientIsWall,
      ...(this.ramp.length > 0 && { ramp: this.ramp }),
      ...(this.kneePerSecond !== undefined && { kneePerSecond: this.kneePerSecond }),
      ...(this.events > 0 && { eventsPerSecond: round(eventsPerSecond, 1) }),
    };
  }
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Ticks of all threads and targets, counted by time. */
export class Timeline {
  readonly startMs = Date.now();
  readonly #began = performance.now();
  readonly #widthMs: number;
  readonly #buckets = new Map<
    string,
    { counts: Omit<RequestBucket, "t">; millis: Float32Array[] }
  >();

  constructor(durationMillis: number) {
    // About 150 of them, and none shorter than a tick.
    this.#widthMs = Math.max(250, Math.ceil(durationMillis / 150 / 250) * 250);
  }

  get nowMs(): number {
    return Math.round(performance.now() - this.#began);
  }

  add(target: string, tick: Tick): void {
    // A tick tells of the time before it.
    const index = Math.floor(Math.max(0, this.nowMs - 1) / this.#widthMs);
    const key = `${index}/${target}`;
    const bucket = this.#buckets.get(key);
    const { ok, slow, failed, latencies } = tick;
    if (bucket === undefined) {
      const counts = { widthMs: this.#widthMs, target, ok, slow, failed };
      this.#buckets.set(key, { counts, millis: [latencies] });
      return;
    }
    const { counts } = bucket;
    bucket.millis.push(latencies);
    bucket.counts = {
      ...counts,
      ...{ ok: counts.ok + ok, slow: counts.slow + slow, failed: counts.failed + failed },
    };
  }

  buckets(): RequestBucket[] {
    return [...this.#buckets].map(([key, { counts, millis }]) => {
      const t = Number(key.split("/")[0]) * this.#widthMs;
      const sorted = Float32Array.from(millis.flatMap((each) => [...each])).sort();
      const at = (share: number) =>
        round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0, 3);
      return { t, ...counts, ...(sorted.length > 0 && { p50Ms: at(0.5), p99Ms: at(0.99) }) };
    });
  }
}
