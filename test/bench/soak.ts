/**
 * Three members, or with `--api` three masters, under steady load for a long time: the peak is found,
 * then a share of it is driven, with the same data before and after each stretch. Ends with 1 when
 * memory grows beyond the data, a leader is elected, latency drifts, or work stalls.
 *
 *   npm run bench -- soak [--api] [--minutes 30] [--share 0.7]
 *
 * The store is given puts, and its history is compacted each minute. The apiservers are given creates
 * and deletes of ConfigMaps; they compact history themselves, every five minutes.
 */
import { parseArgs } from "node:util";
import { call } from "../../ha/rpc/mod.ts";
import { withApi } from "./soak/api.ts";
import { withStore } from "./soak/store.ts";
import type { Subject } from "./soak/subject.ts";
import { judge, type Sample } from "./soak/verdict.ts";
import { cpuMicros, residentMegabytes } from "./store/processes.ts";
import { median, shown } from "./store/table.ts";

const sampleSeconds = 10;
const compactSeconds = 60;
const peakRuns = 3;
const peakSeconds = 5;
const deadlineMillis = 30_000;

interface Options {
  readonly api: boolean;
  readonly minutes: number;
  readonly share: number;
}

export async function run(args: readonly string[]): Promise<void> {
  const options = parse(args);
  const within = options.api ? withApi : withStore;
  await within((subject) => soak(subject, options));
}

async function soak(subject: Subject, { minutes, share }: Options): Promise<void> {
  const peak = await findPeak(subject);
  const perSecond = Math.round(peak * share);
  console.log(
    `peak: ${shown(peak)} ${subject.title}; ${shown(perSecond)}/s for ${minutes} minutes`,
  );
  const samples: Sample[] = [];
  const began = performance.now();
  let compactedAt = began;
  await subject.compact?.();
  while (performance.now() - began < minutes * 60_000) {
    samples.push(await takeSample(subject, perSecond, began));
    if (performance.now() - compactedAt < compactSeconds * 1_000) continue;
    compactedAt = performance.now();
    await subject.compact?.();
  }
  const findings = judge(samples);
  console.log("");
  for (const { text, passed } of findings) console.log(`${passed ? "ok    " : "FAILED"} ${text}`);
  if (findings.some(({ passed }) => !passed)) process.exitCode = 1;
}

async function findPeak(subject: Subject): Promise<number> {
  const runs: number[] = [];
  for (let run = 0; run < peakRuns; run++) runs.push((await subject.atPeak(peakSeconds)).perSecond);
  return median(runs);
}

async function takeSample(subject: Subject, perSecond: number, began: number): Promise<Sample> {
  const pids = subject.members.map(({ pid }) => pid);
  const micros = cpuMicros(pids);
  const result = await subject.atRate(perSecond, sampleSeconds);
  const microsPerCall = (cpuMicros(pids) - micros) / result.requests;
  const members = await Promise.all(
    subject.members.map(async ({ maintenance, pid }) => {
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
      `p50 / p99 ${shown(p50)} / ${shown(p99)} ms  ${shown(microsPerCall)} µs CPU  ` +
      `resident ${resident} MB  database ${database} MB  term ${members[0]?.term}`,
  );
  return { seconds, perSecond: result.perSecond, p50, p99, members };
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      api: { type: "boolean", default: false },
      minutes: { type: "string", default: "30" },
      share: { type: "string", default: "0.7" },
    },
  });
  const number = (name: "minutes" | "share", most: number): number => {
    const given = Number(values[name]);
    if (given > 0 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be over 0 and at most ${most}`);
  };
  const { api } = values;
  return { api, minutes: number("minutes", 24 * 60), share: number("share", 1) };
}
