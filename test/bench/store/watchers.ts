/**
 * Many watchers of one key: each put waits until all have heard of the one before, so puts a second
 * are how fast an event reaches everybody, and lag is how long after the put each hears of it. The
 * client is ours for both clusters and does not decode events, but its cost is part of both.
 */
import { credentials, makeClientConstructor } from "@grpc/grpc-js";
import { call, clientOptions } from "../../../ha/rpc/mod.ts";
import { WatchRequest, WatchResponse } from "../../../proto/gen/etcd.ts";
import type { Cluster } from "./clusters.ts";
import { shown, table } from "./table.ts";

const key = Buffer.from("bench/watched");
const value = Buffer.alloc(256, 0x77);
const streams = 10;
const answerMillis = 20_000;

const RawWatch = makeClientConstructor(
  {
    watch: {
      path: "/etcdserverpb.Watch/Watch",
      requestStream: true,
      responseStream: true,
      requestSerialize: (request: WatchRequest) =>
        Buffer.from(WatchRequest.encode(request).finish()),
      requestDeserialize: (bytes: Buffer) => WatchRequest.decode(bytes),
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  },
  "Watch",
);

interface RawStream {
  write(request: WatchRequest): void;
  on(event: "data", listener: (bytes: Buffer) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  cancel(): void;
}

export interface Lags {
  readonly puts: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export async function measureWatchers(
  cluster: Cluster,
  watchers: number,
  seconds: number,
): Promise<Lags> {
  const watching = new Watchers(cluster, watchers);
  try {
    await watching.all("watches created");
    const { kv } = await cluster.leader();
    const began = performance.now();
    const lags: number[] = [];
    let puts = 0;
    while (performance.now() - began < seconds * 1_000) {
      const sent = performance.now();
      const heard = watching.all("events");
      const { header } = await call(kv, "put", { key, value }, { deadlineMillis: answerMillis });
      for (const at of await heard) lags.push(at - sent);
      watching.check(header?.revision ?? 0n);
      puts++;
    }
    const perSecond = (puts * 1_000) / (performance.now() - began);
    lags.sort((a, b) => a - b);
    const at = (part: number) => lags[Math.floor((lags.length - 1) * part)] ?? Number.NaN;
    return { puts, perSecond, p50: at(0.5), p99: at(0.99) };
  } finally {
    watching.close();
  }
}

/** Watches spread over the members; counts their responses. */
class Watchers {
  readonly #count: number;
  readonly #closes: (() => void)[] = [];
  #heard: number[] = [];
  #last: Buffer | undefined;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(cluster: Cluster, count: number) {
    this.#count = count;
    for (let index = 0; index < streams; index++) {
      const endpoint = cluster.endpoints[index % cluster.endpoints.length] ?? "";
      const client = new RawWatch(endpoint, credentials.createInsecure(), clientOptions());
      const stream = (client["watch"] as () => RawStream).call(client);
      let closed = false;
      stream.on("error", (error) => {
        if (closed) return;
        this.#failure = error;
        this.#wake();
      });
      stream.on("data", (bytes) => {
        this.#last = bytes;
        this.#heard.push(performance.now());
        if (this.#heard.length >= this.#count) this.#wake();
      });
      const share = Math.floor(count / streams) + (index < count % streams ? 1 : 0);
      for (let watch = 0; watch < share; watch++) {
        stream.write({ requestUnion: { $case: "createRequest", value: { key } } });
      }
      this.#closes.push(() => {
        closed = true;
        stream.cancel();
        client.close();
      });
    }
  }

  /** When each of the watches got its next response. */
  async all(what: string): Promise<readonly number[]> {
    if (this.#heard.length < this.#count && this.#failure === undefined) {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`${this.#heard.length} of ${this.#count} ${what}`));
        const timer = setTimeout(late, answerMillis);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    const heard = this.#heard;
    this.#heard = [];
    return heard;
  }

  /** Throws unless what came last is the event of the revision. */
  check(revision: bigint): void {
    const response = this.#last && WatchResponse.decode(this.#last);
    const seen = response?.events?.[0]?.kv?.modRevision;
    if (seen !== revision) throw new Error(`a watch tells of revision ${seen}, not ${revision}`);
  }

  close(): void {
    for (const close of this.#closes) close();
  }
}

/** Prints the table. */
export async function compareWatchers(
  clusters: readonly Cluster[],
  watchers: number,
  seconds: number,
): Promise<void> {
  const rows: string[][] = [];
  for (const cluster of clusters) {
    const { perSecond, p50, p99 } = await measureWatchers(cluster, watchers, seconds);
    rows.push([
      cluster.label,
      shown(perSecond),
      shown(perSecond * watchers),
      shown(p50),
      shown(p99),
    ]);
  }
  const head = [`${watchers} watchers of one key`, "puts/s", "events/s", "lag p50 ms", "p99 ms"];
  console.log(table(head, rows));
}
