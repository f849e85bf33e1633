/** The parts of Linux' /proc that the process runtime reads (proc(5)). */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";

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

/** Longer than any line of /proc/<pid>/stat; a whole file would be read into a new buffer each. */
const line = Buffer.alloc(4_096);

/** Undefined: no such process. */
export function statOf(pid: number): ProcessStat | undefined {
  let file: number | undefined;
  try {
    file = openSync(`/proc/${pid}/stat`, "r");
    return parseStat(line.toString("latin1", 0, readSync(file, line)));
  } catch {
    return undefined; // the process is gone, which is the answer
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Whether the very process with this start time still runs (a zombie does not). */
export function isAlive(pid: number, startTicks: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTicks === startTicks && stat.state !== "Z";
}

const digits = /^\d+$/;

/** Every process of the session, from one pass over /proc. */
export function processesOfSession(session: number): readonly ProcessStat[] {
  return bySession().get(session) ?? [];
}

let pass: Promise<ReadonlyMap<number, readonly ProcessStat[]>> | undefined;

/**
 * The same, later in this turn: all that ask in one turn share one pass, for the ends of many
 * containers come together.
 */
export async function processesOfSessionSoon(session: number): Promise<readonly ProcessStat[]> {
  pass ??= setImmediate().then(() => {
    pass = undefined;
    return bySession();
  });
  return (await pass).get(session) ?? [];
}

/** Zombies are left out. */
function bySession(): ReadonlyMap<number, readonly ProcessStat[]> {
  const found = new Map<number, ProcessStat[]>();
  for (const entry of readdirSync("/proc")) {
    if (!digits.test(entry)) continue;
    const stat = statOf(Number(entry));
    if (stat === undefined || stat.state === "Z") continue;
    const known = found.get(stat.session);
    if (known === undefined) found.set(stat.session, [stat]);
    else known.push(stat);
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
