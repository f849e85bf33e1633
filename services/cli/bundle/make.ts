/** Makes the bundle of all programs (`place.ts`). Run as a program, it makes and warms it. */
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Plugin } from "esbuild";
import { kindFiles } from "../../kinds/kind-files.ts";
import { bundlesDirectory, root, sourcesDigest } from "./place.ts";

/** Files of the bundle that something loads by name, and their sources. */
const entries: Readonly<Record<string, string>> = {
  trireme: "services/cli/trireme.ts",
  warm: "services/cli/warm.ts",
  "thread-start": "ha/member/thread-start.ts",
  "etcd-thread": "services/apiserver/etcd-thread.ts",
};

/** They look for files of theirs: native code, and scripts of worker threads. */
const external = ["classic-level", "esbuild", "pino"];

/** A cluster that is up goes on loading from the bundle that it was started with. */
const bundlesKept = 8;

/** The digest of the bundle of these sources: the present one, or one that is made now. */
export async function makeBundle(): Promise<string> {
  const digest = sourcesDigest();
  const place = join(bundlesDirectory, digest);
  if (isDirectory(place)) return digest;
  const { build } = await import("esbuild");
  const unfinished = `${place}.${process.pid}`;
  await build({
    absWorkingDir: root,
    entryPoints: { ...entries },
    outdir: unfinished,
    bundle: true,
    splitting: true,
    format: "esm",
    // By any other name each file would be read as CommonJS first.
    outExtension: { ".js": ".mjs" },
    platform: "node",
    target: "node24",
    external,
    plugins: [placesOfSources],
    // Packages in CommonJS ask for Node's own modules when they like.
    banner: {
      js: 'import { createRequire as $require } from "node:module"; const require = $require(import.meta.url);',
    },
    logLevel: "silent",
  });
  try {
    renameSync(unfinished, place);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    // Another process was quicker.
    if (!isDirectory(place)) throw error;
  }
  removeOldest();
  return digest;
}

/** What a source says of its own place is true in the bundle too; kinds are listed, not found. */
const placesOfSources: Plugin = {
  name: "places of sources",
  setup(building) {
    building.onLoad({ filter: /\/(ha|proto|services)\/.*\.ts$/ }, ({ path }) => {
      const source = path.endsWith("/kinds/kind-modules.ts")
        ? listOfKinds(dirname(path))
        : readFileSync(path, "utf8");
      return { contents: withPlaces(source, path), loader: "ts" };
    });
  },
};

function listOfKinds(home: string): string {
  const files = kindFiles(home).map((file) => JSON.stringify(`./${relative(home, file)}`));
  const imports = files.map((file, at) => `import * as kind${at} from ${file};`);
  const names = files.map((_, at) => `kind${at}`);
  return `${imports.join("\n")}\nexport const kindModules = [${names.join(", ")}];\n`;
}

/** How generated clients load a library late (`proto/generate/typescript.mjs`). */
const lateLoader = /^const load = createRequire\(import\.meta\.url\);$/m;

/** The bundle has one copy of a library: one loaded late would be another, of other classes. */
function withOwnLibraries(source: string): string {
  if (!lateLoader.test(source)) return source;
  return source.replace(lateLoader, "").replaceAll('load("', 'require("');
}

function withPlaces(source: string, path: string): string {
  if (!/import\.meta\./.test(source)) return source;
  return withOwnLibraries(source)
    .replace(/new URL\("([^"]+\.ts)", import\.meta\.url\)/g, (_, file: string) => {
      return `new URL(${urlOf(resolve(dirname(path), file))})`;
    })
    .replace(/import\.meta\.url/g, urlOf(path))
    .replace(/import\.meta\.dirname/g, JSON.stringify(dirname(path)))
    .replace(/import\.meta\.main/g, "false");
}

/** As an expression: of the bundle's file if it has one for this source. */
function urlOf(path: string): string {
  const name = Object.keys(entries).find((entry) => join(root, entries[entry] ?? "") === path);
  return name === undefined
    ? JSON.stringify(pathToFileURL(path).href)
    : `import.meta.resolve("./${name}.mjs")`;
}

function removeOldest(): void {
  const all = readdirSync(bundlesDirectory)
    .map((name) => join(bundlesDirectory, name))
    // What another process is making may be gone, under its name, in the meantime.
    .map((path) => ({ path, made: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((one, other) => other.made - one.made);
  for (const { path } of all.slice(bundlesKept)) rmSync(path, { recursive: true, force: true });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

if (import.meta.main) {
  const digest = await makeBundle();
  await import(pathToFileURL(join(bundlesDirectory, digest, "warm.mjs")).href);
}
