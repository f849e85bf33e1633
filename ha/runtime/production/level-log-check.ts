/**
 * Checks LevelDB's write-ahead logs before LevelDB reads them.
 *
 * LevelDB, opened as `classic-level` opens it, skips a damaged record of its log and goes on with
 * the next: writes that were acknowledged as durable would silently be missing from the middle of
 * history. A torn record at the very end is different: that is what a crash leaves behind, and
 * nothing after it was ever acknowledged.
 *
 * Behind a journal (`journal.ts`) LevelDB's logs are not synced write by write, so that a crash may
 * leave anything behind of what came after the journal's durable position: the replay of the
 * journal writes all of it again. What is before that position must be whole, or it is damage as
 * above.
 *
 * Format: LevelDB `doc/log_format.md`. Blocks of 32 KiB; records of checksum (masked CRC-32C of
 * type and data, 4 bytes), length (2), type (1: full, 2: first, 3: middle, 4: last), data.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../crc32c.ts";
import type { LogPosition } from "./journal-records.ts";
import { corrupt } from "./level-errors.ts";

const blockBytes = 32 * 1024;
const headerBytes = 7;
const sectorBytes = 512;
const typeMax = 4;
const maskDelta = 0xa282ead8;

/**
 * Throws a `corrupt` DiskError when the files of `folder` ("": of the directory itself) cannot be a
 * whole database. `durable`: by the journal; undefined: there is none.
 */
export async function checkLevelFiles(
  directory: string,
  folder: string,
  durable?: LogPosition,
): Promise<void> {
  let names: string[];
  try {
    names = await readdir(join(directory, folder));
  } catch (error) {
    // ENOENT: a new member. Anything else will be reported by the opening that follows.
    if (error instanceof Error) return;
    throw error;
  }
  const named = (name: string): string => join(folder, name);
  const data = names.filter((name) => /^(MANIFEST-\d+|\d+\.(ldb|sst|log))$/.test(name));
  // LevelDB would take this for an empty directory, make a new database and delete the old files.
  if (data.length > 0 && !names.includes("CURRENT")) {
    const detail = `it has data files such as ${named(data[0] ?? "")} but no file `;
    throw corrupt(directory, detail + named("CURRENT"));
  }
  const logs = data.filter((name) => name.endsWith(".log"));
  // LevelDB removes a log only after it has begun another.
  if (data.length > 0 && durable && !logs.some((name) => numberOf(name) >= durable.log)) {
    throw corrupt(directory, `${named(`${durable.log}`.padStart(6, "0"))}.log is missing`);
  }
  for (const name of logs) {
    const number = numberOf(name);
    if (durable && number > durable.log) continue;
    let log = await readLog(join(directory, folder, name));
    if (durable && number === durable.log) {
      if (log.length > 0 && log.length < durable.logBytes) {
        const detail = `it ends at byte ${log.length} of ${durable.logBytes}`;
        throw corrupt(directory, `${named(name)}: ${detail}`);
      }
      log = log.subarray(0, durable.logBytes);
    }
    const damage = findLogDamage(log);
    if (damage !== undefined) {
      const detail = `damaged record at byte ${damage}, followed by more data`;
      throw corrupt(directory, `${named(name)}: ${detail}`);
    }
  }
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}

async function readLog(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    // A member that holds the lock may have deleted it meanwhile; opening will say "locked".
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

type RecordState = "whole" | "padding" | "damaged" | "cut";

/** Byte offset of the first damage that a crash cannot explain; undefined: none. */
export function findLogDamage(log: Buffer): number | undefined {
  let offset = 0;
  while (offset < log.length) {
    const blockEnd = Math.min(offset - (offset % blockBytes) + blockBytes, log.length);
    if (blockEnd - offset < headerBytes) {
      offset = blockEnd;
      continue;
    }
    const state = recordState(log, offset);
    if (state === "whole") {
      offset += headerBytes + log.readUInt16LE(offset + 4);
    } else if (state === "padding") {
      offset = blockEnd;
    } else {
      return isTornTail(log, offset, state) ? undefined : offset;
    }
  }
  return undefined;
}

function recordState(log: Buffer, offset: number): RecordState {
  const length = log.readUInt16LE(offset + 4);
  const type = log[offset + 6] ?? 0;
  if (type === 0 && length === 0) return "padding";
  const end = offset + headerBytes + length;
  const blockEnd = offset - (offset % blockBytes) + blockBytes;
  if (end > blockEnd) return "damaged";
  if (end > log.length) return "cut";
  if (type > typeMax) return "damaged";
  const expected = log.readUInt32LE(offset);
  return maskedCrc(log, offset + 6, end) === expected ? "whole" : "damaged";
}

/** A crash tears only the end: no whole record may follow, and lost sectors read as zeros. */
function isTornTail(log: Buffer, offset: number, state: RecordState): boolean {
  if (state === "cut") return true;
  const end = offset + headerBytes + log.readUInt16LE(offset + 4);
  const nextBlock = offset - (offset % blockBytes) + blockBytes;
  if (end + headerBytes <= Math.min(nextBlock, log.length) && recordState(log, end) === "whole") {
    return false;
  }
  for (let block = nextBlock; block + headerBytes <= log.length; block += blockBytes) {
    if (recordState(log, block) === "whole") return false;
  }
  return hasZeroSector(log, offset, Math.min(end, log.length));
}

function hasZeroSector(log: Buffer, from: number, to: number): boolean {
  let start = from;
  while (start < to) {
    const sectorEnd = Math.min(start - (start % sectorBytes) + sectorBytes, to);
    if (log.subarray(start, sectorEnd).every((byte) => byte === 0)) return true;
    start = sectorEnd;
  }
  return false;
}

function maskedCrc(log: Buffer, from: number, to: number): number {
  const crc = crc32c(log, from, to);
  return (((crc >>> 15) | (crc << 17)) + maskDelta) >>> 0;
}
