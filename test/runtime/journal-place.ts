/** Where the journal's tests write: directories, what a crash leaves of them, and what is in them. */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeHeader, type JournalHeader } from "../../ha/runtime/production/journal-records.ts";
import { type LevelDiskOptions, openLevelDisk } from "../../ha/runtime/production/level-disk.ts";
import { createLog } from "../../ha/runtime/production/mod.ts";
import { type Disk, DiskError } from "../../ha/runtime/types.ts";
import { scan } from "../contract/disk.ts";

export const log = createLog({}, { level: "silent" });
/** Turns are frequent: 8 KiB of records a file. */
export const small = { journalBytes: 16 * 1024, zeroStepBytes: 16 * 1024 };
/** LevelDB is given nothing before a flush: a crash finds every record in the journal alone. */
export const lazy = { ...small, applyDelayMillis: 3_600_000 };
/** Each in another column than the one before it: "L", then "R", then in none, behind and before. */
export const key = (index: number): Uint8Array =>
  Uint8Array.of([0x4c, 0x52, 0x6b, 0x41][index % 4] as number, index >> 8, index & 255);
/** The folder of each database, in the order of their logs in a header. */
export const folders = ["", "column-L", "column-R"] as const;
export const value = (index: number, length = 100): Uint8Array =>
  new Uint8Array(length).fill(index & 255);

export const opened = new Set<Disk>();

export async function open(
  directory: string,
  journal = small as LevelDiskOptions["journal"] & object,
) {
  const disk = await openLevelDisk(directory, log, { journal, writeBufferBytes: 64 * 1024 });
  opened.add(disk);
  return disk;
}

export async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-journal-"));
  try {
    await body(directory);
  } finally {
    for (const disk of opened) await disk.close().catch(() => undefined);
    opened.clear();
    await rm(directory, { recursive: true });
  }
}

/**
 * What a killed process leaves behind: the files as they are. Nothing may be written meanwhile; if
 * LevelDB still clears away in the background, then it is done once more.
 */
export async function crashed(directory: string, name = "crashed"): Promise<string> {
  const image = `${directory}/${name}`;
  for (;;) {
    for (const folder of folders) await mkdir(join(image, folder), { recursive: true });
    const before = await listing(directory);
    const copies = before.map((file) => cp(join(directory, file), join(image, file)));
    const results = await Promise.allSettled(copies);
    const whole = results.every(({ status }) => status === "fulfilled");
    if (whole && before.join() === (await listing(directory)).join()) return image;
    await rm(image, { recursive: true });
  }
}

async function listing(directory: string): Promise<string[]> {
  const names = folders.map(async (folder) => {
    const entries = await readdir(join(directory, folder), { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && entry.name !== "LOCK");
    return files.map(({ name }) => join(folder, name));
  });
  return (await Promise.all(names)).flat();
}

/** What power failure adds: nothing of LevelDB's logs that was not synced need be there. */
export async function losePower(image: string, kept: (name: string) => number): Promise<void> {
  const { durable } = await header(image);
  for (const [index, folder] of folders.entries()) {
    const position = durable.logs[index];
    assert.ok(position);
    const logs = (await readdir(join(image, folder))).filter((name) => name.endsWith(".log"));
    for (const name of logs) {
      const number = Number.parseInt(name, 10);
      if (number < position.log) continue;
      const file = join(image, folder, name);
      const { length } = await readFile(file);
      const least = number === position.log ? position.logBytes : 0;
      await truncate(file, least + Math.floor(kept(name) * Math.max(0, length - least)));
    }
  }
}

export async function header(directory: string): Promise<JournalHeader> {
  const files = ["journal-0", "journal-1"].map(async (name) => readFile(join(directory, name)));
  const headers = (await Promise.all(files)).map((bytes) => decodeHeader(bytes));
  const [even, odd] = headers;
  assert.ok(even && odd);
  return even.generation > odd.generation ? even : odd;
}

export async function change(file: string, at: number, bytes: Uint8Array): Promise<void> {
  const content = await readFile(file);
  content.set(bytes, at);
  await writeFile(file, content);
}

export async function contentOf(disk: Disk): Promise<Map<string, string>> {
  const range = { start: Uint8Array.of(0), end: Uint8Array.of(0xff, 0xff, 0xff), limit: 100_000 };
  const page = await scan(disk, range);
  return new Map(
    page.map(([k, v]) => [Buffer.from(k).toString("hex"), Buffer.from(v).toString("hex")]),
  );
}

export async function assertHas(directory: string, count: number): Promise<void> {
  const disk = await open(directory);
  for (let index = 0; index < count; index++) {
    assert.deepEqual([...(disk.get(key(index)) ?? [])], [...value(index)], `key ${index}`);
  }
  assert.equal(disk.get(key(count)), undefined);
  await disk.close();
}

export const isCorrupt =
  (...parts: string[]) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof DiskError, String(error));
    assert.equal(error.kind, "corrupt", error.message);
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  };
