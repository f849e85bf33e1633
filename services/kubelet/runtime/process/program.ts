/** Finds programs of this machine: those that containers name, and the runtime's own tools. */
import { accessSync, constants, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";

export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * PATH of a container: its own, or the system's. The Node that runs this kubelet is found as `node`
 * in either case, before the system's and after what the container itself asked for.
 */
export function containerPath(own: string | undefined, nodeBinary: string): string {
  const nodeDir = dirname(nodeBinary);
  if (own === undefined) return `${nodeDir}:${systemPath}`;
  return own.split(":").includes(nodeDir) ? own : `${own}:${nodeDir}`;
}

/**
 * Absolute path of a tool that the runtime starts on a container's behalf, whatever search path the
 * container has. Throws where the machine has none.
 */
export function toolPath(name: string): string {
  const found = findProgram(name, systemPath, "/");
  if ("problem" in found) throw new Error(found.problem);
  return found.path;
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
