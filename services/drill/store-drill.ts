/**
 * The store alone under 64 writers: its leader is killed, or stopped, again and again. After every
 * round all members must hold the same; at the end every acknowledged write is there once, and a
 * watcher has seen every event once, in order.
 */
import { Metadata } from "@grpc/grpc-js";
import { call } from "../../ha/rpc/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { StoreCluster, type StoreMember } from "./store-cluster.ts";

export interface StoreDrillReport {
  readonly passed: boolean;
  /** Longest time without an acknowledged write, a number a round. */
  readonly outagesMillis: readonly number[];
  readonly medianMillis: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly twice: number;
  readonly watchFaults: readonly string[];
}

const writers = 64;
const steadyMillis = 1_000;
const recoveryMillis = 2_500;

export async function storeDrill(
  fault: "kill" | "stop",
  rounds: number,
  basePort: number,
): Promise<StoreDrillReport> {
  const cluster = await StoreCluster.start(basePort);
  try {
    const run = new Run(cluster);
    const watching = run.watch();
    const outages: number[] = [];
    for (let round = 0; round < rounds; round++) outages.push(await run.round(fault));
    const { lost, twice } = await run.verify();
    const watchFaults = await watching;
    const sorted = [...outages].sort((a, b) => a - b);
    return {
      passed: lost === 0 && twice === 0 && watchFaults.length === 0,
      outagesMillis: outages,
      medianMillis: sorted[Math.floor(sorted.length / 2)] ?? 0,
      acknowledged: run.acknowledged.length,
      lost,
      twice,
      watchFaults,
    };
  } finally {
    await cluster.close();
  }
}

class Run {
  readonly acknowledged: string[] = [];
  readonly #cluster: StoreCluster;
  readonly #run = Date.now().toString(36);
  #sequence = 0;
  #writing = false;
  #lastAt = 0;
  #longest = 0;
  /** Set at the end: how far the watcher has to come. */
  #lastRevision: bigint | undefined;

  constructor(cluster: StoreCluster) {
    this.#cluster = cluster;
  }

  /** Steady load, the fault, recovery; answers the longest gap after the fault. */
  async round(fault: "kill" | "stop"): Promise<number> {
    this.#writing = true;
    const done = Promise.all(Array.from({ length: writers }, (_, i) => this.#write(i)));
    await pause(steadyMillis);
    const leader = await this.#cluster.leader();
    this.#lastAt = performance.now();
    this.#longest = 0;
    leader.process.kill(fault === "kill" ? "SIGKILL" : "SIGSTOP");
    await pause(recoveryMillis);
    const outage = Math.round(this.#longest);
    this.#writing = false;
    if (fault === "kill") this.#cluster.restart(leader);
    else leader.process.kill("SIGCONT");
    await done;
    await this.#cluster.equalHashes();
    return outage;
  }

  /** Each write goes to some member, and under the same request id to others until one answers. */
  async #write(writer: number): Promise<void> {
    const { members } = this.#cluster;
    let target = writer % members.length;
    while (this.#writing) {
      const id = `${this.#run}-${++this.#sequence}`;
      const key = Buffer.from(`/drill/${id}`);
      const metadata = new Metadata();
      metadata.set("trireme-request-id", id);
      for (let attempt = 0; attempt < 60; attempt++) {
        const member = members[target] as StoreMember;
        try {
          const settings = { metadata, deadlineMillis: 1_000 };
          await call(member.kv, "put", { key, value: key }, settings);
          const now = performance.now();
          this.#longest = Math.max(this.#longest, now - this.#lastAt);
          this.#lastAt = now;
          this.acknowledged.push(id);
          break;
        } catch (error) {
          // Another member is asked for the same write; the reason matters only if all refuse.
          StatusError.from(error);
          target = (target + 1) % members.length;
          await pause(10);
        }
      }
    }
  }

  async verify(): Promise<{ lost: number; twice: number }> {
    const leader = await this.#cluster.leader();
    const versions = new Map<string, bigint>();
    const prefix = Buffer.from("/drill/");
    let key: Buffer = prefix;
    for (;;) {
      const page = await call(leader.kv, "range", {
        key,
        rangeEnd: Buffer.from("/drill0"),
        limit: 5_000n,
      });
      this.#lastRevision = page.header?.revision;
      for (const kv of page.kvs ?? [])
        versions.set(String(kv.key).slice(prefix.length), kv.version ?? 0n);
      const last = page.kvs?.at(-1)?.key;
      if (!page.more || !last) break;
      key = Buffer.concat([last, Buffer.of(0)]);
    }
    const lost = this.acknowledged.filter((id) => !versions.has(id)).length;
    const twice = [...versions.values()].filter((version) => version !== 1n).length;
    return { lost, twice };
  }

  /** Watches from the first revision on, resuming on any member; answers what it saw wrong. */
  async watch(): Promise<string[]> {
    const faults: string[] = [];
    const seen = new Set<string>();
    let next = 1n;
    for (let turn = 0; ; turn++) {
      if (this.#lastRevision !== undefined && next > this.#lastRevision) break;
      const { members } = this.#cluster;
      const stream = (members[turn % members.length] as StoreMember).watch.watch();
      const request = {
        key: Buffer.from("/drill/"),
        rangeEnd: Buffer.from("/drill0"),
        startRevision: next,
      };
      stream.write({
        requestUnion: { $case: "createRequest", value: { ...request, progressNotify: true } },
      });
      const timer = setInterval(() => {
        stream.write({ requestUnion: { $case: "progressRequest", value: {} } });
      }, 500);
      try {
        for await (const response of stream) {
          for (const event of response.events ?? []) {
            const revision = event.kv?.modRevision ?? 0n;
            const id = String(event.kv?.key);
            if (revision < next) faults.push(`revision ${revision} after ${next - 1n}`);
            if (seen.has(id)) faults.push(`${id} was seen twice`);
            seen.add(id);
            next = revision + 1n;
          }
          const progress = response.events?.length ? undefined : response.header?.revision;
          if (progress !== undefined && !response.created && progress >= next) next = progress + 1n;
          if (this.#lastRevision !== undefined && next > this.#lastRevision) break;
        }
      } catch {
        await pause(20); // Its member was killed: the next one goes on where it was.
      } finally {
        clearInterval(timer);
        stream.cancel();
      }
    }
    for (const id of this.acknowledged) {
      if (!seen.has(`/drill/${id}`)) faults.push(`${id} was acknowledged and never seen`);
    }
    return faults.slice(0, 10);
  }
}

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}
