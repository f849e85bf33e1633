/**
 * `npm test`: every suite that needs nothing but Node. Suites that need foreign programs are in
 * test/foreign: `npm test -- --foreign` runs those, and so does `.ci/run` once they are installed.
 *
 * Arguments are passed on as file patterns: `npm test -- test/raft` runs one folder.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";

const root = dirname(import.meta.dirname);
const foreign = process.argv.includes("--foreign");
const wanted = process.argv.slice(2).filter((argument) => argument !== "--foreign");
const files = globSync("test/**/*.test.ts", { cwd: root })
  .filter((file) => file.startsWith("test/foreign/") === foreign)
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(" ")}`);
  process.exit(2);
}

/** Whole clusters of processes: one after the other, when nothing else wants the machine. */
const alone = (file: string) => /^test\/(e2e|foreign)\//.test(file);
const endToEnd = files.filter(alone);
const ordinary = files.filter((file) => !alone(file));

let failed = false;
for (const [group, concurrency] of [
  [ordinary, availableParallelism()],
  [endToEnd, 1],
] as const) {
  if (group.length === 0) continue;
  const result = spawnSync(
    process.execPath,
    ["--test", `--test-concurrency=${concurrency}`, "--test-timeout=240000", ...group],
    { cwd: root, stdio: "inherit" },
  );
  if (result.status !== 0) failed = true;
}
process.exit(failed ? 1 : 0);
