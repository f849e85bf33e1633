import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Level } from "level";
import { crc32 } from "../../ha/runtime/crc32.ts";
import { crc32c } from "../../ha/runtime/crc32c.ts";
import { openLevelDisk } from "../../ha/runtime/production/level-disk.ts";
import { findLogDamage } from "../../ha/runtime/production/level-log-check.ts";
import { createLog } from "../../ha/runtime/production/mod.ts";
import { DiskError } from "../../ha/runtime/types.ts";
import { scan, write } from "../contract/disk.ts";

const log = createLog({}, { level: "silent" });
const key = (index: number): Uint8Array => Uint8Array.of(index >> 8, index & 255);

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-level-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** A closed database; enough incompressible values to have tables when `tables`. */
async function fill(directory: string, tables = false): Promise<void> {
  const disk = await openLevelDisk(directory, log, { writeBufferBytes: 64 * 1024 });
  for (let round = 0; round < (tables ? 40 : 5); round++) {
    const operations = Array.from({ length: 10 }, (_, index) => {
      const value = new Uint8Array(tables ? 1_000 : 100);
      crypto.getRandomValues(value);
      return { key: key(round * 10 + index), value };
    });
    await write(disk, operations, true);
  }
  if (tables) await disk.compact?.();
  await disk.close();
}

/** As `fill` without tables, but by LevelDB alone: its log has all of it, and there is no journal. */
async function fillBare(directory: string): Promise<void> {
  const encodings = { keyEncoding: "view", valueEncoding: "view" } as const;
  const database = new Level<Uint8Array, Uint8Array>(directory, encodings);
  await database.open();
  for (let round = 0; round < 5; round++) {
    const batch = database.batch();
    for (let index = 0; index < 10; index++) {
      batch.put(key(round * 10 + index), crypto.getRandomValues(new Uint8Array(100)));
    }
    await batch.write();
  }
  await database.close();
}

async function fileOf(directory: string, pattern: RegExp): Promise<string> {
  const names = (await readdir(directory)).filter((name) => pattern.test(name)).sort();
  assert.ok(names[0], `no file like ${pattern} in ${directory}`);
  return join(directory, names[0]);
}

const isCorrupt =
  (directory: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof DiskError, String(error));
    assert.equal(error.kind, "corrupt", error.message);
    assert.ok(error.message.includes(directory) && error.message.includes("backup"), error.message);
    return true;
  };

for (const [name, pattern] of [
  ["CURRENT", /^CURRENT$/],
  ["the manifest", /^MANIFEST-/],
] as const) {
  test(`garbage in ${name} is reported as corruption`, () =>
    inDirectory(async (directory) => {
      await fill(directory);
      await writeFile(await fileOf(directory, pattern), "garbage garbage garbage");
      await assert.rejects(openLevelDisk(directory, log), isCorrupt(directory));
    }));

  test(`the loss of ${name} is reported, and no new database made in its place`, () =>
    inDirectory(async (directory) => {
      await fill(directory);
      await rm(await fileOf(directory, pattern));
      await assert.rejects(openLevelDisk(directory, log), isCorrupt(directory));
    }));
}

test("a truncated table is reported at the latest when it is read", () =>
  inDirectory(async (directory) => {
    await fill(directory, true);
    for (const name of await readdir(directory)) {
      if (name.endsWith(".ldb")) await truncate(join(directory, name), 1_000);
    }
    const read = async (): Promise<void> => {
      const disk = await openLevelDisk(directory, log);
      try {
        const range = { start: key(0), end: key(10_000), limit: 10_000 };
        await scan(disk, range);
      } finally {
        await disk.close();
      }
    };
    await assert.rejects(read(), isCorrupt(directory));
  }));

test("a flipped bit in the middle of the log is reported, a torn end is not", () =>
  inDirectory(async (directory) => {
    await fillBare(directory);
    const file = await fileOf(directory, /\.log$/);
    const whole = await readFile(file);
    await truncate(file, whole.length - 20);
    const torn = await openLevelDisk(directory, log);
    // The torn batch is gone as a whole, the one before it is whole.
    assert.equal(torn.get(key(40)), undefined);
    assert.equal(torn.get(key(39))?.length, 100);
    await torn.close();
  }));

test("log damage: found in the middle, tolerated where a crash explains it", async () => {
  await inDirectory(async (directory) => {
    await fillBare(directory);
    const log = await readFile(await fileOf(directory, /\.log$/));
    assert.equal(findLogDamage(log), undefined);
    for (const at of [10, 200, 1_500]) {
      const damaged = Buffer.from(log);
      damaged[at] = damaged[at]! ^ 4;
      assert.notEqual(findLogDamage(damaged), undefined, `bit flipped at ${at}`);
    }
    for (let length = 0; length < log.length; length += 97) {
      assert.equal(findLogDamage(log.subarray(0, length)), undefined, `cut at ${length}`);
    }
    const lostSectors = Buffer.from(log);
    lostSectors.fill(0, log.length - 700);
    assert.equal(findLogDamage(lostSectors), undefined);
  });
});

test("a damaged log keeps the disk from opening", () =>
  inDirectory(async (directory) => {
    await fill(directory);
    const handle = await open(await fileOf(directory, /\.log$/), "r+");
    await handle.write(Buffer.from("x"), 0, 1, 100);
    await handle.close();
    await assert.rejects(openLevelDisk(directory, log), isCorrupt(directory));
  }));

test("crc32 agrees with the check value of its definition, in pieces too", () => {
  const bytes = Buffer.from("xx123456789");
  assert.equal(crc32(bytes, 2, 11), 0xcbf43926);
  assert.equal(crc32(bytes, 6, 11, crc32(bytes, 2, 6)), 0xcbf43926);
});

test("crc32c agrees with RFC 3720 B.4", () => {
  assert.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8ab43);
  assert.equal(crc32c(Buffer.from("xx123456789"), 2, 11), 0xe3069283);
});

test("a second member on the same directory is told so", () =>
  inDirectory(async (directory) => {
    const disk = await openLevelDisk(directory, log);
    await assert.rejects(openLevelDisk(directory, log), (error: DiskError) => {
      assert.match(error.message, /is another member running on this directory\?/);
      return error.kind === "io";
    });
    await disk.close();
  }));

test("a directory that cannot be made is an io error", () =>
  inDirectory(async (directory) => {
    await writeFile(join(directory, "file"), "");
    await mkdir(join(directory, "other"));
    const impossible = join(directory, "file", "data");
    await assert.rejects(openLevelDisk(impossible, log), (error: DiskError) => {
      assert.ok(error.message.includes(impossible));
      return error.kind === "io";
    });
  }));

test("after the first failed write all later ones fail, in order, without an end of the process", () =>
  inDirectory(async (directory) => {
    // A real failure: the child may not write files larger than 32 blocks of 512 or 1024 bytes.
    const program = `
      import { openLevelDisk } from ${JSON.stringify(import.meta.resolve("../../ha/runtime/production/level-disk.ts"))};
      const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
      const journal = { journalBytes: 24_576, zeroStepBytes: 16_384 };
      const disk = await openLevelDisk(${JSON.stringify(directory)}, quiet, { journal });
      const results = [];
      const value = crypto.getRandomValues(new Uint8Array(10_000));
      for (let index = 0; index < 20; index++) {
        await new Promise((resolve) => disk.write([{ key: Uint8Array.of(index), value }], { sync: false }, (error) => {
          results.push(error ? error.kind : "ok");
          resolve();
        }));
      }
      let read = "read";
      try { disk.get(Uint8Array.of(0)); } catch (error) { read = error.kind; }
      await disk.close().catch((error) => results.push(error.kind));
      process.stdout.write(JSON.stringify({ results, read }));
    `;
    const script = join(directory, "..", `${directory.split("/").at(-1)}.mjs`);
    await writeFile(script, program);
    try {
      const child = spawn("sh", ["-c", 'ulimit -f 64; exec "$0" "$1"', process.execPath, script]);
      let output = "";
      let errors = "";
      child.stdout.on("data", (chunk) => (output += chunk));
      child.stderr.on("data", (chunk) => (errors += chunk));
      const code = await new Promise((resolve) => child.once("close", resolve));
      assert.equal(code, 0, errors);
      const { results, read } = JSON.parse(output);
      const first = results.indexOf("io");
      assert.ok(first > 0, output);
      assert.ok(
        results.slice(0, first).every((kind: string) => kind === "ok"),
        output,
      );
      assert.ok(
        results.slice(first).every((kind: string) => kind === "io"),
        output,
      );
      assert.equal(read, "io");
    } finally {
      await rm(script);
    }
  }));
