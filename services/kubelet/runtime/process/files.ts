/** Small files that are replaced as a whole. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Log } from "../../../../ha/runtime/types.ts";

/**
 * Replaces a file so that a crash of the kubelet leaves the old content or the new, never a part.
 * It does not wait for the disk: what the files describe are processes, which do not outlive a crash
 * of the machine either, and a record that such a crash damages is set aside.
 */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, path).catch(async (error: unknown) => {
    await unlink(temporary).catch(() => undefined); // the rename's error is the one that matters
    throw error;
  });
}

/** Undefined: no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Moves what cannot be understood out of the way, so that the rest can go on. */
export async function quarantine(
  path: string,
  quarantineDir: string,
  reason: string,
  log: Log,
): Promise<void> {
  const target = join(quarantineDir, `${basename(path)}-${randomBytes(4).toString("hex")}`);
  await mkdir(dirname(target), { recursive: true });
  await rename(path, target);
  log.error("a damaged state record was set aside; what it described is no longer managed", {
    path,
    movedTo: target,
    reason,
  });
}
