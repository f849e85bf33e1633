/** Targets side by side: rates and percentiles as bars, histograms, the steps of a ramp. */
import type {
  HistogramBar,
  RampStep,
  ReportData,
  ReportPercentiles,
  ReportReference,
  ReportTarget,
} from "./report-data.ts";
import {
  areaStyle,
  axes,
  chart,
  type Drawing,
  escapeHtml,
  formatMillis,
  formatNumber,
  frameOf,
  linearScale,
  logScale,
  pixel,
} from "./svg.ts";

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  readonly style: string;
}

export function comparisonSection({ targets, references = [] }: ReportData): string {
  if (targets.length === 0) return "";
  const rates = targets.map((target, i): Bar => {
    const value = target.kneePerSecond ?? target.perSecond;
    return { label: target.name, value, text: `${formatNumber(value)}/s`, style: areaStyle(i) };
  });
  const knee = targets.some(({ kneePerSecond }) => kneePerSecond !== undefined);
  const tails = targets.map(({ name, percentiles: { p99 } }, i): Bar => {
    return { label: name, value: p99, text: formatMillis(p99), style: areaStyle(i) };
  });
  return (
    `<section><h2>${targets.length > 1 ? "Side by side" : "Figures"}</h2>` +
    `<h3>${knee ? "highest calls a second within the objective" : "calls a second"}</h3>` +
    chart("calls a second of each target", (width) => barsChart(width, rates)) +
    "<h3>p99</h3>" +
    chart("p99 of each target", (width) => barsChart(width, tails)) +
    targetsTable(targets) +
    targets.map((target) => rampPart(target)).join("") +
    referencesPart(references) +
    "</section>"
  );
}

/** A line of text above each bar: names are long, and pages may be narrow. */
function barsChart(width: number, bars: readonly Bar[]): Drawing {
  const rowHeight = 44;
  const frame = { ...frameOf(width, bars.length * rowHeight + 4), left: 2 };
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const content = bars.map(({ label, value, text, style }, i) => {
    const y = i * rowHeight;
    const room = frame.right - frame.left - 8.5 * text.length;
    const length = Math.max(1.5, (room * value) / most);
    return (
      `<text x="${frame.left}" y="${y + 15}">${escapeHtml(shortened(label, width / 7.2))}</text>` +
      `<rect class="${style}" x="${frame.left}" y="${y + 21}" width="${pixel(length)}" height="16"/>` +
      `<text x="${pixel(frame.left + length + 6)}" y="${y + 34}">${escapeHtml(text)}</text>`
    );
  });
  return { frame, content: content.join("") };
}

function shortened(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, Math.floor(charactersMax) - 1)}…`;
}

function targetsTable(targets: readonly ReportTarget[]): string {
  const watched = targets.some(({ eventsPerSecond }) => eventsPerSecond !== undefined);
  const measured = targets.some(({ clientCpuShare }) => clientCpuShare !== undefined);
  const heads = ["calls", "failed", "calls/s", "p50", "p90", "p99", "p99.9", "max"];
  const rows = targets.map((target) => {
    const { p50, p90, p99, p999, max } = target.percentiles;
    const cells = [
      ...[target.calls, target.failed, target.perSecond].map(formatNumber),
      ...[p50, p90, p99, p999, max].map(formatMillis),
      ...(watched ? [formatNumber(target.eventsPerSecond ?? 0)] : []),
      ...(measured ? [clientText(target)] : []),
    ];
    const numbers = cells.map((cell) => `<td class="number">${escapeHtml(cell)}</td>`).join("");
    return `<tr><td>${escapeHtml(target.name)}</td>${numbers}</tr>${errorsRow(target, cells.length)}`;
  });
  const extra = [...(watched ? ["events/s"] : []), ...(measured ? ["client’s CPU"] : [])];
  const head = [...heads, ...extra].map((text) => `<th class="number">${text}</th>`).join("");
  const walls = targets.filter(({ clientIsWall }) => clientIsWall === true);
  const note = walls.map(
    ({ name }) =>
      `<p class="missed">${escapeHtml(name)}: the load client was the wall; the target may bear more.</p>`,
  );
  return (
    `<div class="scroll"><table><thead><tr><th>target</th>${head}</tr></thead>` +
    `<tbody>${rows.join("")}</tbody></table></div>${note.join("")}`
  );
}

function clientText({ clientCpuShare = 0, clientMicrosPerCall = 0 }: ReportTarget): string {
  return `${Math.round(clientCpuShare * 100)} %, ${formatNumber(clientMicrosPerCall)} µs a call`;
}

function errorsRow({ errors = {} }: ReportTarget, columns: number): string {
  const texts = Object.entries(errors).map(([code, count]) => `${formatNumber(count)} × ${code}`);
  if (texts.length === 0) return "";
  return `<tr><td></td><td class="missed" colspan="${columns}">${escapeHtml(texts.join(", "))}</td></tr>`;
}

function rampPart({ name, ramp }: ReportTarget): string {
  if (ramp === undefined || ramp.length === 0) return "";
  return (
    `<h3>p99 at rising rates: ${escapeHtml(name)} (▲ within the objective, × past it)</h3>` +
    chart(`p99 of ${name} at rising rates`, (width) => rampChart(width, ramp))
  );
}

function rampChart(width: number, ramp: readonly RampStep[]): Drawing {
  const frame = frameOf(width, 170);
  const most = Math.max(...ramp.map(({ offeredPerSecond }) => offeredPerSecond));
  const tails = ramp.map(({ p99Ms }) => p99Ms).filter((value) => value > 0);
  const x = linearScale(most * 1.02, frame.left, frame.right, width < 500 ? 4 : 8);
  const y = logScale(Math.min(...tails, 1), Math.max(...tails, 1), frame.bottom, frame.top);
  const points = ramp.map(({ offeredPerSecond, p99Ms, within }) => {
    const at = x(offeredPerSecond);
    const up = y(p99Ms);
    const [left, right, above, below] = [at - 5, at + 5, up - 5, up + 5].map(pixel);
    const shape = within
      ? `<path class="area0" d="M${pixel(at)} ${above}L${right} ${below}L${left} ${below}Z"/>`
      : `<path class="cross" d="M${left} ${above}L${right} ${below}M${left} ${below}L${right} ${above}"/>`;
    const title = `${formatNumber(offeredPerSecond)}/s offered, p99 ${formatMillis(p99Ms)}`;
    return `<g><title>${title}</title>${shape}</g>`;
  });
  const formatX = (value: number) => `${formatNumber(value)}/s`;
  return {
    frame,
    content: axes(frame, { x, y, formatX, formatY: formatMillis }) + points.join(""),
  };
}

function referencesPart(references: readonly ReportReference[]): string {
  if (references.length === 0) return "";
  const rows = references.map(({ name, perSecond, p99Ms, conditions, source }) => {
    const figures = [
      ...(perSecond === undefined ? [] : [`${formatNumber(perSecond)} calls/s`]),
      ...(p99Ms === undefined ? [] : [`p99 ≤ ${formatMillis(p99Ms)}`]),
    ];
    return (
      `<tr><td>${escapeHtml(name)}</td><td>${figures.join(", ")}</td>` +
      `<td>${escapeHtml(conditions)}</td><td>${escapeHtml(source)}</td></tr>`
    );
  });
  return (
    "<h3>Published by others, on other machines</h3>" +
    '<div class="scroll"><table><thead><tr><th>what</th><th>figure</th><th>conditions</th>' +
    `<th>source</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`
  );
}

export function histogramSection(report: ReportData): string {
  const own = report.targets
    .map(({ name, histogram }, i) => ({ name, histogram: histogram ?? [], style: areaStyle(i) }))
    .filter(({ histogram }) => histogram.length > 0);
  const shown =
    own.length > 0
      ? own
      : [{ name: "all calls", histogram: report.histogram ?? [], style: areaStyle(0) }];
  const drawn = shown.filter(({ histogram }) => histogram.length > 0);
  const tables = report.percentiles === undefined ? "" : percentilesTable(report.percentiles);
  if (drawn.length === 0 && tables === "") return "";
  const charts = drawn.map(
    ({ name, histogram, style }) =>
      `<h3>${escapeHtml(name)}</h3>` +
      chart(`latencies of ${name}`, (width) => histogramChart(width, histogram, style)),
  );
  return `<section><h2>Latencies</h2>${tables}${charts.join("")}</section>`;
}

function percentilesTable({ p50, p90, p99, p999, max }: ReportPercentiles): string {
  const cells = [p50, p90, p99, p999, max].map(
    (value) => `<td class="number">${formatMillis(value)}</td>`,
  );
  const heads = ["p50", "p90", "p99", "p99.9", "max"].map(
    (text) => `<th class="number">${text}</th>`,
  );
  return (
    `<div class="scroll"><table><thead><tr>${heads.join("")}</tr></thead>` +
    `<tbody><tr>${cells.join("")}</tr></tbody></table></div>`
  );
}

function histogramChart(width: number, bars: readonly HistogramBar[], style: string): Drawing {
  const frame = frameOf(width, 170);
  const most = Math.max(...bars.map(({ count }) => count));
  const y = linearScale(most * 1.05, frame.bottom, frame.top, 4);
  const step = (frame.right - frame.left) / bars.length;
  const place = (index: number) => frame.left + index * step;
  const content = bars.map(({ fromMs, toMs, count }, i) => {
    if (count === 0) return "";
    const title = `${formatNumber(count)} calls of ${formatMillis(fromMs)} to ${formatMillis(toMs)}`;
    const height = Math.max(1, frame.bottom - y(count));
    return (
      `<rect class="${style}" x="${pixel(place(i) + 1)}" y="${pixel(frame.bottom - height)}" ` +
      `width="${pixel(Math.max(1, step - 2))}" height="${pixel(height)}"><title>${title}</title></rect>`
    );
  });
  // Under the right edge of each bar stands the latency up to which it counts.
  const x = Object.assign((index: number) => place(index + 1), { ticks: bars.map((_, i) => i) });
  const formatX = (index: number) => formatMillis(bars[index]?.toMs ?? 0);
  const grid = axes(frame, { x, y, formatX, formatY: formatNumber });
  return { frame, content: grid + content.join("") };
}
