/** The benchmark of the store: that it measures what it says, and leaves nothing behind. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { grpcFrame, parseLog, parseSummary } from "../bench/store/h2load.ts";
import { median, shown, table } from "../bench/store/table.ts";
import { eventually } from "../patience.ts";
import { locate, needs } from "./needs.ts";

const main = join(dirname(import.meta.dirname), "bench/main.ts");

/** A run with a folder of its own for temporary files. */
class Bench {
  readonly temporary = mkdtempSync(join(tmpdir(), "trireme-bench-test-"));
  readonly process: ChildProcess;
  output = "";

  constructor(...args: string[]) {
    this.process = spawn(process.execPath, [main, "store", ...args], {
      env: { ...process.env, TMPDIR: this.temporary },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on("data", (text: Buffer) => {
        this.output += text;
      });
    }
  }

  /** Processes that name this run's folder among their arguments. */
  get members(): number[] {
    return readdirSync("/proc").flatMap((name) => {
      if (!/^\d+$/.test(name) || Number(name) === this.process.pid) return [];
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
        return command.includes(this.temporary) ? [Number(name)] : [];
      } catch {
        // It ended in the meantime.
        return [];
      }
    });
  }

  async ended(): Promise<number | null> {
    if (this.process.exitCode === null) await once(this.process, "close");
    return this.process.exitCode;
  }

  clear(): void {
    if (this.process.exitCode === null) this.process.kill("SIGKILL");
    rmSync(this.temporary, { recursive: true, force: true });
  }
}

describe("the store's benchmark", needs("h2load", "nghttp2-client"), () => {
  test("measures three members, beside etcd's where there is one", async () => {
    const against = locate("etcd") === undefined ? [] : ["--against", "etcd"];
    const bench = new Bench("--quick", "--seconds", "1", "--watchers", "60", ...against);
    try {
      assert.equal(await bench.ended(), 0, bench.output);
      const rows = bench.output.split("\n").map((line) => line.trim().split(/ {2,}/));
      const row = (name: string) => rows.find(([first]) => first?.startsWith(name)) ?? [];
      for (const name of [
        "put, leader 4×16",
        "put, spread 4×16",
        "get linearizable, leader 4×16",
      ]) {
        const cells = row(name).slice(1);
        assert.equal(cells.length, against.length > 0 ? 8 : 3, bench.output);
        for (const cell of cells) assert.match(cell, /^[\d.,]+( \/ [\d.,]+)?$/);
      }
      // Of watchers of one key with one writer, with many, and of memory.
      const ofTrireme = rows.filter(([first]) => first === "trireme").map((cells) => cells.length);
      assert.deepEqual(ofTrireme, [6, 4, 5], bench.output);
      assert.match(row("resident MB").join(" "), /member 0 member 1 member 2 database MB/);
      assert.deepEqual(bench.members, []);
      assert.deepEqual(readdirSync(bench.temporary), []);
    } finally {
      bench.clear();
    }
  });

  test("an interrupt ends its members and removes their data", async () => {
    const bench = new Bench("--seconds", "60");
    try {
      await eventually("three members and h2load", () => bench.members.length >= 4);
      const { members } = bench;
      bench.process.kill("SIGINT");
      assert.equal(await bench.ended(), 130, bench.output);
      await eventually("the end of all", () => members.every((pid) => !existsSync(`/proc/${pid}`)));
      assert.deepEqual(readdirSync(bench.temporary), []);
    } finally {
      bench.clear();
    }
  });

  test("bad arguments are named", async () => {
    for (const [text, ...args] of [
      ["--seconds 0: must be a whole number in 1..60", "--seconds", "0"],
      ["--against redis: only etcd is known", "--against", "redis"],
    ]) {
      const bench = new Bench(...args);
      assert.notEqual(await bench.ended(), 0);
      assert.ok(bench.output.includes(text ?? ""), bench.output);
      bench.clear();
    }
  });
});

test("a gRPC message is framed", () => {
  const framed = grpcFrame(Buffer.from("abc"));
  assert.equal(framed.toString("hex"), "0000000003616263");
});

test("what h2load prints is read, and failures are", () => {
  const text = (failed: number) =>
    "finished in 1.00s, 8123.45 req/s, 1.02MB/s\n" +
    `requests: 8130 total, 8130 started, 8123 done, 8123 succeeded, ${failed} failed, 0 errored, ` +
    "0 timeout\n";
  assert.deepEqual(parseSummary(text(0)), { requests: 8123, perSecond: 8123.45 });
  assert.throws(() => parseSummary(text(2)), /2 failed/);
  assert.throws(() => parseSummary("could not connect"), /could not connect/);
  assert.deepEqual(
    parseLog("1700000000000000\t200\t1500\n1700000000000001\t200\t250\n"),
    [1.5, 0.25],
  );
});

test("tables are aligned, and numbers have the digits that they deserve", () => {
  const text = table(
    ["load", "a/s"],
    [
      ["put", "1,234"],
      ["a get", "5"],
    ],
  );
  assert.equal(text, "load     a/s\n────────────\nput    1,234\na get      5");
  assert.deepEqual([1234.5, 12.34, 1.234, Number.NaN].map(shown), ["1,235", "12.3", "1.23", "–"]);
  assert.equal(median([3, 1, 2]), 2);
});
