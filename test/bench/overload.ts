/**
 * Backpressure, from the disk to the client: three members under as many puts as they can take, and
 * then under twice as many, from twice the connections with twice the calls under way on each. What
 * cannot be done yet must wait at the clients, not in the members: throughput stays, and so does
 * memory.
 *
 *   npm run bench -- overload [--seconds 5] [--rounds 3]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startTrireme } from "./store/clusters.ts";
import type { Shape } from "./store/h2load.ts";
import { type Measured, measure, putToLeader } from "./store/loads.ts";
import { withPlace } from "./store/place.ts";
import { residentMegabytes } from "./store/processes.ts";
import { program } from "./store/program.ts";
import { median, shown, table } from "./store/table.ts";

const peak: Shape = { connections: 8, streams: 64 };
const loads: readonly { readonly name: string; readonly shape: Shape; readonly rate: number }[] = [
  { name: "all they can take", shape: peak, rate: Number.POSITIVE_INFINITY },
  { name: "twice as many at once", shape: { connections: 16, streams: 64 }, rate: 2 },
  { name: "four times as many at once", shape: { connections: 16, streams: 128 }, rate: 4 },
];

export async function run(args: readonly string[]): Promise<void> {
  const { seconds, rounds } = parse(args);
  await withPlace(async ({ folder, processes }) => {
    const cluster = await startTrireme(processes, join(folder, "trireme"));
    try {
      const options = { folder, seconds, signal: processes.signal };
      const resident = () => Math.max(...cluster.pids.map(residentMegabytes));
      // The first requests find cold code, caches and small heaps.
      await measure(cluster, { ...putToLeader, ...peak }, options);
      console.log(`three members, 256-byte puts, medians of ${rounds} runs of ${seconds} s\n`);
      const rows: string[][] = [];
      let best = Number.NaN;
      for (const { name, shape, rate } of loads) {
        const before = resident();
        const runs: Measured[] = [];
        for (let round = 0; round < rounds; round++) {
          const perSecond = Number.isFinite(rate) ? rate * best : undefined;
          runs.push(await measure(cluster, { ...putToLeader, ...shape, perSecond }, options));
          // History grows with every put; that is no sign of overload.
          await cluster.compact(await cluster.revision());
        }
        const each = median(runs.map(({ perSecond }) => perSecond));
        if (Number.isNaN(best)) best = each;
        rows.push([
          `${name} (${shape.connections}×${shape.streams})`,
          ...[shown(each), shown(each / best)],
          `${shown(median(runs.map(({ p50 }) => p50)))} / ${shown(median(runs.map(({ p99 }) => p99)))}`,
          ...[shown(median(runs.map(({ microsPerRequest }) => microsPerRequest)))],
          `${shown(before)} → ${shown(resident())}`,
        ]);
      }
      const head = ["load", "puts/s", "of the first", "p50 / p99 ms", "CPU µs", "largest MB"];
      console.log(table(head, rows));
    } finally {
      cluster.close();
    }
  });
}

function parse(args: readonly string[]): { seconds: number; rounds: number } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
    },
  });
  const number = (name: "seconds" | "rounds", most: number): number => {
    const given = Number(values[name]);
    if (Number.isInteger(given) && given >= 1 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  program("h2load");
  return { seconds: number("seconds", 60), rounds: number("rounds", 9) };
}
