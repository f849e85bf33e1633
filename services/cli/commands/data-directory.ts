/** Looking into a member's data without changing it, and making new data. */
import { copyFile, link, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isJournalFile } from "../../../ha/runtime/production/journal.ts";
import { columnFolders } from "../../../ha/runtime/production/level-columns.ts";
import { openLevelDisk } from "../../../ha/runtime/production/level-disk.ts";
import { createLog } from "../../../ha/runtime/production/log.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type Disk, DiskError, type DiskOperation } from "../../../ha/runtime/types.ts";

const silent = createLog({}, { level: "silent" });

/**
 * Runs with the disk of a copy, for LevelDB always writes a little when it opens. Its tables never
 * change once they are written, so they are linked where that is possible.
 */
export async function withCopy<T>(directory: string, run: (disk: Disk) => Promise<T>): Promise<T> {
  const copy = await copyOf(directory);
  try {
    const disk = await openLevelDisk(copy, silent);
    try {
      return await run(disk);
    } finally {
      await disk.close();
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    // The user knows nothing of the copy.
    throw new DiskError(error.kind, error.message.replaceAll(copy, directory), { cause: error });
  } finally {
    await rm(copy, { recursive: true });
  }
}

async function copyOf(directory: string): Promise<string> {
  const names = await readdir(directory).catch((error: Error) => {
    throw new StatusError(Code.notFound, `${directory} cannot be read: ${error.message}`);
  });
  if (!names.includes("CURRENT")) {
    throw new StatusError(Code.notFound, `${directory} is not the data directory of a member`);
  }
  const copy = await mkdtemp(join(tmpdir(), "trireme-copy-"));
  // In this order: a column is to hold all that the journal's mark, which is not in one, tells of,
  // and the journal all that LevelDB's files do, should the member be running.
  await copyFiles(directory, copy, (name) => !isJournalFile(name));
  for (const folder of columnFolders) {
    if (!names.includes(folder)) continue;
    await mkdir(join(copy, folder));
    await copyFiles(join(directory, folder), join(copy, folder));
  }
  await copyFiles(directory, copy, isJournalFile);
  return copy;
}

async function copyFiles(
  from: string,
  to: string,
  wanted: (name: string) => boolean = () => true,
): Promise<void> {
  for (const name of await readdir(from)) {
    const source = join(from, name);
    if (name === "LOCK" || !wanted(name) || !(await stat(source)).isFile()) continue;
    const target = join(to, name);
    if (!/\.(ldb|sst)$/.test(name)) await copyFile(source, target);
    // Another file system: copied instead.
    else await link(source, target).catch(() => copyFile(source, target));
  }
}

/** Makes a data directory in one step: it is there when all of its data is. */
export async function createData(
  directory: string,
  batches: Iterable<DiskOperation[]>,
): Promise<void> {
  const taken = await readdir(directory).then(
    (names) => names.length > 0,
    () => false,
  );
  if (taken) {
    throw new StatusError(
      Code.alreadyExists,
      `${directory} is not empty: move it away, or choose another --data-dir`,
    );
  }
  await mkdir(dirname(directory), { recursive: true });
  const draft = await mkdtemp(`${directory}.draft-`);
  const disk = await openLevelDisk(draft, silent);
  try {
    for (const batch of batches) await write(disk, batch, false);
    await write(disk, [], true);
  } finally {
    await disk.close();
  }
  await rm(directory, { recursive: true, force: true });
  await rename(draft, directory);
}

function write(disk: Disk, operations: readonly DiskOperation[], sync: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.write(operations, { sync }, (error) => (error ? reject(error) : resolve()));
  });
}
