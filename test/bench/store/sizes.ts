/** What a member holds, and what requests cost as the number of keys grows. */
import { call } from "../../../ha/rpc/mod.ts";
import type { Cluster } from "./clusters.ts";
import { type Case, getFromLeader, type LoadOptions, measure, putToLeader } from "./loads.ts";
import { residentMegabytes } from "./processes.ts";
import { median, shown, table } from "./table.ts";

const value = Buffer.alloc(256, 0x78);
/** As many puts as etcd takes in a txn. */
const batch = 128;
const inFlight = 8;
/** One cluster is not filled for longer than this. */
const fillMillis = 5 * 60_000;

const sizes = [10_000, 100_000, 1_000_000];

/** Prints the table. */
export async function compareMemory(clusters: readonly Cluster[]): Promise<void> {
  const rows = await Promise.all(
    clusters.map(async (cluster) => [
      cluster.label,
      ...cluster.members.map(({ pid }) => shown(residentMegabytes(pid))),
      shown(await cluster.diskMegabytes()),
    ]),
  );
  const members = clusters[0]?.members.map((_, index) => `member ${index}`) ?? [];
  console.log(table(["resident MB", ...members, "database MB"], rows));
}

/** Fills the clusters step by step, and measures after each: medians. Prints the table. */
export async function compareSizes(
  clusters: readonly Cluster[],
  options: LoadOptions & { readonly rounds: number },
): Promise<void> {
  const rows: string[][] = [];
  const until = new Map(clusters.map((cluster) => [cluster, performance.now() + fillMillis]));
  let filled = 0;
  for (const size of sizes) {
    for (const cluster of clusters) {
      const began = performance.now();
      const complete = await fill(cluster, filled, size, until.get(cluster) ?? 0);
      const perSecond = ((size - filled) * 1_000) / (performance.now() - began);
      if (!complete) {
        rows.push([`${cluster.label}, ${size} keys`, "not reached in time"]);
        until.set(cluster, 0);
        continue;
      }
      const put = await several(cluster, putToLeader, options);
      const get = await several(cluster, getFromLeader, options);
      const resident = Math.max(...cluster.pids.map(residentMegabytes));
      rows.push([
        ...[`${cluster.label}, ${size} keys`, shown(perSecond), shown(put.perSecond)],
        ...[shown(put.microsPerRequest), shown(get.perSecond), shown(get.microsPerRequest)],
        ...[shown(resident), shown(await cluster.diskMegabytes())],
      ]);
    }
    filled = size;
  }
  const head = ["database", "filled/s", "put 4×16/s", "CPU µs", "get 4×16/s", "CPU µs"];
  console.log(table([...head, "largest MB", "database MB"], rows));
}

async function several(
  cluster: Cluster,
  each: Case,
  { rounds, ...options }: LoadOptions & { readonly rounds: number },
): Promise<{ readonly perSecond: number; readonly microsPerRequest: number }> {
  const runs = [];
  for (let round = 0; round < rounds; round++) runs.push(await measure(cluster, each, options));
  return {
    perSecond: median(runs.map((run) => run.perSecond)),
    microsPerRequest: median(runs.map((run) => run.microsPerRequest)),
  };
}

/** Puts keys of these numbers. False: not all by then. */
async function fill(cluster: Cluster, from: number, to: number, until: number): Promise<boolean> {
  const { kv } = await cluster.leader();
  let next = from;
  const fillOn = async () => {
    while (next < to && performance.now() < until) {
      const first = next;
      next = Math.min(to, next + batch);
      const success = Array.from({ length: next - first }, (_, index) => {
        const key = Buffer.from(`bench/size/${String(first + index).padStart(9, "0")}`);
        return { request: { $case: "requestPut" as const, value: { key, value } } };
      });
      await call(kv, "txn", { success }, { deadlineMillis: 60_000 });
    }
  };
  await Promise.all(Array.from({ length: inFlight }, fillOn));
  return next >= to;
}
