/** Finds the program a container names, and the mount points it needs, on this machine. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { ContainerConfigError, type Mount } from "../types.ts";

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * PATH of a container: its own, or the system's. The Node that runs this kubelet is found as `node`
 * in either case, before the system's and after what the container itself asked for.
 */
export function containerPath(own: string | undefined, nodeBinary: string): string {
  const nodeDir = dirname(nodeBinary);
  if (own === undefined) return `${nodeDir}:${systemPath}`;
  return own.split(":").includes(nodeDir) ? own : `${own}:${nodeDir}`;
}

/** Absolute path of a program as execvp would find it, or why there is none. */
export function findProgram(
  name: string,
  path: string,
  workingDir: string,
): { readonly path: string } | { readonly problem: string } {
  const candidates = name.includes("/")
    ? [isAbsolute(name) ? name : resolve(workingDir, name)]
    : path.split(":").map((dir) => join(dir === "" ? workingDir : dir, name));
  let denied = false;
  for (const candidate of candidates) {
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return { path: candidate };
      denied = true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") denied = true;
    }
  }
  if (denied) return { problem: `exec: "${name}": permission denied` };
  return {
    problem: name.includes("/")
      ? `exec: "${name}": no such file or directory`
      : `exec: "${name}": executable file not found in $PATH (${path})`,
  };
}

/** Makes what is to be mounted over; returns the directories and files made, outermost first. */
export async function makeMountPoint(mount: Mount): Promise<string[]> {
  if (existsSync(mount.containerPath)) return [];
  const made: string[] = [];
  for (let dir = dirname(mount.containerPath); !existsSync(dir); dir = dirname(dir)) {
    made.unshift(dir);
  }
  await mkdir(dirname(mount.containerPath), { recursive: true });
  if (statSync(mount.hostPath).isDirectory()) await mkdir(mount.containerPath);
  else await writeFile(mount.containerPath, "", { flag: "wx" });
  return [...made, mount.containerPath];
}

/**
 * Without a mount namespace: a link at the mount path, possible only inside the container's own
 * working directory, where nobody else is surprised by it.
 */
export async function linkMount(mount: Mount, workingDir: string): Promise<void> {
  const inside = relative(workingDir, mount.containerPath);
  if (inside === "" || inside.startsWith("..") || isAbsolute(inside)) {
    throw new ContainerConfigError(
      `volumeMounts: ${mount.containerPath}: the process runtime cannot make private mounts on ` +
        `this machine (it needs root and unshare), so mountPath must lie under workingDir ` +
        `${workingDir}; the volume is at ${mount.hostPath}`,
    );
  }
  if (existsSync(mount.containerPath)) return;
  await mkdir(dirname(mount.containerPath), { recursive: true });
  await symlink(mount.hostPath, mount.containerPath);
}
