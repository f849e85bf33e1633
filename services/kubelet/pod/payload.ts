/**
 * Files of a volume that change together, as upstream's atomic writer keeps them: the files of one
 * version lie in a directory of their own, `..data` links to it, and each name links through
 * `..data`, so a change appears in all files at once.
 */
import { randomBytes } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { ContainerConfigError } from "../runtime/types.ts";

export interface VolumeFile {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

const payloadBytesMax = 4 * 1024 * 1024;

/** Replaces the content of a directory at once; does nothing when it is the same. */
export async function writePayload(dir: string, files: readonly VolumeFile[]): Promise<void> {
  const total = files.reduce((sum, file) => sum + file.content.length, 0);
  if (total > payloadBytesMax) {
    throw new ContainerConfigError(`a volume of ${total} bytes exceeds ${payloadBytesMax}`);
  }
  const version = `..${randomBytes(6).toString("hex")}`;
  const previous = await readlink(join(dir, "..data")).catch(() => undefined); // first time
  if (previous !== undefined && (await sameContent(join(dir, previous), files))) return;
  await mkdir(join(dir, version));
  for (const file of files) {
    const path = join(dir, version, safeRelative(file.path, `path "${file.path}"`));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file.content);
    await chmod(path, file.mode);
  }
  await symlink(version, join(dir, "..data.new"));
  await rename(join(dir, "..data.new"), join(dir, "..data"));
  const tops = new Set(files.map((file) => normalize(file.path).split("/")[0] ?? ""));
  for (const top of tops) {
    if (!(await isThere(join(dir, top)))) await symlink(join("..data", top), join(dir, top));
  }
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith("..") && !tops.has(entry)) await unlink(join(dir, entry));
  }
  if (previous !== undefined) await rm(join(dir, previous), { recursive: true, force: true });
}

async function sameContent(dir: string, files: readonly VolumeFile[]): Promise<boolean> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.filter((entry) => entry.isFile()).length !== files.length) return false;
  for (const file of files) {
    const content = await readFile(join(dir, file.path)).catch(() => undefined); // not there
    if (content === undefined || !content.equals(file.content)) return false;
  }
  return true;
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

export function safeRelative(path: string, what: string): string {
  const parts = path.split("/");
  if (path === "" || isAbsolute(path) || parts.includes("..") || path.startsWith("..")) {
    throw new ContainerConfigError(`${what} must be relative and must not contain ".."`);
  }
  return path;
}
