/**
 * Three members under steady load for a long time: the peak of puts at 4×16 is found, then a share
 * of it is driven, while history is compacted each minute and the keys are always the same. Ends
 * with 1 when memory grows beyond the data, a leader is elected, latency drifts, or work stalls.
 *
 *   npm run bench -- soak [--minutes 30] [--share 0.7]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { call } from "../../ha/rpc/mod.ts";
import { PutRequest } from "../../proto/gen/etcd.ts";
import { judge, type Sample } from "./soak/verdict.ts";
import { type Cluster, startTrireme } from "./store/clusters.ts";
import { grpcFrame, h2load } from "./store/h2load.ts";
import { measure, putToLeader } from "./store/loads.ts";
import { type Place, withPlace } from "./store/place.ts";
import { cpuMicros, residentMegabytes } from "./store/processes.ts";
import { program } from "./store/program.ts";
import { median, shown } from "./store/table.ts";

const sampleSeconds = 10;
const compactSeconds = 60;
/** Each sample writes one of them. */
const keys = 16;
const peakRuns = 3;
const peakSeconds = 5;
const deadlineMillis = 30_000;
const value = Buffer.alloc(256, 0x76);

interface Options {
  readonly minutes: number;
  readonly share: number;
}

export async function run(args: readonly string[]): Promise<void> {
  const options = parse(args);
  await withPlace(async (place) => {
    const cluster = await startTrireme(place.processes, join(place.folder, "trireme"));
    try {
      await soak(cluster, options, place);
    } finally {
      cluster.close();
    }
  });
}

async function soak(cluster: Cluster, { minutes, share }: Options, place: Place): Promise<void> {
  const peak = await findPeak(cluster, place);
  const perSecond = Math.round(peak * share);
  console.log(
    `peak: ${shown(peak)} puts/s at 4×16; ${shown(perSecond)} puts/s for ${minutes} minutes`,
  );
  const samples: Sample[] = [];
  const began = performance.now();
  let compactedAt = began;
  let revision = await cluster.revision();
  while (performance.now() - began < minutes * 60_000) {
    const sample = await takeSample(cluster, samples.length, { perSecond, began, place });
    samples.push(sample);
    if (performance.now() - compactedAt < compactSeconds * 1_000) continue;
    compactedAt = performance.now();
    // As etcd's periodic mode: what is older than the period goes.
    await cluster.compact(revision);
    revision = await cluster.revision();
  }
  const findings = judge(samples);
  console.log("");
  for (const { text, passed } of findings) console.log(`${passed ? "ok    " : "FAILED"} ${text}`);
  if (findings.some(({ passed }) => !passed)) process.exitCode = 1;
}

async function findPeak(cluster: Cluster, { folder, processes }: Place): Promise<number> {
  const runs: number[] = [];
  for (let run = 0; run < peakRuns; run++) {
    const options = { folder, seconds: peakSeconds, signal: processes.signal };
    runs.push((await measure(cluster, putToLeader, options)).perSecond);
  }
  return median(runs);
}

async function takeSample(
  cluster: Cluster,
  index: number,
  { perSecond, began, place }: { perSecond: number; began: number; place: Place },
): Promise<Sample> {
  const { endpoint } = await cluster.leader();
  const key = Buffer.from(`soak/${index % keys}`);
  const micros = cpuMicros(cluster.pids);
  const result = await h2load(place.folder, {
    ...putToLeader,
    body: grpcFrame(PutRequest.encode({ key, value }).finish()),
    endpoints: [endpoint],
    seconds: sampleSeconds,
    perSecond,
    signal: place.processes.signal,
  });
  const microsPerPut = (cpuMicros(cluster.pids) - micros) / result.requests;
  const members = await Promise.all(
    cluster.members.map(async ({ maintenance, pid }) => {
      const { dbSize, raftTerm } = await call(maintenance, "status", {}, { deadlineMillis });
      return {
        residentMegabytes: residentMegabytes(pid),
        databaseMegabytes: Number(dbSize ?? 0n) / 1024 ** 2,
        term: Number(raftTerm ?? 0n),
      };
    }),
  );
  const seconds = (performance.now() - began) / 1_000;
  const { p50, p99 } = result;
  const [resident, database] = (["residentMegabytes", "databaseMegabytes"] as const).map((field) =>
    members.map((member) => member[field].toFixed(0)).join("/"),
  );
  console.log(
    `${seconds.toFixed(0).padStart(5)} s  ${shown(result.perSecond)}/s  ` +
      `p50 / p99 ${shown(p50)} / ${shown(p99)} ms  ${shown(microsPerPut)} µs CPU  ` +
      `resident ${resident} MB  database ${database} MB  term ${members[0]?.term}`,
  );
  return { seconds, perSecond: result.perSecond, p50, p99, members };
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "30" },
      share: { type: "string", default: "0.7" },
    },
  });
  const number = (name: "minutes" | "share", most: number): number => {
    const given = Number(values[name]);
    if (given > 0 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be over 0 and at most ${most}`);
  };
  program("h2load");
  return { minutes: number("minutes", 24 * 60), share: number("share", 1) };
}
