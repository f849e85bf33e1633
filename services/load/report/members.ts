/** Each member's revision and its lag behind the leader. */
import type { MemberLine, MemberPoint } from "./report-data.ts";
import {
  axes,
  chart,
  type Drawing,
  formatMoment,
  formatNumber,
  frameOf,
  legend,
  linearScale,
  lineStyle,
  pixel,
} from "./svg.ts";

export function membersSection(members: readonly MemberLine[], durationMs: number): string {
  if (!members.some(({ points }) => points.length > 0)) return "";
  const entries = members.map(({ name }, i) => ({ style: lineStyle(i), text: name, line: true }));
  const draw = (title: string, figureOf: (point: MemberPoint) => number) =>
    `<h3>${title}</h3>${chart(title, (width) => linesChart(width, members, durationMs, figureOf))}`;
  const first = Math.min(...members.flatMap(({ points }) => points.map((p) => p.revision)));
  return (
    `<section><h2>Members</h2>${legend(entries)}` +
    draw(`revisions since ${formatNumber(first)}`, ({ revision }) => revision - first) +
    draw("log entries behind the leader", ({ lag }) => lag) +
    "</section>"
  );
}

function linesChart(
  width: number,
  members: readonly MemberLine[],
  durationMs: number,
  figureOf: (point: MemberPoint) => number,
): Drawing {
  const frame = frameOf(width, 160);
  const x = linearScale(durationMs, frame.left, frame.right, width < 500 ? 4 : 10);
  const most = Math.max(1, ...members.flatMap(({ points }) => points.map(figureOf)));
  const y = linearScale(most, frame.bottom, frame.top, 4);
  const lines = members.map(({ points }, i) => {
    const path = points.map((point, at) => {
      const command = at === 0 ? "M" : "L";
      return `${command}${pixel(x(point.t))} ${pixel(y(figureOf(point)))}`;
    });
    return `<path class="${lineStyle(i)}" d="${path.join("")}"/>`;
  });
  const grid = axes(frame, { x, y, formatX: formatMoment, formatY: formatNumber });
  return { frame, content: grid + lines.join("") };
}
