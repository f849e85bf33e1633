/** `trireme protos`: the public contracts as a tree that generators of other languages take. */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { print } from "../output.ts";

export interface ProtosFlags {
  readonly out: string;
  readonly force?: boolean;
  readonly goPrefix?: string;
}

/** What `npm run gen` has written. */
const generated = fileURLToPath(new URL("../../../proto/gen/tree", import.meta.url));

export async function protos(flags: ProtosFlags): Promise<void> {
  const files = await writeTree(flags);
  const packages = new Set(files.map(dirname));
  packages.delete(".");
  print(`wrote ${files.length} files to ${flags.out}; the packages:`);
  for (const each of [...packages].sort()) print(`  ${each.replaceAll("/", ".")}`);
  print("README.md there says how to generate code from them");
}

/**
 * Writes the tree in one step: the folder is there when all of it is. Answers the names of its
 * files, relative to the folder.
 */
export async function writeTree(flags: ProtosFlags): Promise<string[]> {
  const { out, force = false } = flags;
  if (flags.goPrefix !== undefined) checkGoPrefix(flags.goPrefix);
  const present = await namesIn(out);
  if (present.length > 0 && !force) {
    throw new StatusError(
      Code.alreadyExists,
      `--out ${out} is not empty: choose another folder, or replace what the tree has with --force`,
    );
  }
  const draft = `${out}.draft-${process.pid}`;
  await mkdir(draft, { recursive: true });
  try {
    await cp(generated, draft, { recursive: true });
    const files = await filesBelow(draft);
    if (flags.goPrefix !== undefined) await changeGoPrefix(files, flags.goPrefix);
    await moveInto(draft, out, present);
    return files.map((file) => relative(draft, file));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new StatusError(Code.invalidArgument, `--out ${folder} cannot be read: ${message}`);
  }
}

/** Replaces what the tree has, and leaves everything else in `out` alone. */
async function moveInto(draft: string, out: string, present: readonly string[]): Promise<void> {
  if (present.length === 0) {
    await rm(out, { recursive: true, force: true });
    await rename(draft, out);
    return;
  }
  for (const name of await readdir(draft)) {
    await rm(join(out, name), { recursive: true, force: true });
    await rename(join(draft, name), join(out, name));
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
}

/** A Go import path: elements of letters, digits and `-._~`, the first one a domain. */
function checkGoPrefix(prefix: string): void {
  const path = /^[a-z0-9-]+(\.[a-z0-9-]+)+(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/;
  if (path.test(prefix)) return;
  throw new StatusError(
    Code.invalidArgument,
    `--go-prefix "${prefix}": an import path such as example.com/you/api is wanted`,
  );
}

async function changeGoPrefix(files: readonly string[], prefix: string): Promise<void> {
  for (const file of files) {
    if (!file.endsWith(".proto")) continue;
    const text = await readFile(file, "utf8");
    const changed = text.replace(/^(option go_package = ")trireme\.io\/api\//m, `$1${prefix}/`);
    await writeFile(file, changed);
  }
}
