/**
 * `npm test`: every suite that needs nothing but Node. Suites that need foreign programs are in
 * test/foreign: `npm test -- --foreign` runs those, and so does `.ci/run` once they are installed.
 *
 * Arguments are passed on as file patterns: `npm test -- test/raft` runs one folder.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";

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

/** Files of one process. To load what they test costs more than most of them. */
const filesTogether = 8;
const totals = { tests: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0 };
let failed = false;
/** What failed, once more at the end: the rest is long. */
const failures: string[] = [];

const ordinary = together(files.filter((file) => !alone(file)));
// Tests wait more than they work, so there is one process more than there are processors.
await Promise.all(Array.from({ length: availableParallelism() + 1 }, runOrdinary));
for (const file of files.filter(alone)) await run([file]);
for (const text of failures) console.log(`\n${text}`);
console.log(
  Object.entries(totals)
    .map(([name, count]) => `${name} ${count}`)
    .join("  "),
);
process.exit(failed ? 1 : 0);

/** Files of the same folder, in order. */
function together(all: readonly string[]): string[][] {
  const groups: string[][] = [];
  let last: string[] | undefined;
  for (const file of all) {
    if (last?.length === filesTogether || dirname(last?.[0] ?? "") !== dirname(file)) {
      last = [];
      groups.push(last);
    }
    last?.push(file);
  }
  return groups;
}

async function runOrdinary(): Promise<void> {
  for (let group = ordinary.shift(); group !== undefined; group = ordinary.shift()) {
    await run(group);
  }
}

/** Shows what a group says when it has ended, so that groups do not talk over each other. */
async function run(group: readonly string[]): Promise<void> {
  const args = ["--test", "--test-isolation=none", "--test-timeout=240000", ...group];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  const output = await text(child.stdout);
  const [code] = await ended;
  console.log(`\n${group.join(" ")}\n${output.trimEnd()}`);
  for (const [, name, count] of output.matchAll(/^ℹ (\w+) (\d+)$/gm)) {
    if (name !== undefined && Object.hasOwn(totals, name)) {
      totals[name as keyof typeof totals] += Number(count);
    }
  }
  if (code === 0) return;
  failed = true;
  const details = output.indexOf("✖ failing tests:");
  failures.push(`${group.join(" ")}\n${output.slice(Math.max(details, 0)).trimEnd()}`);
}
