/**
 * Makes durable what LevelDB was given without sync.
 *
 * A synced LevelDB write is not enough for that: when its memory table is full, LevelDB closes its
 * log without syncing it, begins another and writes the table in the background. A synced write
 * syncs the log that it went to; what is in the tail of the one before may still be lost, and the
 * synced write survive. So every log file that there is gets synced, by its name.
 *
 * That is sound, by LevelDB's sources (1.20): a write is done when its record has been handed to
 * the operating system (`Writer::AddRecord` flushes), so it is in a file that `fdatasync` through
 * any descriptor makes durable. If its log is gone, then `DeleteObsoleteFiles` has removed it,
 * which comes after the log's table was synced (`BuildTable`) and the manifest that names it as
 * well (`VersionSet::LogAndApply`, which syncs the directory first). If writing the table has
 * failed, nothing is removed any more. New names in the directory are made durable here too.
 */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { LogPosition } from "./journal-records.ts";

/** Resolves with the newest log and its length, all of which is durable. */
export async function syncLevelLogs(directory: string): Promise<LogPosition> {
  let newest = { log: 0, logBytes: 0 };
  for (const name of await readdir(directory)) {
    if (!/^\d+\.log$/.test(name)) continue;
    const log = Number.parseInt(name, 10);
    const logBytes = await syncFile(join(directory, name));
    if (log >= newest.log) newest = { log, logBytes };
  }
  await syncDirectory(directory);
  return newest;
}

/** 0: LevelDB needs it no more, and has removed it meanwhile. */
async function syncFile(file: string): Promise<number> {
  try {
    const handle = await open(file, "r+");
    try {
      const { size } = await handle.stat();
      await handle.datasync();
      return size;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

/** Windows opens no directories, and needs no such thing. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
