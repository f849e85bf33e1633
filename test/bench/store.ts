/**
 * The store's members under load, and etcd's beside them: three of each on loopback, without TLS,
 * with fsync, driven in turn by the same h2load. Every put of a run writes the same key.
 *
 *   npm run bench -- store [--against etcd] [--seconds 5] [--rounds 3] [--watchers 1000] [--quick]
 *
 * `--quick`: one round of one shape of each load, and no growing database.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Cluster, startEtcd, startTrireme } from "./store/clusters.ts";
import { cases, compareLoads } from "./store/loads.ts";
import { withPlace } from "./store/place.ts";
import { program } from "./store/program.ts";
import { compareMemory, compareSizes } from "./store/sizes.ts";
import { compareWatchers } from "./store/watchers.ts";

interface Options {
  readonly etcd: string | undefined;
  readonly seconds: number;
  readonly rounds: number;
  readonly watchers: number;
  readonly quick: boolean;
}

export async function run(args: readonly string[]): Promise<void> {
  const options = parse(args);
  await withPlace(async ({ folder, processes }) => {
    const clusters: Cluster[] = [];
    try {
      clusters.push(await startTrireme(processes, join(folder, "trireme")));
      if (options.etcd !== undefined) {
        clusters.push(await startEtcd(processes, options.etcd, join(folder, "etcd")));
      }
      await measureAll(clusters, options, { folder, signal: processes.signal });
    } finally {
      for (const cluster of clusters) cluster.close();
    }
  });
}

async function measureAll(
  clusters: readonly Cluster[],
  { seconds, rounds, watchers, quick }: Options,
  place: { readonly folder: string; readonly signal: AbortSignal },
): Promise<void> {
  const runs = `${quick || rounds === 1 ? "one run" : `medians of ${rounds} runs`} of ${seconds} s`;
  console.log(`three members of each, 256-byte values, ${runs}; CPU is of all three\n`);
  await compareLoads(clusters, cases(quick), { ...place, seconds, rounds: quick ? 1 : rounds });
  console.log("");
  await compareWatchers(clusters, watchers, seconds);
  console.log("");
  await compareMemory(clusters);
  if (quick) return;
  console.log("");
  await compareSizes(clusters, { ...place, seconds, rounds });
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      against: { type: "string" },
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      watchers: { type: "string", default: "1000" },
      quick: { type: "boolean", default: false },
    },
  });
  const number = (name: "seconds" | "rounds" | "watchers", most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  program("h2load");
  if (values.against !== undefined && values.against !== "etcd") {
    throw new Error(`--against ${values.against}: only etcd is known`);
  }
  return {
    etcd: values.against === undefined ? undefined : program("etcd"),
    seconds: number("seconds", 60),
    rounds: number("rounds", 9),
    watchers: number("watchers", 10_000),
    quick: values.quick,
  };
}
