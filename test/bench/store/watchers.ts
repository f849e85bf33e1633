/**
 * Many watchers of one key. `one put`: each waits until all have heard of the one before, so puts a
 * second are how fast an event reaches everybody, and lag is how long after the put each hears of
 * it. `writers`: several puts are under way, so events a second are what the members can deliver.
 * The client (watch-client.ts) is the same for both clusters; what it costs is part of both rates,
 * and not of the CPU, which is the members' alone.
 */
import { call } from "../../../ha/rpc/mod.ts";
import { WatchResponse } from "../../../proto/gen/etcd.ts";
import type { Cluster } from "./clusters.ts";
import { cpuMicros } from "./processes.ts";
import { shown, table } from "./table.ts";
import { WatchClient } from "./watch-client.ts";

const key = Buffer.from("bench/watched");
const value = Buffer.alloc(256, 0x77);
const streams = 10;
const answerMillis = 20_000;

const writers = 32;

interface Delivery {
  readonly puts: number;
  readonly putsPerSecond: number;
  readonly eventsPerSecond: number;
  /** Of the members, for one event at one watcher. */
  readonly cpuMicros: number;
  readonly p50: number;
  readonly p99: number;
}

/** Throws when an event is missed, comes twice, or is not what was put. */
async function measureWatchers(
  cluster: Cluster,
  watchers: number,
  seconds: number,
  underWay: number,
): Promise<Delivery> {
  const watching = new Watchers(cluster, watchers, underWay === 1);
  try {
    await watching.created();
    const { kv } = await cluster.leader();
    const before = cpuMicros(cluster.pids);
    const began = performance.now();
    const until = began + seconds * 1_000;
    const lags: number[] = [];
    let puts = 0;
    const write = async () => {
      while (performance.now() < until) {
        const sent = performance.now();
        const { header } = await call(kv, "put", { key, value }, { deadlineMillis: answerMillis });
        puts++;
        if (underWay > 1) continue;
        await watching.heard(puts * watchers);
        for (const at of watching.takeTimes()) lags.push(at - sent);
        watching.check(header?.revision ?? 0n);
      }
    };
    await Promise.all(Array.from({ length: underWay }, write));
    await watching.heard(puts * watchers);
    const elapsed = (performance.now() - began) / 1_000;
    const used = cpuMicros(cluster.pids) - before;
    lags.sort((a, b) => a - b);
    const at = (part: number) => lags[Math.floor((lags.length - 1) * part)] ?? Number.NaN;
    return {
      puts,
      putsPerSecond: puts / elapsed,
      eventsPerSecond: (puts * watchers) / elapsed,
      cpuMicros: used / (puts * watchers),
      p50: at(0.5),
      p99: at(0.99),
    };
  } finally {
    watching.close();
  }
}

/** Watches spread over the members; counts their events. */
class Watchers {
  readonly #count: number;
  readonly #clients: WatchClient[] = [];
  #created = 0;
  #events = 0;
  /** The waiting reader is woken at this many events. */
  #awaited = 0;
  readonly #timed: boolean;
  #times: number[] = [];
  #last: Buffer | undefined;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  /** `timed`: notes when each event comes. */
  constructor(cluster: Cluster, count: number, timed: boolean) {
    this.#count = count;
    this.#timed = timed;
    for (let index = 0; index < streams; index++) {
      const endpoint = cluster.endpoints[index % cluster.endpoints.length] ?? "";
      const client = new WatchClient(endpoint, {
        response: (events, bytes, start, end) => {
          this.#events += events;
          if (events === 0) this.#created++;
          else if (this.#timed) this.#keep(bytes, start, end);
          if (this.#events >= this.#awaited) this.#wake();
        },
        failed: (error) => {
          this.#failure = error;
          this.#wake();
        },
      });
      const share = Math.floor(count / streams) + (index < count % streams ? 1 : 0);
      for (let watch = 0; watch < share; watch++) client.watch(key);
      this.#clients.push(client);
    }
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#times.push(performance.now());
    this.#last = bytes.subarray(start, end);
  }

  created(): Promise<void> {
    return this.#until(() => this.#created === this.#count, "watches were created");
  }

  /** All together have heard of so many events since the beginning; more would be one too many. */
  async heard(events: number): Promise<void> {
    this.#awaited = events;
    await this.#until(() => this.#events >= events, `of ${events} events were heard`);
    if (this.#events > events) throw new Error(`${this.#events} events of ${events}`);
  }

  async #until(reached: () => boolean, what: string): Promise<void> {
    if (!reached() && this.#failure === undefined) {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`${this.#created} created, ${this.#events} ${what}`));
        const timer = setTimeout(late, answerMillis);
        this.#wake = () => {
          if (!reached() && this.#failure === undefined) return;
          this.#wake = () => undefined;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** When each response has come since the last call. */
  takeTimes(): readonly number[] {
    const times = this.#times;
    this.#times = [];
    return times;
  }

  /** Throws unless what came last is the event of the revision. */
  check(revision: bigint): void {
    const response = this.#last && WatchResponse.decode(this.#last);
    const seen = response?.events?.[0]?.kv?.modRevision;
    if (seen !== revision) throw new Error(`a watch tells of revision ${seen}, not ${revision}`);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

/** Prints the tables. */
export async function compareWatchers(
  clusters: readonly Cluster[],
  watchers: number,
  seconds: number,
): Promise<void> {
  const named = `${watchers} watchers of one key`;
  const one: string[][] = [];
  const many: string[][] = [];
  for (const cluster of clusters) {
    const alone = await measureWatchers(cluster, watchers, seconds, 1);
    const { putsPerSecond, eventsPerSecond, cpuMicros: cpu, p50, p99 } = alone;
    const rates = [shown(putsPerSecond), shown(eventsPerSecond), shown(cpu)];
    one.push([cluster.label, ...rates, shown(p50), shown(p99)]);
    const crowd = await measureWatchers(cluster, watchers, seconds, writers);
    many.push([
      cluster.label,
      shown(crowd.putsPerSecond),
      shown(crowd.eventsPerSecond),
      shown(crowd.cpuMicros),
    ]);
  }
  const rates = ["puts/s", "events/s", "CPU µs/event"];
  console.log(table([`${named}, one put at a time`, ...rates, "lag p50 ms", "p99 ms"], one));
  console.log("");
  console.log(table([`${named}, ${writers} writers`, ...rates], many));
}
