// The steps of the generation, in order.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { completed } from "./complete.mjs";
import { writeDescriptions } from "./descriptions.mjs";
import { descriptorsOf, writeDescriptors } from "./descriptors.mjs";
import { isBigint } from "./names.mjs";
import { protoc } from "./protoc.mjs";
import { resourcesOf } from "./resources.mjs";
import { writeTables } from "./tables.mjs";
import { writeTree } from "./tree.mjs";
import { rewriteTypescript, typescriptFlags } from "./typescript.mjs";

/**
 * Writes everything that is generated from `contracts`, names of files in the folder `source`, to
 * the folder `out`.
 */
export async function generateAll(source, contracts, out) {
  const written = await protoc([source], contracts, ["--include_imports"]);
  const resources = resourcesOf(await descriptorsOf([written]));
  const proto = join(out, "proto");
  mkdirSync(proto);
  for (const name of contracts) {
    const text = readFileSync(join(source, name), "utf8");
    writeFileSync(join(proto, name), completed(name, text, resources));
  }
  const compiled = [false, true].map((bigint) => {
    const files = contracts.filter((name) => isBigint(name) === bigint);
    const flags = ["--include_imports", "--include_source_info", ...typescriptFlags(out, bigint)];
    return protoc([proto], files, flags);
  });
  const sets = await Promise.all(compiled);
  rewriteTypescript(out);
  const descriptors = await descriptorsOf(sets);
  await writeDescriptors(out, descriptors);
  writeDescriptions(out, descriptors);
  writeTables(out, descriptors, resources);
  writeTree(source, proto, join(out, "tree"), descriptors);
}
