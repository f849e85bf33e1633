/**
 * Where the bundle of all programs lies, and whether it is one of these very sources. A program is
 * a thousand files, and to find, read and link them costs twice as much as what else it does at its
 * start; the bundle is the same code in a few files. It is made at installation and by `trireme up`
 * (`make.ts`); where there is none, or the sources have changed since, they run themselves.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

export const root = dirname(dirname(dirname(import.meta.dirname)));

export const bundlesDirectory = join(root, "node_modules/.cache/trireme-bundle");

/** What V8 has compiled, of the bundle and of sources; `NODE_COMPILE_CACHE` has precedence. */
export const compileCacheDirectory = join(root, "node_modules/.cache/trireme");

/**
 * The variable that settles it for a process: the digest of a bundle, or `off`, for profilers and
 * debuggers that want to see source files. `trireme up` sets it for all processes of its cluster.
 */
export const bundleVariable = "TRIREME_BUNDLE";

export const withoutBundle = "off";

/** The digest of the bundle that this process is to run; absent: the sources. */
export function chosenBundle(): string | undefined {
  const given = process.env[bundleVariable];
  if (given === withoutBundle) return undefined;
  const digest = given ?? sourcesDigest();
  return existsSync(entryFile(digest)) ? digest : undefined;
}

/** The module to load for the `trireme` command. */
export function bundledCommand(digest: string): string {
  return pathToFileURL(entryFile(digest)).href;
}

function entryFile(digest: string): string {
  return join(bundlesDirectory, digest, "trireme.mjs");
}

/** Of the names, sizes and times of all sources, where they lie, and what they depend on. */
export function sourcesDigest(): string {
  const hash = createHash("sha256").update(root);
  const stamp = join(root, "node_modules/.package-lock.json");
  if (existsSync(stamp)) hash.update(readFileSync(stamp));
  for (const home of ["ha", "proto", "services"]) add(join(root, home));
  return hash.digest("hex").slice(0, 32);

  function add(folder: string): void {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) add(path);
      else if (entry.name.endsWith(".ts")) {
        const { size, mtimeMs } = statSync(path);
        hash.update(`${path} ${size} ${Math.floor(mtimeMs / 1000)}\n`);
      }
    }
  }
}
