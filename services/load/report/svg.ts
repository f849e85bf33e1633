/** What the charts are drawn with: text that is safe in a page, scales, axes, a frame. */

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function formatNumber(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** `850 µs`, `12.5 ms`, `1.2 s`. */
export function formatMillis(millis: number): string {
  if (millis >= 1_000) return `${formatNumber(millis / 1_000)} s`;
  if (millis > 0 && millis < 1) return `${formatNumber(millis * 1_000)} µs`;
  return `${formatNumber(millis)} ms`;
}

/** A moment of the run: `12.4 s`, `3:05 min`. */
export function formatMoment(millis: number): string {
  if (millis < 120_000) return `${formatNumber(millis / 1_000)} s`;
  const seconds = Math.round(millis / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
}

export interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

/** From 0 to `most` over `from` … `to` pixels, with ticks at round numbers. */
export function linearScale(most: number, from: number, to: number, ticksMax: number): Scale {
  const end = most > 0 ? most : 1;
  const step = roundUp(end / ticksMax);
  const ticks: number[] = [];
  for (let i = 0; i * step <= end * 1.0001; i++) ticks.push(i * step);
  const scale = (value: number) => from + ((to - from) * value) / end;
  return Object.assign(scale, { ticks });
}

/** Powers of ten around `least` … `most`, both above 0. */
export function logScale(least: number, most: number, from: number, to: number): Scale {
  const low = Math.floor(Math.log10(Math.max(least, 1e-3)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(most, 1e-3))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  const scale = (value: number) => {
    const exponent = Math.log10(Math.max(value, 10 ** low));
    return from + ((to - from) * (exponent - low)) / (high - low);
  };
  return Object.assign(scale, { ticks });
}

/** 1, 2 or 5 times a power of ten, not below the value. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((each) => each * power >= value * 0.9999) ?? 10;
  return factor * power;
}

/** Where a chart has room for what it draws, in pixels. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export function frameOf(width: number, height: number, top = 10): Frame {
  return { width, height, left: 58, right: width - 14, top, bottom: height - 26 };
}

export interface Axes {
  readonly x?: Scale | undefined;
  readonly y: Scale;
  readonly formatX?: (value: number) => string;
  readonly formatY: (value: number) => string;
}

/** Grid lines with what they stand for; labels on the x axis keep a distance. */
export function axes(frame: Frame, { x, y, formatX = String, formatY }: Axes): string {
  const { left, right, bottom } = frame;
  const parts = y.ticks.map((tick) => {
    const at = pixel(y(tick));
    return (
      `<line class="grid" x1="${left}" x2="${right}" y1="${at}" y2="${at}"/>` +
      `<text class="tick" x="${left - 6}" y="${at}" dy="4" text-anchor="end">${escapeHtml(formatY(tick))}</text>`
    );
  });
  let free = Number.NEGATIVE_INFINITY;
  for (const tick of x?.ticks ?? []) {
    const label = formatX(tick);
    const half = 3.6 * label.length;
    const at = Math.min(x?.(tick) ?? 0, frame.width - half - 2);
    if (at - half < free) continue;
    free = at + half + 10;
    parts.push(
      `<text class="tick" x="${pixel(at)}" y="${bottom + 17}" text-anchor="middle">${escapeHtml(label)}</text>`,
    );
  }
  return parts.join("");
}

export function pixel(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export interface Drawing {
  readonly frame: Frame;
  readonly content: string;
}

/**
 * The chart twice, for wide and for narrow pages: scaled down, a wide one could not be read. Only
 * one of them is shown.
 */
export function chart(title: string, draw: (width: number) => Drawing): string {
  const versions = [
    { width: 960, shown: "wide" },
    { width: 372, shown: "narrow" },
  ];
  return versions
    .map(({ width, shown }) => {
      const { frame, content } = draw(width);
      return (
        `<svg class="chart ${shown}" role="img" aria-label="${escapeHtml(title)}" ` +
        `viewBox="0 0 ${frame.width} ${frame.height}" width="${frame.width}" height="${frame.height}">` +
        `${content}</svg>`
      );
    })
    .join("");
}

export interface LegendEntry {
  /** Of the swatch. */
  readonly style: string;
  readonly text: string;
  /** A line instead of an area. */
  readonly line?: boolean;
}

export function legend(entries: readonly LegendEntry[]): string {
  const items = entries.map(({ style, text, line }) => {
    const swatch =
      line === true
        ? `<line class="${style}" x1="1" x2="25" y1="7" y2="7"/>`
        : `<rect class="${style}" x="1" y="1" width="24" height="12"/>`;
    return `<li><svg width="26" height="14" aria-hidden="true">${swatch}</svg> ${escapeHtml(text)}</li>`;
  });
  return `<ul class="legend">${items.join("")}</ul>`;
}

/** Series are told apart by colour and by pattern or dashes; more than these begin anew. */
const seriesCount = 6;

export function areaStyle(index: number): string {
  return `area${index % seriesCount}`;
}

export function lineStyle(index: number): string {
  return `line${index % seriesCount}`;
}
