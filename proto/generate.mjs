// Generates proto/gen/ from the contracts in this folder: the messages and services that follow
// from the `resource` option, TypeScript, descriptors, tables, and the tree of contracts for other
// languages. Runs after `npm install` and before every command; it does nothing when neither the
// contracts nor the generator have changed. Plain JavaScript, because it runs before anything that
// could check its types is set up.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const gen = join(here, "gen");
const contracts = readdirSync(here)
  .filter((name) => name.endsWith(".proto"))
  .sort();

const stamp = digestOfInputs();
const stampFile = join(gen, "stamp");
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) await generate();

function digestOfInputs() {
  const below = (folder) => readdirSync(join(here, folder)).map((name) => join(folder, name));
  const inputs = ["generate.mjs", ...[...below("generate"), ...below("tree")].sort(), ...contracts];
  const digest = createHash("sha256");
  for (const name of inputs) digest.update(name).update(readFileSync(join(here, name)));
  return digest.digest("hex");
}

/** The folder appears as a whole: readers see the old one or the new one. */
async function generate() {
  const { generateAll } = await import("./generate/all.mjs");
  const next = `${gen}.${process.pid}`;
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next, { recursive: true });
  try {
    await generateAll(here, contracts, next);
    writeFileSync(join(next, "stamp"), stamp);
    rmSync(gen, { recursive: true, force: true });
    renameSync(next, gen);
  } finally {
    rmSync(next, { recursive: true, force: true });
  }
}
