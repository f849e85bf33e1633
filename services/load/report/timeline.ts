/** The timeline: calls, latencies, and over them faults, elections and outages, by number. */
import type { ReportData, ReportTimeline, RequestBucket, RequestPoint } from "./report-data.ts";
import {
  areaStyle,
  axes,
  chart,
  type Drawing,
  escapeHtml,
  type Frame,
  formatMillis,
  formatMoment,
  formatNumber,
  frameOf,
  type LegendEntry,
  legend,
  linearScale,
  logScale,
  pixel,
  type Scale,
} from "./svg.ts";

/** Something that happened, with its number on the charts. */
interface Mark {
  readonly kind: "fault" | "election" | "outage";
  readonly t: number;
  readonly end: number | undefined;
  readonly text: string;
}

const markSize = 18;
const drawnPointsMax = 4_000;
const derivedBuckets = 120;

export function timelineSection(report: ReportData): string {
  const { timeline } = report;
  const durationMs = durationOf(timeline);
  const buckets = timeline.buckets ?? bucketsOf(timeline.requests ?? [], durationMs);
  const marks = marksOf(timeline);
  const targets = [...new Set(buckets.map(({ target }) => target ?? ""))];
  const parts: string[] = [];
  if (buckets.length > 0) {
    parts.push(
      "<h3>calls a second</h3>",
      legend(countLegend(buckets, targets)),
      chart("calls a second over time", (width) =>
        countChart(width, buckets, targets, durationMs, marks),
      ),
      "<h3>latency</h3>",
      latencyCharts(timeline, buckets, durationMs, marks),
    );
  } else if (marks.length > 0) {
    parts.push(chart("what happened over time", (width) => bareChart(width, durationMs, marks)));
  }
  if (marks.length > 0) parts.push(marksTable(marks));
  return parts.length === 0 ? "" : `<section><h2>Timeline</h2>${parts.join("")}</section>`;
}

export function durationOf(timeline: ReportTimeline): number {
  const { requests = [], buckets = [], outages = [], durationMs = 0 } = timeline;
  let last = durationMs;
  for (const { t, latencyMs } of requests) last = Math.max(last, t + latencyMs);
  for (const { t, widthMs } of buckets) last = Math.max(last, t + widthMs);
  for (const { t, end = t } of [...timeline.faults, ...outages]) last = Math.max(last, end);
  for (const { t } of timeline.elections) last = Math.max(last, t);
  for (const { points } of timeline.members) last = Math.max(last, points.at(-1)?.t ?? 0);
  return Math.max(1, last);
}

/** Calls counted by when they ended. */
function bucketsOf(requests: readonly RequestPoint[], durationMs: number): RequestBucket[] {
  if (requests.length === 0) return [];
  const widthMs = Math.max(50, Math.ceil(durationMs / derivedBuckets / 50) * 50);
  const found = new Map<number, { ok: number; slow: number; failed: number; millis: number[] }>();
  for (const { t, latencyMs, outcome } of requests) {
    const index = Math.floor((t + latencyMs) / widthMs);
    const bucket = found.get(index) ?? { ok: 0, slow: 0, failed: 0, millis: [] };
    bucket[outcome]++;
    bucket.millis.push(latencyMs);
    found.set(index, bucket);
  }
  return [...found].map(([index, { millis, ...counts }]) => {
    millis.sort((a, b) => a - b);
    const at = (share: number) => millis[Math.floor((millis.length - 1) * share)];
    return { t: index * widthMs, widthMs, ...counts, p50Ms: at(0.5), p99Ms: at(0.99) };
  });
}

function marksOf({ faults, elections, outages = [] }: ReportTimeline): Mark[] {
  return [
    ...faults.map(({ t, end, name }) => ({ kind: "fault" as const, t, end, text: name })),
    ...elections.map(({ t, term, leader, cause }) => {
      const why = cause === undefined ? "" : `: ${cause}`;
      return {
        kind: "election" as const,
        ...{ t, end: undefined, text: `${leader} leads in term ${term}${why}` },
      };
    }),
    ...outages.map(({ t, end, name }) => {
      return { kind: "outage" as const, t, end, text: `no ${name} for ${formatMillis(end - t)}` };
    }),
  ].sort((a, b) => a.t - b.t);
}

function marksTable(marks: readonly Mark[]): string {
  const rows = marks.map(({ kind, t, end, text }, i) => {
    const until = end === undefined ? "" : ` – ${formatMoment(end)}`;
    return (
      `<tr><td class="number">${i + 1}</td><td>${formatMoment(t)}${until}</td>` +
      `<td>${kind}</td><td>${escapeHtml(text)}</td></tr>`
    );
  });
  return (
    `<div class="scroll"><table><thead><tr><th class="number">№</th><th>when</th><th></th>` +
    `<th>what</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`
  );
}

interface Lanes {
  /** Height of all lanes together. */
  readonly height: number;
  readonly content: string;
}

/** The numbers above a chart, each where it has room, in as many lanes as that takes. */
function markLanes(marks: readonly Mark[], x: Scale): Lanes {
  const ends: number[] = [];
  const placed = marks.map((mark, i) => {
    const at = x(mark.t);
    let lane = ends.findIndex((end) => end + 2 <= at - markSize / 2);
    if (lane < 0) lane = ends.length;
    ends[lane] = at + markSize / 2;
    return { ...mark, at, lane, number: i + 1 };
  });
  const content = placed.map(({ kind, at, lane, number, text }) => {
    const y = lane * (markSize + 2) + markSize / 2;
    return (
      `<g><title>${escapeHtml(text)}</title>` +
      `<circle class="mark-${kind}" cx="${pixel(at)}" cy="${y}" r="${markSize / 2 - 0.5}"/>` +
      `<text class="mark" x="${pixel(at)}" y="${y}" dy="4" text-anchor="middle">${number}</text></g>`
    );
  });
  return { height: ends.length * (markSize + 2), content: content.join("") };
}

function spans(marks: readonly Mark[], x: Scale, { top, bottom }: Frame): string {
  return marks
    .map(({ kind, t, end }) => {
      const at = x(t);
      const width = Math.max(1.5, (end === undefined ? at : x(end)) - at);
      if (kind === "election") {
        return `<line class="election" x1="${pixel(at)}" x2="${pixel(at)}" y1="${top}" y2="${bottom}"/>`;
      }
      const area = `x="${pixel(at)}" y="${top}" width="${pixel(width)}" height="${bottom - top}"`;
      if (kind === "outage") return `<rect class="outage" ${area}/>`;
      const edge = `<line class="fault-edge" x1="${pixel(at)}" x2="${pixel(at)}" y1="${top}" y2="${bottom}"/>`;
      return end === undefined ? edge : `<rect class="fault" ${area}/>${edge}`;
    })
    .join("");
}

/** Lays out the marks first, for their lanes take room above the chart. */
function overTime(
  width: number,
  plotHeight: number,
  durationMs: number,
  marks: readonly Mark[],
  body: (frame: Frame, x: Scale) => { readonly y: Scale; readonly content: string },
  formatY: (value: number) => string,
): Drawing {
  const bare = frameOf(width, plotHeight);
  const ticksMax = width < 500 ? 4 : 10;
  const x = linearScale(durationMs, bare.left, bare.right, ticksMax);
  const lanes = markLanes(marks, x);
  const frame = frameOf(width, plotHeight + lanes.height, 10 + lanes.height);
  const { y, content } = body(frame, x);
  return {
    frame,
    content:
      axes(frame, { x, y, formatX: formatMoment, formatY }) +
      spans(marks, x, frame) +
      content +
      lanes.content,
  };
}

function countLegend(buckets: readonly RequestBucket[], targets: readonly string[]): LegendEntry[] {
  const any = (key: "slow" | "failed") => buckets.some((bucket) => bucket[key] > 0);
  return [
    ...targets.map((target, i) => ({ style: areaStyle(i), text: target === "" ? "ok" : target })),
    ...(any("slow") ? [{ style: "slow", text: "slow" }] : []),
    ...(any("failed") ? [{ style: "failed", text: "failed" }] : []),
  ];
}

function countChart(
  width: number,
  buckets: readonly RequestBucket[],
  targets: readonly string[],
  durationMs: number,
  marks: readonly Mark[],
): Drawing {
  const totals = new Map<number, number>();
  const perSecond = (count: number, { widthMs }: RequestBucket) => (count * 1_000) / widthMs;
  for (const bucket of buckets) {
    const { t, ok, slow, failed } = bucket;
    totals.set(t, (totals.get(t) ?? 0) + perSecond(ok + slow + failed, bucket));
  }
  const most = Math.max(...totals.values());
  const body = (frame: Frame, x: Scale) => {
    const y = linearScale(most * 1.05, frame.bottom, frame.top, 4);
    const heights = new Map<number, number>();
    const content = buckets.flatMap((bucket) => {
      const { t, widthMs, ok, slow, failed, target = "" } = bucket;
      const styles = [areaStyle(Math.max(0, targets.indexOf(target))), "slow", "failed"];
      return [ok, slow, failed].map((count, i) => {
        if (count === 0) return "";
        const from = heights.get(t) ?? 0;
        const to = from + perSecond(count, bucket);
        heights.set(t, to);
        const left = x(t);
        const barWidth = Math.max(0.8, x(Math.min(t + widthMs, durationMs)) - left - 0.4);
        return (
          `<rect class="${styles[i]}" x="${pixel(left)}" y="${pixel(y(to))}" ` +
          `width="${pixel(barWidth)}" height="${pixel(Math.max(0.8, y(from) - y(to)))}"/>`
        );
      });
    });
    return { y, content: content.join("") };
  };
  return overTime(width, 190, durationMs, marks, body, formatNumber);
}

function latencyCharts(
  timeline: ReportTimeline,
  buckets: readonly RequestBucket[],
  durationMs: number,
  marks: readonly Mark[],
): string {
  const requests = thinned(timeline.requests ?? []);
  const targets = [...new Set(buckets.map(({ target }) => target ?? ""))];
  const name = (target: string) => (target === "" ? "" : ` ${target}`);
  const lines = targets.flatMap((target, i) => [
    { style: `line${(2 * i) % 6}`, text: `p99${name(target)}`, key: "p99Ms" as const, target },
    { style: `line${(2 * i + 1) % 6}`, text: `p50${name(target)}`, key: "p50Ms" as const, target },
  ]);
  const shown = requests.length > 0 ? [] : lines;
  const values = [
    ...requests.map(({ latencyMs }) => latencyMs),
    ...(requests.length > 0
      ? []
      : buckets.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms].filter((v) => v !== undefined))),
  ].filter((value) => value > 0);
  if (values.length === 0) return "";
  const entries: LegendEntry[] =
    requests.length > 0
      ? [{ style: "point", text: "a call; △ slow, × failed" }]
      : lines.map(({ style, text }) => ({ style, text, line: true }));
  const least = values.reduce((a, b) => Math.min(a, b));
  const most = values.reduce((a, b) => Math.max(a, b));
  const draw = (width: number) =>
    overTime(
      width,
      190,
      durationMs,
      marks,
      (frame, x) => {
        const y = logScale(least, most, frame.bottom, frame.top);
        const dots = requests.map((request) => pointAt(request, x, y));
        const paths = shown.map(({ style, key, target }) =>
          bucketLine(buckets, target, key, style, x, y),
        );
        return { y, content: [...dots, ...paths].join("") };
      },
      formatMillis,
    );
  return legend(entries) + chart("latency over time", draw);
}

/** Every slow and failed call, and of the others as many as can be seen. */
function thinned(requests: readonly RequestPoint[]): readonly RequestPoint[] {
  const every = Math.ceil(requests.length / drawnPointsMax);
  return requests.filter(({ outcome }, i) => i % every === 0 || (every < 20 && outcome !== "ok"));
}

function pointAt({ t, latencyMs, outcome }: RequestPoint, x: Scale, y: Scale): string {
  const at = x(t);
  const up = y(latencyMs);
  const [left, right, above, below] = [at - 3, at + 3, up - 3, up + 3].map(pixel);
  if (outcome === "failed") {
    return `<path class="cross" d="M${left} ${above}L${right} ${below}M${left} ${below}L${right} ${above}"/>`;
  }
  if (outcome === "slow") {
    return `<path class="wedge" d="M${pixel(at)} ${above}L${right} ${below}L${left} ${below}Z"/>`;
  }
  return `<circle class="point" cx="${pixel(at)}" cy="${pixel(up)}" r="1.6"/>`;
}

/** Broken where the target had no calls: it was another one's turn. */
function bucketLine(
  buckets: readonly RequestBucket[],
  target: string,
  key: "p50Ms" | "p99Ms",
  style: string,
  x: Scale,
  y: Scale,
): string {
  let path = "";
  let lastEnd = Number.NEGATIVE_INFINITY;
  const own = buckets.filter((bucket) => (bucket.target ?? "") === target);
  for (const bucket of own.toSorted((a, b) => a.t - b.t)) {
    const value = bucket[key];
    if (value === undefined) continue;
    const joined = bucket.t <= lastEnd + bucket.widthMs / 2;
    path += `${joined ? "L" : "M"}${pixel(x(bucket.t + bucket.widthMs / 2))} ${pixel(y(value))}`;
    lastEnd = bucket.t + bucket.widthMs;
  }
  return `<path class="${style}" d="${path}"/>`;
}

function bareChart(width: number, durationMs: number, marks: readonly Mark[]): Drawing {
  const body = (frame: Frame) => {
    const y = Object.assign(() => frame.bottom, { ticks: [] });
    return { y, content: "" };
  };
  return overTime(width, 70, durationMs, marks, body, String);
}
