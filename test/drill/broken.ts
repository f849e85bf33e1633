/**
 * Every broken build of `broken-builds.ts` fails its drill, with the right reason. `node
 * test/drill/broken.ts [NAME]` holds them; CI does after the suites.
 */
import { fileURLToPath } from "node:url";
import { bundleVariable, withoutBundle } from "../../services/cli/bundle/place.ts";
import { brokenDrills } from "./broken-builds.ts";
import { Drills } from "./held.ts";

const preload = fileURLToPath(import.meta.resolve("./break.ts"));

/** The environment in which every member is of this build. */
export function buildVariables(build: string): Record<string, string> {
  // What is broken is a module of the sources.
  const sources = { [bundleVariable]: withoutBundle };
  return { TRIREME_BROKEN: build, NODE_OPTIONS: `--import=${preload}`, ...sources };
}

/** Undefined: the drill failed as it should; otherwise what went otherwise. */
export async function holdBroken(drills: Drills, build: string): Promise<string | undefined> {
  const broken = brokenDrills.find((each) => each.build === build);
  if (broken === undefined) return `no broken build is called "${build}"`;
  const { drill, flags = [], by } = broken;
  const args = [drill, "--against", "etcd", "--short", "--seed", "1", ...flags];
  const { report, code } = await drills.hold(args, buildVariables(build));
  const { result, reasons } = report.verdict;
  if (code === 1 && reasons.some((reason) => by.test(reason))) return undefined;
  return `${build}: ${drill} ${result} (exit ${code}): ${reasons.join("; ")}`;
}

if (import.meta.main) {
  const [only] = process.argv.slice(2);
  const drills = new Drills();
  for (const { build, drill } of brokenDrills) {
    if (only !== undefined && build !== only) continue;
    const why = await holdBroken(drills, build);
    process.stdout.write(`${why === undefined ? "caught" : "NOT CAUGHT"}: ${build}, by ${drill}\n`);
    if (why === undefined) continue;
    process.stdout.write(`  ${why}\n`);
    process.exitCode = 1;
  }
  drills.remove();
}
