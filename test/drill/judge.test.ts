/** The verdict, from evidence alone: what passes, what fails with which words, what is void. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { check } from "../../services/drill/checker/main.ts";
import { judge } from "../../services/drill/judge/verdict.ts";
import { reportOf } from "../../services/drill/report.ts";
import { loosened } from "../../services/drill/thresholds.ts";
import { readReportData } from "../../services/load/report/report-data.ts";
import { type Draft, passingEvidence } from "./evidence.ts";

function verdictOf(spoil: (evidence: Draft) => void) {
  const evidence = passingEvidence();
  spoil(evidence);
  return judge(evidence, check(evidence));
}

test("a drill in which all went well passes, and its numbers are those of the evidence", () => {
  const verdict = verdictOf(() => {});
  assert.equal(verdict.result, "passed", verdict.reasons.join("\n"));
  assert.deepEqual(verdict.reasons, []);
  assert.match(verdict.sentence, /^leader-kill passed: a write outage of \d+ ms, 500 acknowledged/);
  // From the fault to the first answer, 105 ms after it.
  assert.deepEqual([verdict.writes.p50, verdict.writes.p99], [105, 105]);
  assert.deepEqual(verdict.codes, { OK: 800 });
  const [election] = verdict.elections;
  assert.deepEqual(
    { ...election },
    { t: 2_095, term: 2, leader: "m1", cause: "SIGKILL of m0", leaderlessMillis: 90 },
  );
});

test("while the machine holds the drill up, no outage counts, and the report tells of it", () => {
  const verdict = verdictOf(({ timeline }) => {
    timeline.push(
      // Before the gap, wholly in it, and beyond its end.
      { kind: "held-up", t: 1_900, millis: 500 },
      { kind: "held-up", t: 2_060, millis: 20 },
      { kind: "held-up", t: 2_120, millis: 20 },
    );
  });
  // 105 ms, of which the drill could not look for 20 and for 10.
  assert.equal(verdict.writes.p99, 75);
  assert.equal(verdict.facts["ms the machine held the drill up (no outage)"], 540);
  assert.equal(verdict.facts["the longest of these, ms"], 500);
});

describe("what must never happen fails the drill, whatever else is wrong with it", () => {
  const spoils: readonly (readonly [RegExp, (evidence: Draft) => void])[] = [
    [
      /^1 acknowledged writes lost: k-500 = run\.c0\.500, acknowledged at revision \d+$/,
      ({ outcome }) => delete (outcome.entries as Record<string, string>)["k-500"],
    ],
    [
      /^1 writes doubled: r-0=run\.c1\.400 at revisions \d+, 9000$/,
      ({ outcome }) => {
        const again = { revision: 9_000, type: "put", key: "r-0", value: "run.c1.400" } as const;
        (outcome.changes as (typeof again)[]).push(again);
      },
    ],
    [
      /^\d writes reordered: .*c0 wrote k-500 at revision 3, after one at \d+/,
      ({ calls }) => {
        const at = calls.findIndex(({ key }) => key === "k-500");
        calls[at] = { ...(calls[at] as (typeof calls)[number]), revision: 3 };
      },
    ],
    [
      /^not linearizable: r-0: \d+ of 400 calls fit, not all of: /,
      ({ calls }) => {
        const at = calls.findIndex(({ op, t }) => op === "read" && t > 3_000);
        calls[at] = { ...(calls[at] as (typeof calls)[number]), value: "run.c1.400" };
      },
    ],
    [
      /^1 watch guarantees broken: watch reliable: w0 saw \d+: k-\d+ = .* where the store has /,
      ({ watches }) => watches.splice(40, 1),
    ],
    [
      /^the members differ: m0 1, m1 2, m2 1$/,
      ({ outcome }) => {
        (outcome.hashes as Record<string, number>)["m1"] = 2;
      },
    ],
    [
      /^\d+ writes were acknowledged without a quorum$/,
      ({ timeline }) => timeline.push({ kind: "silence", t: 2_200, end: 2_500 }),
    ],
    [
      /^m2 led in term 1 as well as m0$/,
      ({ timeline }) => {
        const [, status] = timeline;
        timeline.push({ ...status, name: "m2", t: 2_000 } as (typeof timeline)[number]);
      },
    ],
  ];
  for (const [words, spoil] of spoils) {
    test(String(words), () => {
      const verdict = verdictOf((evidence) => {
        spoil(evidence);
        // A drill that is void besides.
        evidence.timeline.push({ kind: "interrupted", t: 3_999 });
      });
      assert.equal(verdict.result, "failed");
      assert.match(verdict.reasons[0] ?? "", words);
      assert.ok(verdict.sentence.includes("failed: "));
    });
  }
});

describe("a drill that proves nothing is void", () => {
  const spoils: readonly (readonly [RegExp, (evidence: Draft) => void])[] = [
    [
      /^the load was not steady before the fault: 0 writes acknowledged, where at least \d+ were/,
      ({ calls }) => calls.splice(0),
    ],
    [
      /^the load was not steady before the fault: a gap of 1\d\d\d ms$/,
      (evidence) => {
        evidence.plan = { ...evidence.plan, rate: 20 };
        evidence.calls = evidence.calls.filter(({ t }) => t < 320 || t > 1_830);
      },
    ],
    [
      /^the victim, m0, is not who led when it was struck: it was follower$/,
      ({ timeline }) => {
        timeline[3] = { kind: "victim", t: 2_004, name: "m0", wanted: "leader", was: "follower" };
      },
    ],
    [/^no fault was set$/, ({ timeline }) => timeline.splice(4, 1)],
    [
      /^no fault was set: waited 15000 ms for a leader$/,
      ({ timeline }) => {
        const text = "waited 15000 ms for a leader";
        timeline.splice(4, 1, { kind: "failure", t: 2_005, text });
      },
    ],
    [
      /^the load was not steady before the fault: 0 writes acknowledged, where at least \d+ were/,
      ({ calls, timeline }) => {
        calls.splice(0);
        timeline.splice(4, 1);
      },
    ],
    [
      /^the drill was interrupted$/,
      ({ timeline }) => timeline.push({ kind: "interrupted", t: 3_999 }),
    ],
    [
      /^only 1 of 3 rounds were held$/,
      (evidence) => {
        evidence.plan = { ...evidence.plan, repeat: 3 };
      },
    ],
  ];
  for (const [words, spoil] of spoils) {
    test(String(words), () => {
      const evidence = passingEvidence();
      spoil(evidence);
      const empty = {
        linearizable: "yes",
        detail: undefined,
        registerCalls: 0,
        watch: [],
      } as const;
      const { result, reasons } = judge(evidence, empty);
      const shown = reasons.find((reason) => words.test(reason));
      assert.equal(result, "void", reasons.join("\n"));
      assert.ok(shown, reasons.join("\n"));
    });
  }

  test("what the checker could not decide", () => {
    const evidence = passingEvidence();
    const detail = "the checker had not finished after 60 s";
    const undecided = { linearizable: "undecided", detail, registerCalls: 0, watch: [] } as const;
    const { result, reasons } = judge(evidence, undecided);
    assert.equal(result, "void");
    assert.deepEqual(reasons, [
      `whether the history is linearizable could not be decided: ${detail}`,
    ]);
  });
});

describe("thresholds", () => {
  const spoils: readonly (readonly [string, (evidence: Draft) => void])[] = [
    [
      "write outage (p99 over rounds): 105 ms, above 100 ms",
      (evidence) => {
        evidence.plan = { ...evidence.plan, thresholds: { writeOutageMillis: 100 } as never };
      },
    ],
    [
      "calls failed: 1, above 0; the first: INTERNAL: broken",
      ({ calls }) => {
        const read = { op: "read", client: "c7", key: "r-0", due: 5, t: 5 } as const;
        calls.push({ ...read, code: "INTERNAL", error: "broken" });
      },
    ],
    ["relists: 1, above 0", ({ watches }) => watches.push({ kind: "relist", watcher: "w0", t: 9 })],
    [
      "elections a round: 2, above 1",
      ({ timeline }) => {
        const status = timeline.find(({ kind, t }) => kind === "status" && t > 2_000);
        timeline.push({ ...status, name: "m2", term: 3, t: 3_500 } as (typeof timeline)[number]);
      },
    ],
    ["it broke", ({ timeline }) => timeline.push({ kind: "failure", t: 1, text: "it broke" })],
  ];
  for (const [words, spoil] of spoils) {
    test(words, () => {
      const { result, reasons } = verdictOf(spoil);
      assert.deepEqual({ result, reasons }, { result: "failed", reasons: [words] });
    });
  }
});

test("the report has the form that load tests share, and what was overridden says so", () => {
  const evidence = passingEvidence();
  evidence.plan = { ...evidence.plan, overridden: ["relists"] };
  const report = reportOf(evidence, judge(evidence, check(evidence)));
  const read = readReportData(JSON.parse(JSON.stringify(report)));
  assert.deepEqual(read, JSON.parse(JSON.stringify(report)));
  assert.equal(read.timeline.requests?.length, 800);
  assert.deepEqual(read.timeline.faults, [{ t: 2_005, end: 2_900, name: "SIGKILL of m0" }]);
  const relists = read.checks?.find(({ name }) => name === "relists");
  assert.deepEqual(relists, {
    name: "relists",
    measured: "0",
    wanted: "≤ 0 (overridden)",
    passed: true,
  });
  assert.ok(read.checks?.every(({ passed }) => passed));
});

test("a slow machine is given time, and nothing else", () => {
  const limits = { writeOutageMillis: 300, failedCalls: 0, relists: 0, elections: 1 };
  assert.deepEqual(loosened(limits, 1), limits);
  const loose = { ...limits, writeOutageMillis: 1_800, elections: 6 };
  assert.deepEqual(loosened(limits, 6), loose);
});
