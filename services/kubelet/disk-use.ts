/** How much of a disk a directory takes. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { kubeletLimits } from "./limits.ts";

export interface DiskUse {
  readonly bytes: number;
  /** Files and directories. */
  readonly entries: number;
}

/** Blocks in use, as du(1) counts them, of a bounded number of files; what vanishes counts nothing. */
export async function diskUseOf(path: string): Promise<DiskUse> {
  const total = { bytes: 0, entries: 0 };
  await add(path, total);
  return total;
}

async function add(path: string, total: { bytes: number; entries: number }): Promise<void> {
  const stat = await lstat(path).catch(() => undefined); // removed since it was listed
  if (stat === undefined || total.entries >= kubeletLimits.volumeEntriesMeasured) return;
  total.entries += 1;
  total.bytes += stat.blocks * 512;
  if (!stat.isDirectory()) return;
  const names = await readdir(path).catch(() => []); // removed since it was listed
  for (const name of names) await add(join(path, name), total);
}
