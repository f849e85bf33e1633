/**
 * The page's style: colours of Okabe and Ito's set, which eyes without colour vision tell apart by
 * brightness, and patterns beside them; dark where the reader's system is; plain on paper.
 */
const light = `
  --page: #ffffff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de; --panel: #f6f8fa;
  --c0: #0072b2; --c1: #c75000; --c2: #00795a; --c3: #a3488a; --c4: #8a6d00; --c5: #4d4d4d;
  --bad: #b3261e; --slow: #b87700; --good: #00795a; --fault: #b3261e22; --outage: #b3261e;
`;
const dark = `
  --page: #12161b; --text: #e6edf3; --soft: #a3adb8; --line: #3a434d; --panel: #1b2129;
  --c0: #56b4e9; --c1: #f0a35a; --c2: #3fcf9f; --c3: #e39bcb; --c4: #e8d44d; --c5: #c9d1d9;
  --bad: #ff8a80; --slow: #f2c14e; --good: #3fcf9f; --fault: #ff8a8033; --outage: #ff8a80;
`;

const dashes = ["", "7 3", "2 3", "9 3 2 3", "4 4", "12 4"];

export const style = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
@media print { :root { color-scheme: light; ${light} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 20px; }
h1 { font-size: 1.35rem; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 32px 0 6px; }
h3 { font-size: 0.92rem; margin: 16px 0 2px; color: var(--soft); font-weight: 600; }
p { margin: 6px 0; }
.verdict { border: 2px solid var(--line); border-left-width: 10px; border-radius: 6px;
  background: var(--panel); padding: 12px 16px; overflow-wrap: anywhere; }
.verdict.passed { border-color: var(--good); }
.verdict.failed, .verdict.void { border-color: var(--bad); }
.verdict strong { text-transform: uppercase; letter-spacing: 0.04em; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.note { color: var(--soft); font-size: 0.86rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.88rem; width: 100%; margin-top: 6px; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.missed { color: var(--bad); font-weight: 600; }
.chart { display: block; max-width: 100%; height: auto; }
.chart text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--text); }
.chart text.tick { fill: var(--soft); font-size: 11px; }
.chart text.mark { font-size: 11px; font-weight: 700; fill: var(--page); }
.narrow { display: none; }
.grid { stroke: var(--line); stroke-width: 1; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 4px 0; padding: 0;
  font-size: 0.84rem; }
.legend li { overflow-wrap: anywhere; }
.legend svg { vertical-align: -2px; }
.slow { fill: url(#slow); stroke: var(--slow); stroke-width: 0.6; }
.failed { fill: url(#failed); stroke: var(--bad); stroke-width: 0.6; }
.point { fill: var(--c0); fill-opacity: 0.55; }
.cross { stroke: var(--bad); stroke-width: 1.6; fill: none; }
.wedge { fill: none; stroke: var(--slow); stroke-width: 1.4; }
.fault { fill: var(--fault); }
.fault-edge { stroke: var(--bad); stroke-width: 1.5; }
.election { stroke: var(--text); stroke-width: 1.2; stroke-dasharray: 4 3; }
.outage { fill: url(#outage); }
.mark-fault { fill: var(--bad); }
.mark-election { fill: var(--text); }
.mark-outage { fill: var(--soft); }
.objective { stroke: var(--bad); stroke-width: 1.2; stroke-dasharray: 6 4; }
${dashes
  .map(
    (dash, i) => `
.area${i} { fill: ${i === 0 ? "var(--c0)" : `url(#area${i})`}; stroke: var(--c${i}); stroke-width: 0.8; }
.line${i} { fill: none; stroke: var(--c${i}); stroke-width: 1.8;${dash === "" ? "" : ` stroke-dasharray: ${dash};`} }`,
  )
  .join("")}
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.86rem; margin: 6px 0; }
footer { margin-top: 32px; border-top: 1px solid var(--line); padding-top: 8px; }
@media screen and (max-width: 700px) {
  main { padding: 14px; }
  .wide { display: none; }
  .narrow { display: block; }
}
@media print {
  main { max-width: none; padding: 0; }
  .chart, tr, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 0.72rem; }
  th, td { padding-right: 6px; }
  td.number, th.number { white-space: normal; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
`;

function pattern(id: string, color: string, shape: string, solid = 0.22): string {
  return (
    `<pattern id="${id}" width="8" height="8" patternUnits="userSpaceOnUse">` +
    `<rect width="8" height="8" style="fill: var(--page)"/>` +
    `<rect width="8" height="8" style="fill: ${color}; fill-opacity: ${solid}"/>` +
    `<path d="${shape}" style="fill: none; stroke: ${color}; stroke-width: 1.8"/></pattern>`
  );
}

const rising = "M-2 10 L10 -2 M-2 2 L2 -2 M6 10 L10 6";
const falling = "M-2 -2 L10 10 M6 -2 L10 2 M-2 6 L2 10";

/** Patterns by which areas differ without colour. */
export const patterns =
  `<svg width="0" height="0" style="position: absolute" aria-hidden="true"><defs>` +
  pattern("slow", "var(--slow)", rising) +
  pattern("failed", "var(--bad)", `${rising} ${falling}`, 0.45) +
  pattern("outage", "var(--outage)", falling, 0.1) +
  pattern("area1", "var(--c1)", falling) +
  pattern("area2", "var(--c2)", "M0 4 H8") +
  pattern("area3", "var(--c3)", "M4 0 V8") +
  pattern("area4", "var(--c4)", "M0 4 H8 M4 0 V8") +
  pattern("area5", "var(--c5)", rising) +
  `</defs></svg>`;
