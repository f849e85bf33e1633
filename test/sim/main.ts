/**
 * `npm run sim -- --seeds 1000`: many seeds, on all cores. `--seed N` replays one, bit for bit.
 * `--mode cluster` runs apiservers, scheduler, controllers and a workload above the members.
 * `--broken all`, or one of its names, proves that the checkers catch what they are there for.
 */
import { refuse, toolArguments, wholeNumber } from "../../ha/runtime/production/tool.ts";
import { brokenBuilds, huntAll, seedsMax } from "./broken.ts";
import { controlPlaneMillis, runControlPlane } from "./control-plane/run.ts";
import { type FaultName, faults } from "./faults.ts";
import { type Job, modes, runInParallel } from "./pool.ts";
import { defaultMillis, runSeed } from "./run.ts";

const { values } = toolArguments(
  {
    name: "sim",
    usage: "npm run sim -- [--seeds 50 | --seed N | --broken all] [--mode cluster]",
    flags: {
      seeds: { type: "number", default: 50, help: "how many seeds, on all cores" },
      seed: { type: "number", help: "replays this one" },
      from: { type: "number", default: 1, help: "the first of the seeds" },
      mode: { type: "string", default: "store", help: `one of ${modes.join(", ")}` },
      millis: { type: "number", help: "simulated time of each seed (default: by the mode)" },
      members: { type: "number", help: "how many members (default: as the seed has it)" },
      faults: { type: "string", help: `only these, of ${Object.keys(faults).join(", ")}` },
      broken: { type: "string", help: "hunts broken builds: all, or one by its name" },
    },
  },
  process.argv.slice(2),
);

const mode = modes.find((name) => name === values.mode);
if (mode === undefined) refuse("sim", `flag --mode: ${values.mode} is none of ${modes.join(", ")}`);
const modeMillis = mode === "cluster" ? controlPlaneMillis : defaultMillis;
if (mode === "cluster" && (values.members !== undefined || values.broken !== undefined)) {
  refuse(
    "sim",
    "flag --mode: cluster has three members and no broken builds; --members and --broken do not fit",
  );
}

/** Seconds between two lines of progress. */
const tellEverySeconds = 20;

function number(name: "seeds" | "seed" | "from" | "millis" | "members"): number {
  return wholeNumber("sim", name, Number(values[name]), 0, Number.MAX_SAFE_INTEGER);
}

function optionsOf(seed: number): Job {
  return {
    seed,
    ...(mode !== undefined && { mode }),
    millis: values.millis === undefined ? modeMillis : number("millis"),
    ...(values.members !== undefined && { members: number("members") }),
    ...(values.faults !== undefined && { faults: faultNames(values.faults) }),
  };
}

function faultNames(list: string): readonly FaultName[] {
  const names = list.split(",");
  const unknown = names.find((name) => !Object.hasOwn(faults, name));
  if (unknown === undefined) return names as FaultName[];
  return refuse("sim", `flag --faults: ${unknown} is none of ${Object.keys(faults).join(", ")}`);
}

/** The command that shows this seed again. */
function replay(seed: number): string {
  const given = (["mode", "millis", "members", "faults"] as const)
    .filter((name) => values[name] !== undefined && values[name] !== "store")
    .map((name) => ` --${name} ${values[name]}`);
  return `npm run sim -- --seed ${seed}${given.join("")}`;
}

async function one(seed: number): Promise<boolean> {
  console.log(`seed ${seed}`);
  try {
    if (mode === "cluster") {
      const { faults: suffered, digest, ...counts } = await runControlPlane(optionsOf(seed));
      for (const fault of suffered) console.log(`  ${fault}`);
      const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
      console.log(`seed ${seed}: ${told.join(" · ")}\ndigest ${digest}`);
      return true;
    }
    const result = await runSeed(optionsOf(seed));
    for (const fault of result.faults) console.log(`  ${fault}`);
    console.log(
      `seed ${seed}: ${result.members} members · ${result.answered}/${result.operations} ` +
        `operations answered · ${result.elections} elections · ${result.faults.length} faults · ` +
        `${result.events} events`,
    );
    console.log(`digest ${result.digest}`);
    return true;
  } catch (error) {
    tellFailure(seed, error instanceof Error ? (error.stack ?? error.message) : String(error));
    return false;
  }
}

function tellFailure(seed: number, story: string): void {
  console.log(`seed ${seed}: FAILED — replay with: ${replay(seed)}`);
  console.log(story);
}

async function many(count: number): Promise<number> {
  const first = number("from");
  const startedAt = performance.now();
  let done = 0;
  let operations = 0;
  let failed = 0;
  let toldAt = startedAt;
  const jobs = Array.from({ length: count }, (_, i) => optionsOf(first + i));
  await runInParallel(jobs, ({ seed }, outcome) => {
    done++;
    if (outcome.kind === "failed") {
      failed++;
      tellFailure(Number(seed), outcome.story);
    } else operations += outcome.result.answered;
    const now = performance.now();
    if (now - toldAt < tellEverySeconds * 1_000) return true;
    toldAt = now;
    const rate = (done / ((now - startedAt) / 1_000)).toFixed(2);
    console.log(`${done} of ${count} seeds · ${failed} failed · ${rate} seeds/s`);
    return true;
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = (count / seconds).toFixed(2);
  console.log(`${operations} operations judged in ${seconds.toFixed(1)} s, ${rate} seeds/s`);
  return failed;
}

async function hunt(name: string): Promise<{ passed: number; failed: number }> {
  const builds =
    name === "all" ? brokenBuilds : brokenBuilds.filter((build) => build.name === name);
  if (builds.length === 0) {
    const names = brokenBuilds.map((build) => `"${build.name}"`).join(", ");
    refuse("sim", `flag --broken: "${name}" is not "all", nor one of ${names}`);
  }
  let passed = 0;
  const width = Math.max(...builds.map((build) => build.name.length));
  console.log(`${"broken build".padEnd(width)}  seeds  seed  caught by`);
  await huntAll(builds, (build, caught) => {
    // By another guarantee than the one it breaks: that would be an accident.
    const meant = caught !== undefined && build.by.test(caught.by);
    if (meant) passed++;
    const seeds = String(caught?.seeds ?? seedsMax).padStart(5);
    const seed = String(caught?.seed ?? "–").padStart(4);
    const by = meant ? caught.by : `NOT CAUGHT${caught ? `, but: ${caught.by}` : ""}`;
    console.log(`${build.name.padEnd(width)}  ${seeds}  ${seed}  ${by}`);
  });
  return { passed, failed: builds.length - passed };
}

let passed = 0;
let failed = 0;
if (values.broken !== undefined) ({ passed, failed } = await hunt(values.broken));
else if (values.seed !== undefined) {
  if (await one(number("seed"))) passed = 1;
  else failed = 1;
} else {
  failed = await many(number("seeds"));
  passed = number("seeds") - failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
