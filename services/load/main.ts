/**
 * `npm run load -- [PROFILE]`: load on one target or several in turn, and a report. Exit code 0: all
 * went well, 1: calls failed or the gate or objective was missed, 2: bad usage or no such target.
 */
import { writeFileSync } from "node:fs";
import { nameProcess } from "../../ha/runtime/production/process.ts";
import { refuse } from "../../ha/runtime/production/tool.ts";
import { measureYardstick, readSaved } from "./gate.ts";
import { loadReport } from "./load-report.ts";
import { printReport } from "./print.ts";
import { renderReport } from "./report/page.ts";
import type { ReportData } from "./report/report-data.ts";
import { Load, TargetError } from "./run.ts";
import { readSettings } from "./settings.ts";
import { resolveTarget } from "./targets/resolve.ts";

const args = process.argv.slice(2);
const settings = readSettings(args);
nameProcess("load");
process.exitCode = await run().catch((error: unknown) => {
  if (error instanceof TargetError) return refuse("load", error.message);
  throw error;
});

async function run(): Promise<number> {
  const { targets, targetFlags, gate, html, json } = settings;
  const addresses = targets.map((text) => usable(() => resolveTarget(text, targetFlags)));
  const saved = gate === undefined ? undefined : usable(() => readSaved(gate));
  if (saved !== undefined && (saved.kind !== "load" || saved.name !== settings.profileName)) {
    refuse("load", `--gate: the saved run is ${saved.kind} ${saved.name}`);
  }
  const yardstick = measureYardstick();
  const load = new Load(settings, addresses);
  const interrupt = () => load.interrupt();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const outcome = await load.run();
  const command = `npm run load -- ${args.map(quoted).join(" ")}`.trimEnd();
  const report = usable(() => loadReport(outcome, settings, { command, yardstick }, saved));
  if (json === "-") process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(printReport(report));
  if (json !== undefined && json !== "-")
    save("json", json, `${JSON.stringify(report, null, 2)}\n`);
  if (html !== undefined) save("html", html, renderReport(report));
  for (const text of outcome.left) process.stderr.write(`load: ${text}\n`);
  return codeOf(report);
}

function codeOf({ verdict }: ReportData): number {
  return verdict.result === "passed" || verdict.result === "measured" ? 0 : 1;
}

/** What the user has to put right ends the process with 2, and says so in one line. */
function usable<T>(attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    return refuse("load", (error as Error).message);
  }
}

function save(flag: string, file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    refuse("load", `--${flag}: cannot write ${file}: ${(error as Error).message}`);
  }
}

/** As a shell takes it. */
function quoted(arg: string): string {
  return /^[\w./:=,@%+-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`;
}
