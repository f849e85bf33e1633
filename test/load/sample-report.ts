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

/** Two targets in turn, with a ramp, watch events and a figure of others. */
export function sampleLoad(): ReportData {
  const random = chance();
  const names = ["grpc://127.0.0.1:7443,127.0.0.1:7444", "etcd://10.0.0.1:2379"];
  const buckets = Array.from({ length: 60 }, (_, i) => {
    const slow = i % 20 === 0 ? 20 : 0;
    const target = names[Math.floor(i / 10) % 2] ?? "";
    const counts = { ok: 400 + Math.round(200 * random()), slow, failed: i === 33 ? 90 : 0 };
    return { t: i * 250, widthMs: 250, target, ...counts, p50Ms: 2 + random(), p99Ms: 20 };
  });
  const targets = names.map((name, i) => ({
    ...{ name, url: name, calls: 15_000, failed: i * 90, perSecond: 2_000 - 700 * i },
    percentiles: { p50: 2.5, p90: 8, p99: 20, p999: 64.25, max: 131.071 },
    histogram: Array.from({ length: 14 }, (_bar, at) => {
      const fromMs = Number((0.5 * 1.5 ** at).toPrecision(3));
      return { fromMs, toMs: Number((1.5 * fromMs).toPrecision(3)), count: 60 * at * (14 - at) };
    }),
    ...(i === 1 && { errors: { UNAVAILABLE: 90 } }),
    ...{ clientCpuShare: 0.31, clientMicrosPerCall: 6.4, clientIsWall: i === 0 },
    ramp: [500, 900, 1_300, 1_700, 2_100, 1_900].map((offeredPerSecond, step) => {
      return {
        offeredPerSecond,
        perSecond: offeredPerSecond,
        p99Ms: 3 * 2 ** step,
        within: step < 4,
      };
    }),
    ...{ kneePerSecond: 1_700 - 400 * i, eventsPerSecond: 12_345.6 },
  }));
  return {
    version: 1,
    ...{
      kind: "load",
      name: "watch-fanout",
      command: `npm run load -- --target ${names[0]}`,
      targets,
    },
    verdict: { result: "measured", sentence: `${names.join(" and ")} were compared.`, reasons: [] },
    timeline: {
      ...{ startMs: Date.UTC(2026, 0, 2, 3, 4, 5), durationMs: 15_000, buckets },
      ...{ faults: [], elections: [], members: [] },
    },
    references: [
      { name: "etcd 3.2", perSecond: 50_104, conditions: "three machines", source: "etcd.io/docs" },
    ],
    facts: [{ name: "pace", value: "open loop" }],
  };
}
