/** `trireme timers`: the timer budget, and whether its relations hold. */
import type { TimerName } from "../../../ha/runtime/timers.ts";
import { type Endpoints, isOurs, type Lock, readJson } from "../endpoints.ts";
import { type ClusterShape, directories } from "../layout.ts";
import {
  brokenText,
  type RelationRow,
  relationRows,
  type TimerRow,
  timerRows,
  valueText,
} from "../observe/budget.ts";
import { type Scrape, scrapeAll, scrapeTargets } from "../observe/scrape.ts";
import { complain, print, table } from "../output.ts";

export interface TimersFlags {
  readonly dataDir: string;
  readonly json?: boolean;
}

/** `given`: in milliseconds, what the command's own flags say. */
export async function showTimers(
  flags: TimersFlags,
  given: Partial<Record<TimerName, number>>,
): Promise<void> {
  const scrapes = await scrapeLocal(flags.dataDir);
  const answered = scrapes?.filter(({ text }) => text !== undefined) ?? [];
  const rows = timerRows(given, answered);
  const checks = relationRows(rows);
  const broken = checks.filter((check) => check.broken !== undefined);
  const silent = scrapes?.filter(({ text }) => text === undefined) ?? [];
  if (flags.json) print(JSON.stringify(asJson(scrapes, rows, checks), null, 2));
  else show(flags, scrapes, rows, checks);
  for (const { process, error } of silent) complain(`${process} was not asked: ${error}`);
  for (const check of broken) complain(`broken: ${brokenText(check)}`);
  process.exitCode = broken.length > 0 ? 1 : 0;
}

/** Undefined: no cluster of this directory is up. */
async function scrapeLocal(dataDir: string): Promise<readonly Scrape[] | undefined> {
  const paths = directories(dataDir);
  const endpoints = readJson<Endpoints>(paths.endpoints);
  const shape = readJson<Omit<ClusterShape, "dataDirectory">>(paths.shape);
  const lock = readJson<Lock>(paths.lock);
  if (endpoints === undefined || shape === undefined || !isOurs(lock?.pid)) return undefined;
  const targets = scrapeTargets(endpoints, { ...shape, dataDirectory: dataDir });
  // A member's times are those of its master, which tells them.
  const asked = targets.filter(({ program }) => program !== "store");
  return await scrapeAll(asked, endpoints);
}

function show(
  { dataDir }: TimersFlags,
  scrapes: readonly Scrape[] | undefined,
  rows: readonly TimerRow[],
  checks: readonly RelationRow[],
): void {
  print(
    scrapes === undefined
      ? `no cluster is up in ${dataDir}: these are the defaults and the flags given here\n`
      : `as the processes of the cluster in ${dataDir} say\n`,
  );
  const head = ["TIMER", "VALUE", "SET BY", "OF", "WHAT"];
  const lines = rows.map((row) => [
    row.name,
    valueText(row),
    row.timer.flag === undefined ? "fixed" : `--${row.timer.flag}`,
    ofText(row.timer.of),
    row.timer.what,
  ]);
  print(table([head, ...lines]));
  print("");
  const results = checks.map(({ relation, broken }) => [
    relation.text,
    broken === undefined ? "holds" : "BROKEN",
    `otherwise ${relation.otherwise}`,
  ]);
  print(table([["RELATION", "STATE", "WHY"], ...results]));
}

function ofText(programs: readonly string[]): string {
  return programs.length > 3 ? "all" : programs.join(", ");
}

function asJson(
  scrapes: readonly Scrape[] | undefined,
  rows: readonly TimerRow[],
  checks: readonly RelationRow[],
): object {
  return {
    version: 1,
    cluster: scrapes !== undefined,
    timers: rows.map(({ name, timer, values }) => ({
      name,
      ...{ of: timer.of, flag: timer.flag ?? null, what: timer.what },
      default: timer.millis / 1_000,
      values: values.map(({ millis, from }) => ({ seconds: millis / 1_000, from })),
    })),
    relations: checks.map(({ relation, broken }) => ({
      relation: relation.text,
      timers: relation.names,
      holds: broken === undefined,
      otherwise: relation.otherwise,
    })),
    notAsked: (scrapes ?? [])
      .filter(({ text }) => text === undefined)
      .map(({ process, error }) => ({ process, error })),
  };
}
