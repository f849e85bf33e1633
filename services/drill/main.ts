/**
 * `npm run drill -- NAME`: a fault under load, and a verdict over it. Exit codes: 0 passed, 1 failed,
 * 2 void, or bad usage.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { refuse } from "../../ha/runtime/production/tool.ts";
import { SeededRandom } from "../../ha/runtime/simulated/seeded-random.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { renderReport } from "../load/report/page.ts";
import type { ReportData } from "../load/report/report-data.ts";
import type { Drill } from "./drill.ts";
import { readEvidence } from "./evidence.ts";
import { runChecker } from "./judge/run-checker.ts";
import { isUnsteady, judge } from "./judge/verdict.ts";
import { type DrillOptions, parseOptions } from "./options.ts";
import { linesOf, reportOf } from "./report.ts";
import { holdDrill } from "./runner.ts";
import { drills } from "./table.ts";
import { loosened, thresholdNames } from "./thresholds.ts";
import { Worlds } from "./worlds.ts";

const exitCodes = { passed: 0, failed: 1, void: 2, measured: 2 } as const;
/** Of the full length of steady states and holds. */
const shortPace = 0.4;
/** A cluster that has just been started runs code that is not compiled yet, and is slow for so long. */
const coldMillis = 5_000;

const options = parseOptions(process.argv.slice(2));
switch (options.kind) {
  case "list": {
    const width = Math.max(...drills.map(({ name }) => name.length));
    for (const { name, summary } of drills) say(`${name.padEnd(width)}  ${summary}`);
    break;
  }
  case "judge":
    try {
      const report = await judgeFolder(options.folder);
      show(report);
      writeReports([report]);
      process.exitCode = exitCodes[report.verdict.result];
    } catch (error) {
      refuse("drill", (error as Error).message);
    }
    break;
  case "hold":
    await holdAll(options);
}

async function holdAll(all: DrillOptions): Promise<void> {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (!interrupt.signal.aborted) tell("interrupted: the fault is undone");
      interrupt.abort();
    });
  }
  const worlds = new Worlds(all, tell);
  const reports: ReportData[] = [];
  try {
    worlds.check();
    for (const drill of all.drills) {
      if (interrupt.signal.aborted) break;
      const report = await hold(drill, all, worlds, interrupt.signal);
      if (interrupt.signal.aborted || !isUnsteady(report.verdict)) reports.push(report);
      else {
        tell(`${drill.name} proves nothing without a steady load: it is held once more`);
        reports.push(await hold(drill, all, worlds, interrupt.signal));
      }
    }
  } catch (error) {
    await worlds.close();
    refuse("drill", (error as Error).message);
  }
  await worlds.close();
  writeReports(reports);
  const codes = reports.map(({ verdict }) => exitCodes[verdict.result]);
  if (all.suite) summarize(reports);
  // What is under way on a pipe has to be out before the end.
  await new Promise((resolve) => process.stdout.write("", resolve));
  process.exit(codes.includes(1) ? 1 : codes.includes(2) || codes.length === 0 ? 2 : 0);
}

async function hold(
  drill: Drill,
  all: DrillOptions,
  worlds: Worlds,
  signal: AbortSignal,
): Promise<ReportData> {
  const { seed, rate, clients, repeat, limits, slack, victim, short, command } = all;
  const world = await worlds.of(drill);
  const thresholds = loosened(drill.thresholds, slack);
  const random = new SeededRandom(`${drill.name} ${seed}`);
  const stamp = new Date().toISOString().replace(/[:.]/g, "-");
  const folder = join(all.dataDirectory, "drills", `${stamp}-${drill.name}`);
  mkdirSync(folder, { recursive: true });
  tell(`${drill.name}: ${drill.summary}`);
  const held = holdDrill({
    drill,
    world,
    folder,
    victim,
    signal,
    plan: {
      name: drill.name,
      summary: drill.summary,
      command: command.includes("--seed") ? command : `${command} --seed ${seed}`,
      seed,
      run: Date.now().toString(36),
      face: worlds.faceOf(drill, world),
      rate,
      clients,
      repeat,
      thresholds: { ...thresholds, ...limits },
      overridden: thresholdNames.filter(
        (name) => limits[name] !== undefined || thresholds[name] !== drill.thresholds[name],
      ),
    },
    random: (limit) => random.below(limit),
    pace: short ? shortPace : 1,
    warmUpMillis: worlds.takeCold(world) ? coldMillis : 0,
    tidy: !worlds.throwAway,
    tell,
  });
  // What has been seen until then is judged, and shows how far the drill came.
  await held.catch((error: unknown) => tell(`${drill.name}: ${StatusError.from(error).message}`));
  const report = await judgeFolder(folder);
  show(report);
  tell(`the evidence is in ${folder}; \`npm run drill -- judge ${folder}\` judges it again`);
  return report;
}

/** Writes `report.json` and `report.html` beside the evidence. */
async function judgeFolder(folder: string): Promise<ReportData> {
  const evidence = readEvidence(folder);
  const verdict = judge(evidence, await runChecker(folder));
  const report = reportOf(evidence, verdict);
  writeFileSync(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(folder, "report.html"), renderReport(report));
  return report;
}

/** Where the flags say: the report, or a list of them. */
function writeReports(reports: readonly ReportData[]): void {
  if (options.kind === "list") return;
  const [first] = reports;
  const { json, html } = options;
  const text = `${JSON.stringify(reports.length === 1 ? first : reports, null, 2)}\n`;
  if (json === "-") process.stdout.write(text);
  else if (json !== undefined) writeFileSync(json, text);
  if (html !== undefined && first !== undefined) writeFileSync(html, renderReport(first));
}

function show(report: ReportData): void {
  if (options.kind !== "list" && options.json === "-") return;
  for (const line of linesOf(report)) say(line);
}

function summarize(reports: readonly ReportData[]): void {
  if (options.kind === "hold" && options.json === "-") return;
  for (const { name, verdict } of reports) say(`${verdict.result.padEnd(6)}  ${name}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What goes on, beside the report. */
function tell(line: string): void {
  process.stderr.write(`drill: ${line}\n`);
}
