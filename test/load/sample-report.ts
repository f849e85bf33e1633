/** A drill's report with everything on it, as a drill would write it. */
import type { ReportData } from "../../services/load/report/report-data.ts";

const stillMillis = 240;
const faultAt = 6_000;

/** The same each time. */
function chance(): () => number {
  let seed = 1;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

export function sampleDrill(): ReportData {
  const random = chance();
  const requests = Array.from({ length: 6_000 }, (_, i) => {
    const t = i * 2.5;
    const still = t > faultAt && t < faultAt + stillMillis;
    const latencyMs = still ? faultAt + stillMillis + 10 - t : 1 + 4 * random();
    const failed = random() > 0.9995;
    return { t, latencyMs, outcome: failed ? "failed" : still ? "slow" : "ok" } as const;
  });
  const members = ["master-0", "master-1", "master-2"].map((name, m) => ({
    name,
    points: Array.from({ length: 75 }, (_, i) => {
      const away = m === 0 && i > 30 && i < 45 ? (i - 30) * 150 : 0;
      return { t: i * 200, revision: 100 + i * 150 - away, lag: away };
    }),
  }));
  const percentiles = { p50: 2.1, p90: 4.2, p99: 38, p999: 212, max: 250 };
  return {
    version: 1,
    ...{ kind: "drill", name: "leader-kill", command: "npm run drill -- leader-kill --seed 42" },
    verdict: {
      result: "failed",
      sentence: "The leader was killed: writes stood still for 212 ms, and 3 calls failed.",
      reasons: ["3 calls failed with UNAVAILABLE <b>; 0 were allowed"],
    },
    timeline: {
      ...{ startMs: Date.UTC(2026, 0, 2, 3, 4, 5), requests, members },
      faults: [
        { t: faultAt, name: "SIGKILL of master-0, which led" },
        { t: 9_000, end: 11_000, name: "a partition of master-1 from master-2" },
      ],
      elections: [
        { t: 6_180, term: 5, leader: "master-1", cause: "the leader's link was lost" },
        { t: 6_190, term: 6, leader: "master-2", cause: "votes were split" },
        { t: 9_400, term: 7, leader: "master-1" },
      ],
      outages: [{ t: 6_010, end: 6_222, name: "writes" }],
    },
    percentiles,
    histogram: [
      { fromMs: 0, toMs: 2, count: 3_000 },
      { fromMs: 2, toMs: 8, count: 2_900 },
      { fromMs: 8, toMs: 250, count: 100 },
    ],
    targets: [
      {
        ...{ name: "api", calls: 6_000, failed: 3, perSecond: 400, percentiles },
        errors: { UNAVAILABLE: 3 },
      },
    ],
    checks: [
      { name: "write outage, p99", measured: "212 ms", wanted: "≤ 300 ms", passed: true },
      { name: "failed calls", measured: 3, wanted: "0", passed: false },
    ],
    facts: [{ name: "retries", value: 41 }],
  };
}
