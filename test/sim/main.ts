/** `npm run sim -- --seeds 50`, or `--seed N` to replay one. */
import { parseArgs } from "node:util";
import { runSeed } from "./run.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    millis: { type: "string", default: "15000" },
    members: { type: "string", default: "3" },
  },
});
const number = (name: "seeds" | "seed" | "from" | "millis" | "members") => {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0) return value;
  console.error(`--${name} ${values[name]}: must be a whole number`);
  process.exit(2);
};
const seeds =
  values.seed !== undefined
    ? [number("seed")]
    : Array.from({ length: values.seeds === undefined ? 50 : number("seeds") }, (_, i) => number("from") + i);

const startedAt = performance.now();
let failed = 0;
for (const seed of seeds) {
  if (values.seed !== undefined) console.log(`seed ${seed}`);
  try {
    const result = await runSeed({ seed, millis: number("millis"), members: number("members") });
    if (values.seed !== undefined) for (const fault of result.faults) console.log(`  ${fault}`);
    console.log(
      `seed ${seed}: digest ${result.digest} · ${result.answered}/${result.operations} operations ` +
        `answered · ${result.elections} elections · ${result.faults.length} faults · ${result.events} events`,
    );
  } catch (error) {
    failed++;
    console.log(`seed ${seed}: FAILED — replay with: npm run sim -- --seed ${seed}`);
    console.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
console.log(`${seeds.length - failed} passed, ${failed} failed`);
console.log(`(${seconds} s)`);
process.exitCode = failed > 0 ? 1 : 0;
