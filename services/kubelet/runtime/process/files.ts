/** Small durable files. */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Log } from "../../../../ha/runtime/types.ts";

/** Replaces a file so that a crash leaves the old content or the new, never a part. */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
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
