/** emptyDir volumes: on disk or in memory, and their sizeLimit. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, chown, lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { EmptyDirVolumeSource, Pod } from "../../../proto/gen/core.ts";
import { kubeletLimits } from "../limits.ts";
import { unitsOf } from "./resources.ts";

const run = promisify(execFile);
const mountMillis = 10_000;

/**
 * Makes the directory. `mounts`: the kubelet may mount; a volume in memory is on disk otherwise,
 * of which the pod has been warned.
 */
export async function prepareEmptyDir(
  dir: string,
  source: EmptyDirVolumeSource,
  mounts: boolean,
): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o777 });
  if (source.medium === "Memory" && mounts && !mountedUnder(dir).includes(dir)) {
    const bytes = unitsOf(source.sizeLimit);
    const options = ["mode=0777", ...(bytes > 0 ? [`size=${bytes}`] : [])].join(",");
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", dir], { timeout: mountMillis });
  }
  await chmod(dir, 0o777);
}

/**
 * Gives a volume's files to the pod's fsGroup, as upstream does: directories hand the group on,
 * and the group may read, and write where the volume can be written.
 */
export async function giveToGroup(path: string, group: number, writable: boolean): Promise<void> {
  const stat = await lstat(path);
  if (stat.isSymbolicLink()) return;
  await chown(path, stat.uid, group);
  const access = writable ? 0o660 : 0o440;
  const extra = stat.isDirectory() ? access | 0o2110 : access;
  await chmod(path, (stat.mode & 0o7777) | extra);
  if (!stat.isDirectory()) return;
  for (const name of await readdir(path)) await giveToGroup(join(path, name), group, writable);
}

/** Mounts at or below a directory, inner ones first. */
function mountedUnder(dir: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((path) =>
      path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8))),
    )
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
}

/** Gives the memory of volumes back. */
export async function unmountVolumes(volumesDir: string): Promise<void> {
  for (const path of mountedUnder(volumesDir)) {
    await run("umount", [path], { timeout: mountMillis });
  }
}

/** The text of the eviction; undefined: every volume is within its limit. */
export async function overLimit(
  pod: Pod,
  paths: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  for (const { name = "", emptyDir } of pod.spec?.volumes ?? []) {
    const limit = unitsOf(emptyDir?.sizeLimit);
    const path = paths.get(name);
    if (limit <= 0 || path === undefined) continue;
    const budget = { entriesLeft: kubeletLimits.volumeEntriesMeasured };
    if ((await usedBytes(path, budget)) > limit) {
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir?.sizeLimit}". `;
    }
  }
  return undefined;
}

/** Disk blocks in use, as du(1) counts them; of what vanishes meanwhile nothing. */
async function usedBytes(path: string, budget: { entriesLeft: number }): Promise<number> {
  const stat = await lstat(path).catch(() => undefined); // removed since it was listed
  budget.entriesLeft -= 1;
  if (stat === undefined || budget.entriesLeft < 0) return 0;
  let total = stat.blocks * 512;
  if (!stat.isDirectory()) return total;
  const names = await readdir(path).catch(() => []); // removed since it was listed
  for (const name of names) total += await usedBytes(join(path, name), budget);
  return total;
}
