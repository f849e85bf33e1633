/** The report page's text, the reading of saved reports, and the gate. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gateChecks, yardstickName } from "../../services/load/gate.ts";
import { renderReport } from "../../services/load/report/page.ts";
import { type ReportData, readReportData } from "../../services/load/report/report-data.ts";
import { sampleDrill } from "./sample-report.ts";

test("the page has the verdict first, the command last, and all that happened between", () => {
  const page = renderReport(sampleDrill());
  const order = [
    "drill leader-kill",
    "writes stood still for 212 ms",
    "UNAVAILABLE &#60;b&#62;",
    "write outage, p99",
    "SIGKILL of master-0, which led",
    "master-2 leads in term 6: votes were split",
    "no writes for 212 ms",
    "log entries behind the leader",
    "retries",
    "npm run drill -- leader-kill --seed 42",
  ];
  let at = -1;
  for (const text of order) {
    const next = page.indexOf(text, at + 1);
    assert.ok(next > at, `"${text}" is missing, or not in its place`);
    at = next;
  }
});

test("the page needs nothing besides itself and runs nothing", () => {
  const page = renderReport(sampleDrill());
  assert.doesNotMatch(page, /<script|https?:\/\/|@import|url\((?!#)/);
  assert.match(page, /prefers-color-scheme: dark/);
  assert.match(page, /@media print/);
});

test("a run of nothing is drawn as well", () => {
  const bare: ReportData = {
    version: 1,
    ...{ kind: "load", name: "put", command: "npm run load", targets: [] },
    verdict: { result: "void", sentence: "No call was made.", reasons: [] },
    timeline: { startMs: 0, faults: [], elections: [], members: [] },
  };
  const page = renderReport(bare);
  assert.match(page, /∅ void/);
  assert.doesNotMatch(page, /NaN|Infinity|undefined/);
  const marked = { ...bare.timeline, faults: [{ t: 5, name: "one" }] };
  assert.match(renderReport({ ...bare, timeline: marked }), /<svg class="chart wide"/);
});

test("a file that is no report is refused with what is wrong", () => {
  const report = JSON.parse(JSON.stringify(sampleDrill()));
  assert.deepEqual(readReportData(report), report);
  const wrong = (change: object, message: RegExp) =>
    assert.throws(() => readReportData({ ...report, ...change }), message);
  wrong({ version: 2 }, /version is 2, and must be 1/);
  wrong({ kind: "x" }, /kind is "x"/);
  wrong({ verdict: {} }, /verdict\.sentence/);
  wrong({ timeline: { startMs: 1 } }, /timeline\.faults/);
  wrong({ targets: {} }, /targets/);
  assert.throws(() => readReportData([]), /version is undefined/);
  assert.throws(() => readReportData(null), /no JSON object/);
});

function run(
  yardstick: number,
  ...figures: readonly (readonly [perSecond: number, p99: number])[]
) {
  const names = ["grpc://a:1", "etcd://b:2"];
  return {
    ...sampleDrill(),
    ...{ kind: "load", name: "put", facts: [{ name: yardstickName, value: yardstick }] },
    targets: figures.map(([perSecond, p99], i) => ({
      ...{ name: names[i] ?? "", calls: 1, failed: 0, perSecond },
      percentiles: { p50: 1, p90: 1, p99, p999: 1, max: 1 },
    })),
  } as ReportData;
}

const held = (now: ReportData, saved: ReportData) =>
  gateChecks(now, saved, 25).map(({ passed }) => passed);

test("one target is compared by the machine's pace, not by the clock", () => {
  const saved = run(100_000, [1_000, 10]);
  assert.deepEqual(held(run(100_000, [1_000, 10]), saved), [true, true]);
  // A machine of half the speed.
  assert.deepEqual(held(run(50_000, [500, 20]), saved), [true, true]);
  assert.deepEqual(held(run(100_000, [500, 10]), saved), [false, true]);
  assert.deepEqual(held(run(100_000, [1_000, 20]), saved), [true, false]);
});

test("of two targets the second is the measure of the first", () => {
  const saved = run(1, [1_000, 10], [2_000, 5]);
  assert.deepEqual(held(run(1, [500, 20], [1_000, 10]), saved), [true, true]);
  assert.deepEqual(held(run(1, [500, 10], [2_000, 5]), saved), [false, true]);
});

test("runs that have nothing in common cannot be compared", () => {
  const saved = run(1, [1_000, 10]);
  assert.throws(() => gateChecks({ ...saved, name: "get" }, saved, 25), /not load get/);
  assert.throws(() => gateChecks(run(0, [1, 1]), saved, 25), /no target in common/);
});
