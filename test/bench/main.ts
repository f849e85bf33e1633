/** `npm run bench -- NAME`: small benchmarks; each prints CPU per operation. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [name, ...args] = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -3));
if (name === undefined || !existsSync(join(import.meta.dirname, `${name}.ts`)) || name === "main") {
  console.error(`bench: name one of ${names.join(", ")}`);
  process.exit(2);
}
const bench = (await import(`./${name}.ts`)) as { run(args: readonly string[]): Promise<void> };
await bench.run(args);
