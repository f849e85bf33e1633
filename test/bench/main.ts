/** `npm run bench -- NAME`: small benchmarks; each prints CPU per operation. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { refuse } from "../../ha/runtime/production/tool.ts";

const [name, ...args] = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -3));
const isHelp = (arg: string | undefined) => arg === "--help" || arg === "-h";
if (isHelp(name)) {
  console.log(`usage: npm run bench -- NAME [FLAG…]; NAME --help tells more\n`);
  console.log(`One of: ${names.join(", ")}`);
  process.exit(0);
}
if (name === undefined || !names.includes(name)) {
  const what = name === undefined ? "no benchmark is named" : `there is no benchmark "${name}"`;
  refuse("bench", `${what}; name one of ${names.join(", ")}`);
}
if (args.some(isHelp)) {
  console.log(describe(name));
  process.exit(0);
}
interface Benchmark {
  readonly run: (args: readonly string[]) => Promise<void>;
}
const bench = (await import(`./${name}.ts`)) as Benchmark;
if (bench.run.length === 0 && args.length > 0) {
  refuse("bench", `${name} has no flags, but was given ${args.join(" ")}`);
}
try {
  await bench.run(args);
} catch (error) {
  if (isAboutFlags(error)) refuse("bench", `${name}: ${error.message}`);
  throw error;
}

/** The comment at the head of the benchmark's file, which names its flags. */
function describe(benchmark: string): string {
  const file = join(import.meta.dirname, `${benchmark}.ts`);
  const [, comment = ""] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(file, "utf8")) ?? [];
  return comment.replace(/^ ?\* ?/gm, "").trim();
}

/** Node's parser of flags says so in the error's code; a benchmark begins with the flag's name. */
function isAboutFlags(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code = "" } = error as NodeJS.ErrnoException;
  return code.startsWith("ERR_PARSE_ARGS_") || error.message.startsWith("--");
}
