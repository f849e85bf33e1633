/** Runs of h2load: one process for each endpoint, all at once, their results put together. */
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Shape {
  readonly connections: number;
  /** Of each connection, at once. */
  readonly streams: number;
}

export interface Load extends Shape {
  /** `/package.Service/Method`, or the path of a REST request. */
  readonly path: string;
  /** One gRPC message with its prefix, or what is posted; undefined: a GET. */
  readonly body: Buffer | undefined;
  /** Fields of each request; default: those of a gRPC call. */
  readonly fields?: readonly string[] | undefined;
  readonly endpoints: readonly string[];
  readonly seconds: number;
  /** Requests a second over all connections; undefined: as many as it takes. */
  readonly perSecond?: number | undefined;
  /** Aborting it ends h2load. */
  readonly signal: AbortSignal;
}

export interface LoadResult {
  /** Answered with an HTTP status of 200; gRPC's own status is not looked at. */
  readonly requests: number;
  readonly perSecond: number;
  /** Milliseconds from the request to the end of its answer. */
  readonly p50: number;
  readonly p99: number;
}

/** A message as it goes on the wire: uncompressed, its length in 4 bytes. */
export function grpcFrame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Throws when a request failed, and when h2load takes far longer than it was told to. */
export async function h2load(folder: string, load: Load): Promise<LoadResult> {
  const body = load.body && join(folder, "body");
  if (body !== undefined) writeFileSync(body, load.body ?? "");
  const shares = split(load.connections, load.endpoints.length);
  const runs = load.endpoints.flatMap((endpoint, index) => {
    const connections = shares[index] ?? 0;
    if (connections === 0) return [];
    const perConnection = load.perSecond && Math.max(1, load.perSecond / load.connections);
    const one = { ...load, connections, perConnection };
    return runOne(join(folder, `requests-${index}`), endpoint, one, body);
  });
  const done = await Promise.all(runs);
  const millis = Float64Array.from(done.flatMap(({ millis: each }) => each)).sort();
  const at = (part: number) => millis[Math.floor((millis.length - 1) * part)] ?? Number.NaN;
  const sum = (field: "requests" | "perSecond") =>
    done.reduce((total, each) => total + each[field], 0);
  return { requests: sum("requests"), perSecond: sum("perSecond"), p50: at(0.5), p99: at(0.99) };
}

interface Run {
  readonly requests: number;
  readonly perSecond: number;
  readonly millis: number[];
}

interface OneLoad extends Load {
  /** Requests a second of each connection. */
  readonly perConnection: number | undefined;
}

const grpcFields = ["content-type: application/grpc", "te: trailers"];

async function runOne(
  log: string,
  endpoint: string,
  load: OneLoad,
  body: string | undefined,
): Promise<Run> {
  const { perConnection, fields = grpcFields } = load;
  const args = [
    ...(perConnection === undefined ? [] : [`--rps=${perConnection.toFixed(1)}`]),
    ...["-D", String(load.seconds), "-c", String(load.connections), "-m", String(load.streams)],
    ...(body === undefined ? [] : ["-d", body]),
    ...fields.flatMap((field) => ["-H", field]),
    ...[`--log-file=${log}`, `http://${endpoint}${load.path}`],
  ];
  rmSync(log, { force: true });
  const timeout = load.seconds * 1_000 + 30_000;
  const { signal } = load;
  const { stdout } = await promisify(execFile)("h2load", args, { timeout, signal });
  const { requests, perSecond } = parseSummary(stdout);
  return { requests, perSecond, millis: parseLog(readFileSync(log, "utf8")) };
}

/** What h2load prints at its end. Throws when a request failed or none was made. */
export function parseSummary(text: string): { requests: number; perSecond: number } {
  const perSecond = Number(/([\d.]+) req\/s,/.exec(text)?.[1]);
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text);
  const [requests = 0, ...wrong] = (counts ?? []).slice(1).map(Number);
  if (counts === null || requests === 0 || wrong.some((count) => count > 0)) {
    throw new Error(`h2load: ${counts?.[0] ?? text.slice(-500)}`);
  }
  return { requests, perSecond };
}

/** Milliseconds of each request, out of lines of start, status and microseconds. */
export function parseLog(text: string): number[] {
  const millis: number[] = [];
  for (const line of text.split("\n")) {
    const micros = line.split("\t")[2];
    if (micros !== undefined) millis.push(Number(micros) / 1_000);
  }
  return millis;
}

/** As even as it goes. */
function split(total: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, index) => {
    return Math.floor(total / parts) + (index < total % parts ? 1 : 0);
  });
}
