/**
 * The cluster's DNS: CPU of one answer from a query's bytes, by kind of question, and answers a
 * second of a server on one core over UDP, with the client in a thread of its own.
 *
 *   npm run bench -- dns [--services 2000] [--seconds 3]
 */
import { createSocket } from "node:dgram";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { query, serve, service, slice, type World, world } from "../dns/world.ts";

interface Load {
  readonly address: string;
  readonly port: number;
  readonly queries: readonly Uint8Array[];
}

export async function run(args: readonly string[]): Promise<void> {
  const { services, seconds } = parse(args);
  const made = filled(services);
  const base = "svc.cluster.local";
  const kinds: readonly (readonly [string, Buffer])[] = [
    ["A of a service", query(`s7.default.${base}`, 1, { opt: 1_232 })],
    ["A of 10 endpoints", query(`headless.default.${base}`, 1, { opt: 1_232 })],
    ["SRV of 10 endpoints", query(`_http._tcp.headless.default.${base}`, 33, { opt: 1_232 })],
    ["PTR", query("7.0.0.10.in-addr.arpa", 12)],
    ["no such name", query(`s7.default.${base}.default.${base}`, 1, { opt: 1_232 })],
    ["A of 10,000 endpoints", query(`many.default.${base}`, 1, { opt: 1_232 })],
  ];
  for (const [name, bytes] of kinds) report(name, made, bytes);
  await throughSockets(
    made,
    kinds.slice(0, 1).map(([, bytes]) => bytes),
    seconds,
  );
}

function filled(services: number): World {
  const made = world();
  for (let i = 0; i < services; i++) {
    const clusterIP = `10.0.${i >> 8}.${i & 255}`;
    made.put(service(`s${i}`, { clusterIP, ports: [{ name: "http", port: 80 }] }));
  }
  const endpoints = (count: number) =>
    slice(Array.from({ length: count }, (_, i) => ({ addresses: [`10.1.${i >> 8}.${i & 255}`] })));
  made.put(service("headless", { clusterIP: "None" }), [endpoints(10)]);
  const begin = process.cpuUsage();
  made.put(service("many", { clusterIP: "None" }), [endpoints(10_000)]);
  console.log(`records of 10,000 endpoints      ${(cpuMicros(begin) / 1e3).toFixed(1)} ms CPU`);
  return made;
}

function report(name: string, { responder }: World, bytes: Buffer): void {
  const answers = 100_000;
  for (let i = 0; i < answers / 10; i++) responder.respond(bytes, "datagram");
  const begin = process.cpuUsage();
  for (let i = 0; i < answers; i++) responder.respond(bytes, "datagram");
  console.log(`${name.padEnd(32)} ${(cpuMicros(begin) / answers).toFixed(2)} µs CPU`);
}

function cpuMicros(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin);
  return user + system;
}

async function throughSockets(
  made: World,
  queries: readonly Uint8Array[],
  seconds: number,
): Promise<void> {
  const served = await serve(made);
  const { address, port } = served;
  const workerData: Load = { address, port, queries };
  const worker = new Worker(new URL(import.meta.url), { workerData });
  await new Promise((resolve) => worker.once("message", resolve));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = productionClock.monotonicMillis();
  const begin = process.threadCpuUsage();
  const count = () =>
    new Promise<number>((resolve) => {
      worker.once("message", resolve);
      worker.postMessage("count");
    });
  const first = await count();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const answers = (await count()) - first;
  const { user, system } = process.threadCpuUsage(begin);
  const wall = (productionClock.monotonicMillis() - before) / 1_000;
  const micros = (user + system) / answers;
  console.log(
    `over UDP: ${Math.round(answers / wall)} answers/s, ${micros.toFixed(1)} µs CPU of the ` +
      `server's thread each: ${Math.round(1e6 / micros)} answers/s on one core`,
  );
  await worker.terminate();
  served.close();
}

/** In the client's thread: keeps a number of questions under way, and counts the answers. */
function ask({ address, port, queries }: Load): void {
  const underWay = 64;
  let answers = 0;
  const socket = createSocket("udp4");
  const next = () => {
    const bytes = queries[answers % queries.length];
    if (bytes !== undefined) socket.send(bytes);
  };
  socket.on("message", () => {
    answers += 1;
    next();
  });
  socket.connect(port, address, () => {
    for (let i = 0; i < underWay; i++) next();
    parentPort?.postMessage(0);
  });
  parentPort?.on("message", () => parentPort?.postMessage(answers));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      services: { type: "string", default: "2000" },
      seconds: { type: "string", default: "3" },
    },
  });
  const number = (flag: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new Error(`--${flag} ${text}: must be a whole number in ${least}..${most}`);
  };
  return {
    services: number("services", values.services, 8, 60_000),
    seconds: number("seconds", values.seconds, 1, 60),
  };
}

if (!isMainThread) ask(workerData as Load);
