/**
 * Mount points for private mounts. The containers see the machine's files, so what they mount over
 * must exist there: a missing directory or file is made, empty, and removed with the last pod that
 * mounts on it.
 *
 * Several kubelets of one machine may need the same mount point, and removing one that is mounted
 * on elsewhere would undo that mount. A register in /run says which pods use what was made:
 *
 *     /run/trireme/mount-points/<hash of the path>/path    the path that was made
 *     /run/trireme/mount-points/<hash of the path>/<pod>   one file for each pod that mounts on it,
 *                                                          with the path of the pod's directory
 *
 * A pod whose directory is gone counts no longer, so that a kubelet's deleted state leaves nothing
 * behind for good.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { mkdir, readdir, rm, rmdir, stat, symlink, unlink } from "node:fs/promises";
import { dirname, isAbsolute, join, relative } from "node:path";
import { ContainerConfigError, type Mount } from "../types.ts";
import { readIfThere } from "./files.ts";

const registerDefault = "/run/trireme/mount-points";

export class MountPoints {
  readonly #podDir: (uid: string) => string;
  readonly #register: string;

  /** `podDir`: the directory that exists for as long as the pod does. */
  constructor(podDir: (uid: string) => string, register: string = registerDefault) {
    this.#podDir = podDir;
    this.#register = register;
  }

  /** Removes what was made for pods that are gone. */
  async sweep(): Promise<void> {
    const entries = await readdir(this.#register).catch(() => []); // none was ever made
    const paths = entries.map((name) => readIfThere(join(this.#register, name, "path")));
    // Inner ones first: a directory goes only once it is empty.
    const inner = (a = "", b = "") => b.length - a.length;
    for (const path of paths.toSorted(inner)) {
      if (path !== undefined) await this.#removeUnused(path);
    }
  }

  /**
   * Makes what a pod mounts over, where it is missing. Returns the paths, outermost first, that
   * were made by any pod: the caller keeps them and gives them to `release` at the pod's end.
   */
  acquire(mount: Mount, podUid: string): readonly string[] {
    const target = mount.containerPath;
    const wanted: string[] = [target];
    for (let dir = dirname(target); !existsSync(dir) || this.#isMade(dir); dir = dirname(dir)) {
      wanted.unshift(dir);
    }
    const made = wanted.filter((path) => !existsSync(path) || this.#isMade(path));
    for (const path of made) {
      const entry = this.#entry(path);
      mkdirSync(entry, { recursive: true });
      writeOnce(join(entry, "path"), path);
      writeOnce(join(entry, podUid), this.#podDir(podUid));
      const isFile = path === target && !statSync(mount.hostPath).isDirectory();
      if (isFile) writeFileSync(path, "", { flag: "a" });
      else mkdirSync(path, { recursive: true });
    }
    return made;
  }

  /** `paths` as acquired. Removes what no other pod mounts on and no program has filled. */
  async release(paths: readonly string[], podUid: string): Promise<void> {
    for (const path of paths.toReversed()) {
      await rm(join(this.#entry(path), podUid), { force: true });
      await this.#removeUnused(path);
    }
  }

  async #removeUnused(path: string): Promise<void> {
    const entry = this.#entry(path);
    const names = await readdir(entry).catch(() => []); // no register: no other pod uses it
    for (const name of names) {
      if (name === "path") continue;
      const podDir = readIfThere(join(entry, name));
      if (podDir !== undefined && podDir !== "" && existsSync(podDir)) return;
    }
    await removeEmpty(path);
    await rm(entry, { recursive: true, force: true });
  }

  #isMade(path: string): boolean {
    return existsSync(this.#entry(path));
  }

  #entry(path: string): string {
    return join(this.#register, createHash("sha256").update(path).digest("hex").slice(0, 32));
  }
}

/** A file that says so already stays: some file systems wait for the disk where one is cut short. */
function writeOnce(path: string, text: string): void {
  if (readIfThere(path) !== text) writeFileSync(path, text);
}

/** A directory that has been filled, or a file with content, is in use and stays. */
async function removeEmpty(path: string): Promise<void> {
  await rmdir(path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTDIR") return; // filled or gone: either way not ours to remove
    if ((await stat(path)).size === 0) await unlink(path);
  });
}

/**
 * Without a mount namespace: a link at the mount path, possible only inside the container's own
 * working directory, where it surprises no other program.
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
