/** A report as a table in the terminal. */
import { count } from "./load-report.ts";
import type { ReportData, ReportReference, ReportTarget } from "./report/report-data.ts";

export function printReport(report: ReportData): string {
  const { targets, verdict, references = [], facts = [] } = report;
  const ramped = targets.some(({ kneePerSecond }) => kneePerSecond !== undefined);
  const head = ["TARGET", ...(ramped ? ["KNEE/S"] : []), "CALLS/S", "P50", "P90", "P99", "P99.9"];
  const rows = [
    [...head, "MAX ms", "FAILED", "CLIENT CPU"],
    ...targets.map((target) => rowOf(target, ramped)),
  ];
  return [
    table(rows),
    "",
    verdict.sentence,
    ...verdict.reasons.map((reason) => `  ${reason}`),
    ...targets.flatMap(wallText),
    ...(report.checks ?? []).map(
      ({ name, measured, wanted, passed }) =>
        `${passed ? "held" : "MISSED"}: ${name}: ${measured} (${wanted})`,
    ),
    "",
    ...facts.map(({ name, value }) => `${name}: ${value}`),
    ...(references.length > 0 ? ["", "published by others, on other machines:"] : []),
    ...references.map(referenceText),
    "",
  ].join("\n");
}

function rowOf(target: ReportTarget, ramped: boolean): string[] {
  const { name, perSecond, percentiles, failed, kneePerSecond = 0 } = target;
  const { p50, p90, p99, p999, max } = percentiles;
  const share = Math.round((target.clientCpuShare ?? 0) * 100);
  return [
    ...[name, ...(ramped ? [count(kneePerSecond)] : []), count(perSecond)],
    ...[p50, p90, p99, p999, max].map(String),
    ...[count(failed), `${share} % (${target.clientMicrosPerCall ?? 0} µs a call)`],
  ];
}

function wallText({ name, clientIsWall, clientCpuShare = 0 }: ReportTarget): string[] {
  if (clientIsWall !== true) return [];
  const share = Math.round(clientCpuShare * 100);
  return [
    `${name}: the client is the wall: its threads were busy for ${share} % of the time; the target ` +
      "may bear more (try --threads, or another machine)",
  ];
}

function referenceText({ name, perSecond, p99Ms, conditions, source }: ReportReference): string {
  const rate = perSecond === undefined ? [] : [`${count(perSecond)} calls/s`];
  const p99 = p99Ms === undefined ? [] : [`p99 ≤ ${count(p99Ms)} ms`];
  return `  ${name}: ${[...rate, ...p99].join(", ")} (${conditions}; ${source})`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
