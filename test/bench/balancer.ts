/**
 * What the balancer costs: the same load on three members of the store, once spread evenly over
 * them by h2load itself, once through a balancer in front of them; on loopback, without TLS. Then a
 * REST call beside a gRPC call, in front of masters that do nothing.
 *
 *   npm run bench -- balancer [--seconds 5] [--rounds 3] [--quick] [--faces] [--profile FOLDER]
 *
 * `--quick`: 4×16 alone. `--faces`: REST beside gRPC alone. `--profile`: the balancer leaves a CPU profile there.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { call, connect } from "../../ha/rpc/mod.ts";
import { KVClient } from "../../proto/gen/etcd.ts";
import { freePort } from "../ports.ts";
import { compareFaces } from "./balancer/faces.ts";
import { type Cluster, startTrireme } from "./store/clusters.ts";
import type { Shape } from "./store/h2load.ts";
import { type Case, getFromLeader, type Measured, measureAt, putToLeader } from "./store/loads.ts";
import { withPlace } from "./store/place.ts";
import { cpuMicros, type Processes } from "./store/processes.ts";
import { program } from "./store/program.ts";
import { median, shown, table } from "./store/table.ts";

const allShapes: readonly Shape[] = [
  { connections: 1, streams: 1 },
  { connections: 4, streams: 16 },
  { connections: 8, streams: 64 },
];
const key = Buffer.from("bench/key");
const value = Buffer.alloc(256, 0x76);
const front = fileURLToPath(import.meta.resolve("./balancer/front.ts"));
const startMillis = 30_000;

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly quick: boolean;
  readonly faces: boolean;
  readonly profile: string | undefined;
}

export async function run(args: readonly string[]): Promise<void> {
  const options = parse(args);
  await withPlace(async ({ folder, processes }) => {
    const { seconds, rounds, quick, faces } = options;
    const shapes = quick ? [{ connections: 4, streams: 16 }] : allShapes;
    if (faces) {
      await compareFaces({ folder, processes, shapes, seconds, rounds });
      return;
    }
    const cluster = await startTrireme(processes, join(folder, "trireme"));
    try {
      await cluster.put(key, value);
      await cluster.checkReads(key);
      const balancer = await startFront(cluster, processes, { folder, profile: options.profile });
      console.log(`three members, 256-byte values, medians of ${rounds} runs of ${seconds} s\n`);
      const place = { folder, signal: processes.signal };
      await compare(cluster, balancer, { ...place, shapes, seconds, rounds });
      await compareFaces({ folder, processes, shapes, seconds, rounds });
    } finally {
      cluster.close();
    }
  });
}

interface Front {
  readonly address: string;
  readonly pid: number;
}

/** Resolves when a read through it has been answered. */
async function startFront(
  cluster: Cluster,
  processes: Processes,
  { folder, profile }: { readonly folder: string; readonly profile: string | undefined },
): Promise<Front> {
  const port = await freePort();
  const masters = cluster.members.map(({ name, endpoint }) => `${name}=${endpoint}`);
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const args = [...profiling, front, "--port", String(port), "--masters", masters.join(",")];
  const pid = processes.start(process.execPath, args, join(folder, "balancer.log"));
  const address = `127.0.0.1:${port}`;
  const kv = connect(KVClient, { addresses: [address], reconnectMaxMillis: 100 });
  const until = performance.now() + startMillis;
  try {
    for (;;) {
      try {
        await call(kv, "range", { key }, { deadlineMillis: 1_000 });
        return { address, pid };
      } catch (error) {
        if (performance.now() > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  } finally {
    kv.close();
  }
}

interface Through extends Measured {
  /** CPU of the balancer. */
  readonly balancerMicros: number;
}

/** Prints the table. */
async function compare(
  cluster: Cluster,
  balancer: Front,
  options: {
    readonly folder: string;
    readonly signal: AbortSignal;
    readonly shapes: readonly Shape[];
    readonly seconds: number;
    readonly rounds: number;
  },
): Promise<void> {
  const measureThrough = async (each: Case, seconds = options.seconds): Promise<Through> => {
    const before = cpuMicros([balancer.pid]);
    const result = await measureAt(cluster, each, [balancer.address], { ...options, seconds });
    const micros = cpuMicros([balancer.pid]) - before;
    return { ...result, balancerMicros: micros / result.requests };
  };
  // The first requests find cold code and caches.
  await measureThrough(putToLeader, 2);
  await measureThrough(getFromLeader, 2);
  const rows: string[][] = [];
  for (const kind of [putToLeader, getFromLeader]) {
    for (const shape of options.shapes) {
      const each = { ...kind, ...shape, spread: true };
      const direct: Measured[] = [];
      const through: Through[] = [];
      for (let round = 0; round < options.rounds; round++) {
        direct.push(await measureAt(cluster, each, cluster.endpoints, options));
        through.push(await measureThrough(each));
      }
      rows.push([
        `${each.name} ${shape.connections}×${shape.streams}`,
        ...[...cells(direct), ...cells(through)],
        shown(median(ratios(direct, through))),
        shown(median(through.map(({ balancerMicros }) => balancerMicros))),
      ]);
    }
  }
  const head = ["load", "direct/s", "p50 / p99 ms", "through/s", "p50 / p99 ms", "ratio"];
  console.log(table([...head, "balancer CPU µs"], rows));
}

function cells(runs: readonly Measured[]): string[] {
  const [p50, p99] = [median(runs.map((run) => run.p50)), median(runs.map((run) => run.p99))];
  return [shown(median(runs.map((run) => run.perSecond))), `${shown(p50)} / ${shown(p99)}`];
}

/** Of each round, whose two runs follow each other. */
function ratios(direct: readonly Measured[], through: readonly Measured[]): number[] {
  return through.map((run, round) => run.perSecond / (direct[round]?.perSecond ?? Number.NaN));
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      quick: { type: "boolean", default: false },
      faces: { type: "boolean", default: false },
      profile: { type: "string" },
    },
  });
  const number = (name: "seconds" | "rounds", most: number): number => {
    const given = Number(values[name]);
    if (Number.isInteger(given) && given >= 1 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  program("h2load");
  const { quick, faces, profile } = values;
  return { seconds: number("seconds", 60), rounds: number("rounds", 9), quick, faces, profile };
}
