/**
 * A report as one page that needs nothing else: no network, no script. Charts are drawn here, as
 * SVG, for wide and for narrow pages.
 */
import { comparisonSection, histogramSection } from "./comparison.ts";
import { membersSection } from "./members.ts";
import type {
  ReportCheck,
  ReportData,
  ReportFact,
  ReportResult,
  ReportVerdict,
} from "./report-data.ts";
import { patterns, style } from "./style.ts";
import { escapeHtml, formatMillis, formatNumber } from "./svg.ts";
import { durationOf, timelineSection } from "./timeline.ts";

const signs: Readonly<Record<ReportResult, string>> = {
  ...{ passed: "✓", failed: "✗", void: "∅", measured: "•" },
};

export function renderReport(report: ReportData): string {
  const { kind, name, timeline, verdict, checks = [], facts = [], command } = report;
  const title = `${kind} ${name}: ${verdict.result}`;
  const durationMs = durationOf(timeline);
  const when = new Date(timeline.startMs).toISOString().replace("T", " ").slice(0, 19);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${patterns}
<main>
<header>
<h1>${escapeHtml(`${kind} ${name}`)}</h1>
${verdictBox(verdict)}
<p class="note">${when} UTC, for ${formatMillis(durationMs)}</p>
</header>
${checksSection(checks)}
${timelineSection(report)}
${membersSection(timeline.members, durationMs)}
${comparisonSection(report)}
${histogramSection(report)}
${factsSection(facts)}
<footer>
<h2>To repeat it</h2>
<pre>${escapeHtml(command)}</pre>
<p class="note">Report format ${report.version}; <code>--json</code> writes the same numbers.</p>
</footer>
</main>
</body>
</html>
`;
}

function verdictBox({ result, sentence, reasons }: ReportVerdict): string {
  const items = reasons.map((reason) => `<li>${escapeHtml(reason)}</li>`).join("");
  const list = items === "" ? "" : `<ul>${items}</ul>`;
  return (
    `<div class="verdict ${result}"><strong>${signs[result]} ${result}</strong> ` +
    `${escapeHtml(sentence)}${list}</div>`
  );
}

function checksSection(checks: readonly ReportCheck[]): string {
  if (checks.length === 0) return "";
  const rows = checks.map(({ name, measured, wanted, passed }) => {
    const value = typeof measured === "number" ? formatNumber(measured) : measured;
    const held = passed ? "✓ held" : '<span class="missed">✗ missed</span>';
    return (
      `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td>` +
      `<td>${escapeHtml(wanted)}</td><td>${held}</td></tr>`
    );
  });
  return (
    '<section><h2>What had to hold</h2><div class="scroll"><table><thead><tr><th>what</th>' +
    `<th>measured</th><th>wanted</th><th></th></tr></thead><tbody>${rows.join("")}</tbody></table>` +
    "</div></section>"
  );
}

function factsSection(facts: readonly ReportFact[]): string {
  if (facts.length === 0) return "";
  const rows = facts.map(({ name, value }) => {
    const text = typeof value === "number" ? formatNumber(value) : value;
    return `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(text)}</td></tr>`;
  });
  return (
    '<section><h2>More</h2><div class="scroll"><table><tbody>' +
    `${rows.join("")}</tbody></table></div></section>`
  );
}
