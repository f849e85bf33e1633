/**
 * What a list of many keys costs those who write meanwhile: three members, puts one after the other
 * on the leader, and lists of everything beside them.
 *
 *   npm run bench -- lists [--keys 500000] [--at-once 1] [--value-bytes 100]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { call } from "../../ha/rpc/mod.ts";
import type { KVClient, TxnRequest } from "../../proto/gen/etcd.ts";
import { startTrireme } from "./store/clusters.ts";
import { withPlace } from "./store/place.ts";

const keysOfTxn = 128;
const txnsAtOnce = 16;

export async function run(args: readonly string[]): Promise<void> {
  const { keys, atOnce, valueBytes } = parse(args);
  await withPlace(async ({ folder, processes }) => {
    const cluster = await startTrireme(processes, join(folder, "trireme"));
    try {
      const { kv, endpoint, pid } = await cluster.leader();
      await fill(kv, keys, valueBytes);
      const quiet = await putWhile(kv, (done) => setTimeout(done, 3_000));
      const before = residentMegabytes(pid);
      const readers = Array.from({ length: atOnce }, () => reader(endpoint));
      let peak = before;
      const sampling = setInterval(() => {
        peak = Math.max(peak, residentMegabytes(pid));
      }, 20);
      let seconds = 0;
      const during = await putWhile(kv, (done) => {
        const began = performance.now();
        const ended = () => {
          seconds = (performance.now() - began) / 1_000;
          done();
        };
        Promise.all(readers.map((list) => list(keys))).then(ended, done);
      });
      clearInterval(sampling);
      console.log(`${keys} keys of ${valueBytes}-byte values, ${atOnce} lists at once`);
      console.log(`puts alone:            ${told(quiet)}`);
      console.log(`puts during the lists: ${told(during)}`);
      console.log(
        `lists: ${seconds.toFixed(1)} s; leader's memory ${before} MB, at most ${peak} MB`,
      );
    } finally {
      cluster.close();
    }
  });
}

async function fill(kv: KVClient, keys: number, valueBytes: number): Promise<void> {
  const value = Buffer.alloc(valueBytes, 0x61);
  let next = 0;
  const work = async () => {
    while (next < keys) {
      const from = next;
      next = Math.min(keys, from + keysOfTxn);
      const success = Array.from({ length: next - from }, (_, offset) => {
        const key = Buffer.from(`list/${String(from + offset).padStart(9, "0")}`);
        return { request: { $case: "requestPut" as const, value: { key, value } } };
      });
      const txn: TxnRequest = { success };
      await call(kv, "txn", txn, { deadlineMillis: 30_000 });
    }
  };
  await Promise.all(Array.from({ length: txnsAtOnce }, work));
}

/** Of every put, one after the other, the milliseconds it took, until the other work is done. */
async function putWhile(
  kv: KVClient,
  begin: (done: (error?: unknown) => void) => void,
): Promise<number[]> {
  const millis: number[] = [];
  const state: { over: boolean; error: unknown } = { over: false, error: undefined };
  begin((error) => {
    state.over = true;
    state.error = error;
  });
  const put = { key: Buffer.from("put"), value: Buffer.alloc(256, 0x62) };
  while (!state.over) {
    const began = performance.now();
    await call(kv, "put", put, { deadlineMillis: 60_000 });
    millis.push(performance.now() - began);
  }
  if (state.error !== undefined) throw state.error;
  return millis.sort((a, b) => a - b);
}

/** A client in a process of its own: putting a large answer together holds up its program. */
function reader(endpoint: string): (keys: number) => Promise<void> {
  return async (keys) => {
    const child = fork(join(import.meta.dirname, "store/lister.ts"), [endpoint]);
    const [answer] = (await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code]) => [{ error: `the lister ended with code ${code}` }]),
    ])) as [{ bytes: number } | { error: string }];
    if ("error" in answer) throw new Error(answer.error);
    if (answer.bytes < keys * 20) throw new Error("the list is not complete");
  };
}

function residentMegabytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Math.round(Number(line?.[1]) / 1024);
}

function told(millis: readonly number[]): string {
  const at = (share: number) =>
    (millis[Math.min(millis.length - 1, Math.floor(millis.length * share))] ?? 0).toFixed(1);
  return `${millis.length} puts, median ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      keys: { type: "string", default: "500000" },
      "at-once": { type: "string", default: "1" },
      "value-bytes": { type: "string", default: "100" },
    },
  });
  const number = (name: keyof typeof values, most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  return {
    keys: number("keys", 10_000_000),
    atOnce: number("at-once", 64),
    valueBytes: number("value-bytes", 10_000),
  };
}
