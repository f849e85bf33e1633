/** Logs with times: what is given since when, and with which time. */
import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { LogTimes, LogTimesReader } from "../../services/kubelet/runtime/process/log-times.ts";
import { readLog } from "../../services/kubelet/runtime/process/logs.ts";
import type { LogOptions } from "../../services/kubelet/runtime/types.ts";
import { eventually, patienceMillis } from "../patience.ts";

let dir: string;
let path: string;
let count = 0;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "trireme-log-times-"));
});
after(() => rm(dir, { recursive: true, force: true }));
beforeEach(async () => {
  path = join(dir, `log-${++count}`);
  await writeFile(path, "");
});

/** An index by hand: up to which offset the log had grown when. */
async function index(...entries: readonly [end: number, millis: number][]): Promise<void> {
  const bytes = Buffer.alloc(16 * entries.length);
  for (const [at, [end, millis]] of entries.entries()) {
    bytes.writeDoubleBE(end, 16 * at);
    bytes.writeDoubleBE(millis, 16 * at + 8);
  }
  await writeFile(`${path}.times`, bytes);
}

async function read(options: Partial<LogOptions> = {}): Promise<string> {
  const pieces: Uint8Array[] = [];
  const signal = AbortSignal.timeout(patienceMillis);
  const all = { follow: false, signal, ...options };
  for await (const piece of readLog(path, all, () => true)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

const noon = Date.UTC(2026, 0, 1, 12);

describe("with an index", () => {
  beforeEach(async () => {
    // "one\n" at noon, "two\nthr" a second later, "ee\n" and "four\n" two seconds later.
    await writeFile(path, "one\ntwo\nthree\nfour\n");
    await index([4, noon], [11, noon + 1_000], [19, noon + 2_500]);
  });

  test("each line has the time at which it began", async () => {
    assert.equal(
      await read({ timestamps: true }),
      "2026-01-01T12:00:00.000000000Z one\n" +
        "2026-01-01T12:00:01.000000000Z two\n" +
        "2026-01-01T12:00:01.000000000Z three\n" +
        "2026-01-01T12:00:02.500000000Z four\n",
    );
  });

  const table: [string, Partial<LogOptions>, string][] = [
    ["since before all", { sinceMillis: noon - 1 }, "one\ntwo\nthree\nfour\n"],
    ["since the very time", { sinceMillis: noon }, "one\ntwo\nthree\nfour\n"],
    ["since after the first", { sinceMillis: noon + 1 }, "two\nthree\nfour\n"],
    ["a line that began before is not given", { sinceMillis: noon + 1_001 }, "four\n"],
    ["since after all", { sinceMillis: Date.now() + 10_000 }, ""],
    ["the last lines of those", { sinceMillis: noon + 1, tailLines: 1 }, "four\n"],
    ["those of the last lines", { sinceMillis: noon + 1_001, tailLines: 3 }, "four\n"],
    ["no line", { tailLines: 0, timestamps: true }, ""],
    [
      "so many bytes, timestamps too",
      { timestamps: true, limitBytes: 33 },
      "2026-01-01T12:00:00.000000000Z on",
    ],
    ["so many bytes", { limitBytes: 6 }, "one\ntw"],
  ];
  for (const [name, options, expected] of table) {
    test(name, async () => assert.equal(await read(options), expected));
  }

  test("what no entry is about has the time of the last write", async () => {
    await appendFile(path, "five\n");
    const { mtimeMs } = await stat(path);
    const text = await read({ timestamps: true, tailLines: 1 });
    assert.equal(text, `${new Date(mtimeMs).toISOString().replace("Z", "000000Z")} five\n`);
  });
});

describe("an index as it is kept", () => {
  const times: LogTimes[] = [];
  after(() => {
    for (const each of times) each.close();
  });

  async function keep(sinceEarlier = false): Promise<LogTimes> {
    const made = new LogTimes(path, (error) => assert.fail(String(error)));
    times.push(made);
    await made.start(sinceEarlier);
    return made;
  }

  async function timeAt(offset: number): Promise<number> {
    const reader = new LogTimesReader(path);
    await reader.refresh();
    return reader.at(offset);
  }

  async function covered(): Promise<number> {
    return (await stat(`${path}.times`).catch(() => undefined))?.size ?? 0;
  }

  test("writes far apart have times of their own, in order", async () => {
    const kept = await keep();
    const begun = Date.now();
    await appendFile(path, "one\n");
    await eventually("the first look", async () => (await covered()) === 16);
    await appendFile(path, "two\n");
    await eventually("the second look", async () => (await covered()) === 32);
    const [first, second] = [await timeAt(0), await timeAt(4)];
    assert.ok(begun <= first && first <= second && second <= Date.now() + 1);
    kept.close();
  });

  test("many writes cost few entries", async () => {
    const kept = await keep();
    for (let line = 0; line < 2_000; line++) await appendFile(path, `line ${line}\n`);
    await kept.finish();
    assert.ok((await covered()) / 16 < 500, `${await covered()} bytes`);
    assert.equal((await read({ timestamps: true })).split("\n").length, 2_001);
  });

  test("a log that is cut begins anew", async () => {
    const kept = await keep();
    await appendFile(path, "old line\n");
    await eventually("the look", async () => (await covered()) === 16);
    await truncate(path, 0);
    await kept.reset();
    await appendFile(path, "new\n");
    await eventually("the look", async () => (await covered()) === 16);
    assert.match(await read({ timestamps: true }), /^\S+Z new\n$/);
    kept.close();
  });

  test("what came while no one looked has the log's last time", async () => {
    const first = await keep();
    await appendFile(path, "seen\n");
    await eventually("the look", async () => (await covered()) === 16);
    first.close();
    await appendFile(path, "unseen\n");
    const { mtimeMs } = await stat(path);
    const second = await keep(true);
    assert.ok(Math.abs((await timeAt(5)) - mtimeMs) < 1);
    second.close();
  });

  test("an index has a limit, and keeps its last entry", async () => {
    const entries = Array.from({ length: 65_536 }, (_, n) => [n + 1, noon + n] as [number, number]);
    await writeFile(path, "x".repeat(65_536));
    await index(...entries);
    const kept = await keep(true);
    await appendFile(path, "y\n");
    await eventually("the thinning", async () => (await covered()) < 600_000);
    assert.ok((await timeAt(0)) <= noon + 1);
    assert.ok((await timeAt(65_536)) > noon + 65_536);
    kept.close();
  });

  test("following, with times", async () => {
    const kept = await keep();
    await appendFile(path, "one\n");
    const abort = new AbortController();
    let text = "";
    const reading = (async () => {
      const options = { follow: true, timestamps: true, signal: abort.signal };
      for await (const piece of readLog(path, options, () => false)) text += Buffer.from(piece);
    })();
    await eventually("the first line", () => /^\S+Z one\n$/.test(text));
    await appendFile(path, "half");
    await eventually("the half", () => text.endsWith("half"));
    await appendFile(path, " whole\n");
    await eventually("the rest", () => /^\S+Z one\n\S+Z half whole\n$/.test(text));
    abort.abort();
    await reading;
    kept.close();
  });
});
