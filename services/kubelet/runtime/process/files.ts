/**
 * Small files that are replaced as a whole. They are read and written in place: a call that hands
 * one to the thread pool costs several times what the page cache takes, and a container's start
 * needs a dozen of them, one after the other.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Log } from "../../../../ha/runtime/types.ts";

/**
 * Replaces a file so that a crash of the kubelet leaves the old content or the new, never a part.
 * It does not wait for the disk: what the files describe are processes, which do not outlive a crash
 * of the machine either, and a record that such a crash damages is set aside.
 */
export function writeFileAtomic(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Undefined: no such file. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
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
