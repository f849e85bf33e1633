/** Requests a second, their latency and their cost, of each cluster in turn. */
import { PutRequest, RangeRequest } from "../../../proto/gen/etcd.ts";
import type { Cluster } from "./clusters.ts";
import { grpcFrame, h2load, type LoadResult, type Shape } from "./h2load.ts";
import { cpuMicros } from "./processes.ts";
import { median, shown, table } from "./table.ts";

const key = Buffer.from("bench/key");
const value = Buffer.alloc(256, 0x76);
const putBody = grpcFrame(PutRequest.encode({ key, value }).finish());
const rangeBody = (serializable: boolean) =>
  grpcFrame(RangeRequest.encode({ key, serializable }).finish());

export interface Case extends Shape {
  readonly name: string;
  readonly path: string;
  readonly body: Buffer;
  /** To all members, or to the leader only. */
  readonly spread: boolean;
  readonly writes: boolean;
  /** Requests a second over all connections; undefined: as many as it takes. */
  readonly perSecond?: number | undefined;
}

const put = { path: "/etcdserverpb.KV/Put", body: putBody, writes: true };
const get = { path: "/etcdserverpb.KV/Range", writes: false };
const kinds = [
  { ...put, name: "put, leader", spread: false },
  { ...put, name: "put, spread", spread: true },
  { ...get, name: "get linearizable, leader", body: rangeBody(false), spread: false },
  { ...get, name: "get linearizable, spread", body: rangeBody(false), spread: true },
  { ...get, name: "get serializable, leader", body: rangeBody(true), spread: false },
];
const shapes: readonly Shape[] = [
  { connections: 1, streams: 1 },
  { connections: 4, streams: 16 },
  { connections: 8, streams: 64 },
];

/** `quick`: one shape of each. One connection cannot be spread. */
export function cases(quick: boolean): Case[] {
  return kinds.flatMap((kind) =>
    shapes
      .filter(({ connections }) => connections > 1 || (!kind.spread && !quick))
      .filter(({ connections }) => !quick || connections === 4)
      .map((shape) => ({ ...kind, ...shape })),
  );
}

export const putToLeader = { ...put, name: "put", spread: false, connections: 4, streams: 16 };
export const getFromLeader = {
  ...get,
  ...{ name: "get", body: rangeBody(false), spread: false, connections: 4, streams: 16 },
};

export interface Measured extends LoadResult {
  /** CPU of all members together. */
  readonly microsPerRequest: number;
}

export interface LoadOptions {
  readonly folder: string;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** One run; throws when the store has not done what h2load counted. */
export async function measure(
  cluster: Cluster,
  each: Case,
  { folder, seconds, signal }: LoadOptions,
): Promise<Measured> {
  const { endpoint } = await cluster.leader();
  const endpoints = each.spread ? cluster.endpoints : [endpoint];
  return await measureAt(cluster, each, endpoints, { folder, seconds, signal });
}

/** The same, of requests that reach the cluster by these endpoints. */
export async function measureAt(
  cluster: Cluster,
  each: Case,
  endpoints: readonly string[],
  { folder, seconds, signal }: LoadOptions,
): Promise<Measured> {
  const before = { revision: await settledRevision(cluster), micros: cpuMicros(cluster.pids) };
  const result = await h2load(folder, { ...each, endpoints, seconds, signal });
  const micros = cpuMicros(cluster.pids) - before.micros;
  const done = (await settledRevision(cluster)) - before.revision;
  // What was under way at the end is done too, but h2load does not count it.
  const unseen = each.connections * each.streams;
  const least = each.writes ? result.requests : 0;
  const most = each.writes ? result.requests + unseen : 0;
  if (done < least || done > most) {
    const counted = `h2load counted ${result.requests} requests`;
    throw new Error(`${cluster.label}, ${each.name}: ${done} revisions, but ${counted}`);
  }
  return { ...result, microsPerRequest: micros / (each.writes ? done : result.requests) };
}

/** Once nothing is done any more that a run before has left behind. */
async function settledRevision(cluster: Cluster): Promise<number> {
  for (let last = -1; ; ) {
    const revision = await cluster.revision();
    if (revision === last) return revision;
    last = revision;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * The first requests find cold code and caches, and one at a time it takes thousands until what they
 * need has been compiled: compared is what stores do that have been up for a while.
 */
async function warmUp(cluster: Cluster, options: LoadOptions): Promise<void> {
  const one = { ...putToLeader, connections: 1, streams: 1 };
  await measure(cluster, one, { ...options, seconds: 2 * options.seconds });
  await measure(cluster, putToLeader, options);
}

/** Prints the table. */
export async function compareLoads(
  clusters: readonly Cluster[],
  list: readonly Case[],
  options: LoadOptions & { readonly rounds: number },
): Promise<void> {
  for (const cluster of clusters) {
    await cluster.put(key, value);
    await cluster.checkReads(key);
    await warmUp(cluster, options);
  }
  const rows: string[][] = [];
  for (const each of list) {
    const all = clusters.map(() => [] as Measured[]);
    for (let round = 0; round < options.rounds; round++) {
      for (const [index, cluster] of clusters.entries()) {
        all[index]?.push(await measure(cluster, each, options));
      }
    }
    const medians = all.map((runs) => ({
      perSecond: median(runs.map((run) => run.perSecond)),
      p50: median(runs.map((run) => run.p50)),
      p99: median(runs.map((run) => run.p99)),
      micros: median(runs.map((run) => run.microsPerRequest)),
    }));
    const [ours, theirs] = medians;
    const cells = medians.flatMap(({ perSecond, p50, p99, micros }) => [
      shown(perSecond),
      `${shown(p50)} / ${shown(p99)}`,
      shown(micros),
    ]);
    const ratios =
      ours && theirs
        ? [shown(ours.perSecond / theirs.perSecond), shown(ours.micros / theirs.micros)]
        : [];
    rows.push([`${each.name} ${each.connections}×${each.streams}`, ...cells, ...ratios]);
  }
  const columns = clusters.flatMap(({ label }) => [`${label}/s`, "p50 / p99 ms", "CPU µs"]);
  const ratios = clusters.length > 1 ? ["ratio /s", "ratio CPU"] : [];
  console.log(table(["load", ...columns, ...ratios], rows));
}
