/** One cgroup per container and controller: limits, the out-of-memory count, and its end. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Capabilities, CgroupHierarchy } from "./capabilities.ts";
import { processesOfSession } from "./proc.ts";

const cpuPeriodMicros = 100_000;
const cpuQuotaMicrosMin = 1_000;

/** Makes the groups that the limits call for. Returns their directories. */
export async function makeCgroups(
  able: Capabilities,
  id: string,
  limits: { memoryBytes?: number | undefined; cpuMillis?: number | undefined },
): Promise<string[]> {
  const dirs: string[] = [];
  const add = async (hierarchy: CgroupHierarchy) => {
    const dir = join(hierarchy.dir, id);
    await mkdir(dir, { recursive: true });
    if (!dirs.includes(dir)) dirs.push(dir);
    return dir;
  };
  if (limits.memoryBytes !== undefined && able.memoryCgroup !== undefined) {
    const dir = await add(able.memoryCgroup);
    const file = able.memoryCgroup.version === 2 ? "memory.max" : "memory.limit_in_bytes";
    await writeFile(join(dir, file), String(limits.memoryBytes));
  }
  if (limits.cpuMillis !== undefined && able.cpuCgroup !== undefined) {
    const quota = Math.max(cpuQuotaMicrosMin, (limits.cpuMillis * cpuPeriodMicros) / 1000);
    const dir = await add(able.cpuCgroup);
    if (able.cpuCgroup.version === 2) {
      await writeFile(join(dir, "cpu.max"), `${Math.round(quota)} ${cpuPeriodMicros}`);
    } else {
      await writeFile(join(dir, "cpu.cfs_period_us"), String(cpuPeriodMicros));
      await writeFile(join(dir, "cpu.cfs_quota_us"), String(Math.round(quota)));
    }
  }
  return dirs;
}

/**
 * Moves a program and its session into groups; a process that ends meanwhile needs none. A program
 * that has just begun does not lead its session yet.
 */
export async function joinCgroups(dirs: readonly string[], program: number): Promise<void> {
  for (const dir of dirs) {
    for (const pid of new Set([program, ...processesOfSession(program).map((one) => one.pid)])) {
      await writeFile(join(dir, "cgroup.procs"), String(pid)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      });
    }
  }
}

/** How often the kernel killed for want of memory in these groups. */
export async function oomKills(dirs: readonly string[]): Promise<number> {
  let kills = 0;
  for (const dir of dirs) {
    for (const file of ["memory.events", "memory.oom_control"]) {
      const text = await readFile(join(dir, file), "utf8").catch(() => ""); // not that controller
      kills += Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
    }
  }
  return kills;
}

/** Processes in these groups, whatever session they have moved to. */
export async function cgroupProcesses(dirs: readonly string[]): Promise<readonly number[]> {
  const pids = new Set<number>();
  for (const dir of dirs) {
    const text = await readFile(join(dir, "cgroup.procs"), "utf8").catch(() => ""); // removed
    for (const line of text.split("\n")) if (line !== "") pids.add(Number(line));
  }
  return [...pids];
}

/** Removes empty groups. False: one is still in use and the caller may try again. */
export async function removeCgroups(dirs: readonly string[]): Promise<boolean> {
  let gone = true;
  for (const dir of dirs) {
    await rmdir(dir).catch(() => {
      if (existsSync(dir)) gone = false;
    });
  }
  return gone;
}
