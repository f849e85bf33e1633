/** emptyDir volumes: on disk or in memory, and their sizeLimit. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, chown, lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { EmptyDirVolumeSource } from "../../../proto/gen/core.ts";
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
