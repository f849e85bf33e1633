/** What a soak's samples say: does anything grow, did anybody stall or elect, did latency stay? */
import { median } from "../store/table.ts";

interface MemberSample {
  readonly residentMegabytes: number;
  readonly databaseMegabytes: number;
  readonly term: number;
}

export interface Sample {
  /** Since the load began. */
  readonly seconds: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly members: readonly MemberSample[];
}

export interface Finding {
  readonly text: string;
  readonly passed: boolean;
}

/** Resident memory may drift by this share of itself, or by this much, while nothing leaks. */
const driftShare = 0.1;
const driftMegabytes = 24;
/** p99 of the last third against the first. */
const latencyFactor = 1.5;
/** Of the median throughput; less is a stall, such as a compaction that stops the world. */
const stallShare = 0.5;

/** Megabytes and the like per second, by least squares. */
export function slope(points: readonly (readonly [seconds: number, value: number])[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const atMean = mean(points.map(([at]) => at));
  const valueMean = mean(points.map(([, value]) => value));
  let above = 0;
  let below = 0;
  for (const [at, value] of points) {
    above += (at - atMean) * (value - valueMean);
    below += (at - atMean) ** 2;
  }
  return below === 0 ? 0 : above / below;
}

export function judge(samples: readonly Sample[]): readonly Finding[] {
  const members = samples[0]?.members.map((_, index) => memoryOf(samples, index)) ?? [];
  return [...members, electionsOf(samples), latencyOf(samples), stallsOf(samples)];
}

/** The first half is the warming up of code, caches and the database. */
function memoryOf(samples: readonly Sample[], index: number): Finding {
  const late = samples.slice(Math.floor(samples.length / 2));
  const elapsed = (late.at(-1)?.seconds ?? 0) - (late[0]?.seconds ?? 0);
  const line = (value: (member: MemberSample) => number) =>
    slope(
      late.map(({ seconds, members }) => {
        const member = members[index];
        return [seconds, member === undefined ? Number.NaN : value(member)] as const;
      }),
    );
  const resident = line(({ residentMegabytes }) => residentMegabytes);
  const data = line(({ databaseMegabytes }) => databaseMegabytes);
  const beyond = (resident - Math.max(0, data)) * elapsed;
  const size = median(late.map(({ members }) => members[index]?.residentMegabytes ?? 0));
  const allowed = Math.max(driftMegabytes, driftShare * size);
  const text =
    `member ${index}: ${size.toFixed(0)} MB, beyond its data's ${signed(beyond)} MB in the last ` +
    `${elapsed.toFixed(0)} s (${signed((resident - Math.max(0, data)) * 3_600)} MB an hour), ` +
    `at most ${allowed.toFixed(0)}`;
  return { text, passed: beyond <= allowed };
}

function electionsOf(samples: readonly Sample[]): Finding {
  const terms = samples.flatMap(({ members }) => members.map(({ term }) => term));
  const count = Math.max(...terms) - Math.min(...terms);
  return { text: `elections: ${count}`, passed: count === 0 };
}

function latencyOf(samples: readonly Sample[]): Finding {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const first = median(samples.slice(0, third).map(({ p99 }) => p99));
  const last = median(samples.slice(-third).map(({ p99 }) => p99));
  const text = `p99: ${first.toFixed(1)} ms in the first third, ${last.toFixed(1)} ms in the last`;
  return { text, passed: last <= latencyFactor * first };
}

function stallsOf(samples: readonly Sample[]): Finding {
  const usual = median(samples.map(({ perSecond }) => perSecond));
  const rates = samples.map(({ perSecond }) => perSecond);
  const stalled = rates.filter((perSecond) => perSecond < stallShare * usual);
  const text =
    `stalls: ${stalled.length} of ${samples.length} samples under half of ` +
    `${usual.toFixed(0)}/s, the slowest at ${Math.min(...rates).toFixed(0)}/s`;
  return { text, passed: stalled.length === 0 };
}

const signed = (value: number) => `${value >= 0 ? "+" : ""}${value.toFixed(1)}`;
