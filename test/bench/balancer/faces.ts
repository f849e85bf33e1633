/** What a REST call costs the balancer, beside a gRPC call: masters that do no work, no TLS. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "../../ports.ts";
import { grpcFrame, h2load, type Shape } from "../store/h2load.ts";
import { cpuMicros, type Processes } from "../store/processes.ts";
import { median, shown, table } from "../store/table.ts";

const fileOf = (name: string) => fileURLToPath(import.meta.resolve(name));
const startMillis = 30_000;

interface Options {
  readonly folder: string;
  readonly processes: Processes;
  readonly shapes: readonly Shape[];
  readonly seconds: number;
  readonly rounds: number;
}

interface Face {
  readonly name: string;
  readonly endpoint: string;
  readonly path: string;
  readonly body: Buffer | undefined;
  readonly fields?: readonly string[];
}

/** Prints the table. */
export async function compareFaces(options: Options): Promise<void> {
  const { folder, processes } = options;
  const [grpcPort = 0, restPort = 0, ...ports] = await freePorts(8);
  const addresses = (from: number) =>
    [0, 1, 2].map((n) => `master-${n}=127.0.0.1:${ports[from + n]}`).join(",");
  const start = (file: string, args: readonly string[]) =>
    processes.start(process.execPath, [fileOf(file), ...args], join(folder, "faces.log"));
  start("./masters.ts", ["--ports", ports.join(",")]);
  const pid = start("./front.ts", [
    ...["--port", String(grpcPort), "--masters", addresses(0)],
    ...["--rest-port", String(restPort), "--rest-masters", addresses(3)],
  ]);
  const grpc = { endpoint: `127.0.0.1:${grpcPort}`, body: grpcFrame(Buffer.alloc(0)) };
  const rest = { endpoint: `127.0.0.1:${restPort}` };
  const leases = "/trireme.coordination.v1.Leases";
  const maps = "/api/v1/namespaces/default/configmaps";
  const fields = ["accept: application/json", "content-type: application/json"];
  // Field 15, which no message has: 200 bytes.
  const padded = grpcFrame(Buffer.concat([Buffer.of(0x7a, 0xc8, 0x01), Buffer.alloc(200, "x")]));
  const body = Buffer.from(JSON.stringify({ data: { a: "x".repeat(200) } }));
  const faces: readonly Face[] = [
    { ...grpc, name: "gRPC Get", path: `${leases}/Get` },
    { ...rest, name: "REST GET", path: `${maps}/a`, body: undefined, fields: fields.slice(0, 1) },
    { ...grpc, name: "gRPC Create", path: `${leases}/Create`, body: padded },
    { ...rest, name: "REST POST", path: maps, body, fields },
  ];
  await answered(`http://${rest.endpoint}${maps}`);
  const rows: string[][] = [];
  for (const shape of options.shapes) {
    const runs = faces.map(() => ({ micros: [] as number[], rates: [] as number[] }));
    for (let round = 0; round <= options.rounds; round++) {
      for (const [at, face] of faces.entries()) {
        const { micros, perSecond } = await measure(face, shape, pid, options);
        // The first round finds cold code.
        if (round === 0) continue;
        runs[at]?.micros.push(micros);
        runs[at]?.rates.push(perSecond);
      }
    }
    for (const [at, { name }] of faces.entries()) {
      const { micros = [], rates = [] } = runs[at] ?? {};
      const load = `${name} ${shape.connections}×${shape.streams}`;
      rows.push([load, shown(median(rates)), shown(median(micros))]);
    }
  }
  console.log("\nthrough the balancer to masters that do nothing\n");
  console.log(table(["load", "through/s", "balancer CPU µs"], rows));
}

async function measure(
  { endpoint, path, body, fields }: Face,
  shape: Shape,
  pid: number,
  { folder, processes, seconds }: Options,
): Promise<{ readonly micros: number; readonly perSecond: number }> {
  const before = cpuMicros([pid]);
  const { signal } = processes;
  const load = { ...shape, path, body, fields, endpoints: [endpoint], seconds, signal };
  const { requests, perSecond } = await h2load(folder, load);
  return { micros: (cpuMicros([pid]) - before) / requests, perSecond };
}

/** Resolves when the balancer reaches a master. */
async function answered(url: string): Promise<void> {
  const until = performance.now() + startMillis;
  for (;;) {
    try {
      // The port speaks HTTP/1.1 as well.
      if ((await fetch(url)).ok) return;
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
