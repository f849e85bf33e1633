/**
 * `--gate`: is this run worse than a saved one? Only ratios are compared, since the two may come
 * from machines of different speed: with several targets, each target to the last one of the same
 * run; with one, its rate to the machine's own pace at a fixed piece of work, the yardstick.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type ReportCheck, type ReportData, readReportData } from "./report/report-data.ts";

export const yardstickName = "yardstick: SHA-256 of 1 KiB, a second";
const yardstickMillis = 100;

/** How much of a fixed piece of work this machine does in a second, now. */
export function measureYardstick(): number {
  const bytes = Buffer.alloc(1_024, 1);
  const began = performance.now();
  let count = 0;
  while (performance.now() - began < yardstickMillis) {
    createHash("sha256").update(bytes).digest();
    count++;
  }
  return Math.round((count * 1_000) / (performance.now() - began));
}

/** Throws an Error that says what is wrong with the file. */
export function readSaved(file: string): ReportData {
  try {
    return readReportData(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    throw new Error(`--gate: ${file} is no saved report: ${(error as Error).message}`);
  }
}

/** One check a figure. Throws an Error when the two runs cannot be compared. */
export function gateChecks(now: ReportData, saved: ReportData, percent: number): ReportCheck[] {
  if (saved.kind !== "load" || saved.name !== now.name) {
    throw new Error(`--gate: the saved run is ${saved.kind} ${saved.name}, not load ${now.name}`);
  }
  const before = ratiosOf(saved);
  const checks: ReportCheck[] = [];
  for (const [name, { rate, p99 }] of ratiosOf(now)) {
    const then = before.get(name);
    if (then === undefined) continue;
    const worst = 1 - percent / 100;
    checks.push(check(`${name}: rate against the saved run`, rate / then.rate, worst));
    if (p99 > 0 && then.p99 > 0) {
      checks.push(check(`${name}: p99 against the saved run, inverted`, then.p99 / p99, worst));
    }
  }
  if (checks.length === 0) {
    throw new Error("--gate: this run and the saved one have no target in common");
  }
  return checks;
}

interface Ratios {
  readonly rate: number;
  readonly p99: number;
}

/** By target's place: URLs differ from cluster to cluster, their protocols do not. */
function ratiosOf(report: ReportData): Map<string, Ratios> {
  const { targets } = report;
  const last = targets.at(-1);
  const yardstick = Number(report.facts?.find(({ name }) => name === yardstickName)?.value ?? 0);
  const ratios = new Map<string, Ratios>();
  for (const [i, target] of targets.entries()) {
    const name = `${i + 1}. ${target.name.split("://")[0]}`;
    const rate = target.kneePerSecond ?? target.perSecond;
    const p99 = target.percentiles.p99;
    if (targets.length === 1) {
      if (yardstick > 0) ratios.set(name, { rate: rate / yardstick, p99: p99 * yardstick });
    } else if (last !== undefined && target !== last) {
      const lastRate = last.kneePerSecond ?? last.perSecond;
      ratios.set(name, { rate: rate / lastRate, p99: p99 / last.percentiles.p99 });
    }
  }
  return ratios;
}

function check(name: string, ratio: number, least: number): ReportCheck {
  return {
    name,
    measured: `${ratio.toFixed(2)} ×`,
    wanted: `≥ ${least.toFixed(2)} ×`,
    passed: ratio >= least,
  };
}
