/** HDR histograms of microseconds, three digits exact, up to an hour. */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from "hdr-histogram-js";
import type { HistogramBar, ReportPercentiles } from "../report/report-data.ts";

export type { Histogram };

const microsMax = 3_600_000_000;

export function newHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: microsMax,
    numberOfSignificantValueDigits: 3,
  });
}

export function record(histogram: Histogram, millis: number): void {
  histogram.recordValue(Math.min(microsMax, Math.max(1, Math.round(millis * 1_000))));
}

export function encodeHistogram(histogram: Histogram): string {
  return encodeIntoCompressedBase64(histogram);
}

export function addEncoded(to: Histogram, encoded: string): void {
  to.add(decodeFromCompressedBase64(encoded, 32));
}

const millis = (micros: number) => Number((micros / 1_000).toFixed(3));

export function percentilesOf(histogram: Histogram): ReportPercentiles {
  const at = (percentile: number) =>
    histogram.totalCount === 0 ? 0 : millis(histogram.getValueAtPercentile(percentile));
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: at(100) };
}

/** Bars from 0.1 ms on, each to the 1.5-fold of the one before it, without the empty ends. */
export function barsOf(histogram: Histogram): HistogramBar[] {
  if (histogram.totalCount === 0) return [];
  const bars: HistogramBar[] = [];
  let before = 0;
  let from = 0;
  const end = millis(histogram.maxValue);
  for (let to = 0.1; ; to *= 1.5) {
    const upTo = countUpTo(histogram, to);
    bars.push({ fromMs: from, toMs: Number(to.toPrecision(3)), count: upTo - before });
    before = upTo;
    from = Number(to.toPrecision(3));
    if (to >= end) break;
  }
  while (bars.length > 1 && bars[0]?.count === 0) bars.shift();
  return bars;
}

/** Recorded values of at most so many milliseconds: the percentile that they reach tells it. */
function countUpTo(histogram: Histogram, limitMillis: number): number {
  const total = histogram.totalCount;
  let low = 0;
  let high = total;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const value = histogram.getValueAtPercentile((100 * (middle - 0.5)) / total);
    if (millis(value) <= limitMillis) low = middle;
    else high = middle - 1;
  }
  return low;
}
