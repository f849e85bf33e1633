/** The parts of Linux' /proc that the process runtime reads (proc(5)). */
import { readdirSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";

export interface ProcessStat {
  readonly pid: number;
  /** R, S, D, Z, … */
  readonly state: string;
  readonly parent: number;
  readonly processGroup: number;
  readonly session: number;
  /** Clock ticks of user and system time, of the process and of its children already waited for. */
  readonly cpuTicks: number;
  /** Clock ticks since boot; together with the pid it identifies a process. */
  readonly startTicks: number;
  readonly residentBytes: number;
}

/** USER_HZ, which Linux fixes at 100 for every architecture in use. */
export const ticksPerSecond = 100;
const pageBytes = 4096;

/** Parses one line of /proc/<pid>/stat; undefined when it is not one. */
export function parseStat(line: string): ProcessStat | undefined {
  const open = line.indexOf("(");
  const close = line.lastIndexOf(")");
  if (open < 1 || close < open) return undefined;
  const pid = Number(line.slice(0, open).trim());
  const fields = line
    .slice(close + 2)
    .trim()
    .split(" ");
  const field = (number: number) => Number(fields[number - 3]);
  const stat: ProcessStat = {
    pid,
    state: fields[0] ?? "",
    parent: field(4),
    processGroup: field(5),
    session: field(6),
    cpuTicks: field(14) + field(15) + field(16) + field(17),
    startTicks: field(22),
    residentBytes: field(24) * pageBytes,
  };
  return Number.isInteger(pid) && Number.isInteger(stat.startTicks) ? stat : undefined;
}

/** Undefined: no such process. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined; // the process is gone, which is the answer
  }
}

/** Whether the very process with this start time still runs (a zombie does not). */
export function isAlive(pid: number, startTicks: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTicks === startTicks && stat.state !== "Z";
}

const digits = /^\d+$/;

/** Every process of these sessions, from one pass over /proc. */
export function processesOfSession(session: number): readonly ProcessStat[] {
  const found: ProcessStat[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!digits.test(entry)) continue;
    const stat = statOf(Number(entry));
    if (stat?.session === session && stat.state !== "Z") found.push(stat);
  }
  return found;
}

/** All processes, without blocking the turn for long. */
export async function allProcesses(): Promise<readonly ProcessStat[]> {
  const found: ProcessStat[] = [];
  const pids = (await readdir("/proc")).filter((entry) => digits.test(entry));
  for (let at = 0; at < pids.length; at += 64) {
    const lines = await Promise.all(
      pids.slice(at, at + 64).map(
        (pid) => readFile(`/proc/${pid}/stat`, "latin1").catch(() => ""), // gone meanwhile
      ),
    );
    for (const line of lines) {
      const stat = parseStat(line);
      if (stat !== undefined) found.push(stat);
    }
  }
  return found;
}
