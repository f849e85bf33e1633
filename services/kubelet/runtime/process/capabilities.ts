/**
 * What this machine lets the process runtime do. Probed once at start; a missing ability narrows
 * what pods may ask for, and is logged once, but fails no pod that does not need it.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Log } from "../../../../ha/runtime/types.ts";
import type { RuntimeFeatures } from "../types.ts";
import { capabilitiesOfMask } from "./identity.ts";
import { inNamespaces } from "./shim.ts";

export interface Capabilities {
  readonly root: boolean;
  /** A private mount and UTS namespace can be made, and bind-mounted in. */
  readonly mounts: boolean;
  /** setpriv(1) is there. */
  readonly setpriv: boolean;
  /** script(1) is there, which gives a program a terminal. */
  readonly script: boolean;
  /** Hierarchy for memory limits; undefined: not writable here. */
  readonly memoryCgroup: CgroupHierarchy | undefined;
  readonly cpuCgroup: CgroupHierarchy | undefined;
}

export interface CgroupHierarchy {
  readonly version: 1 | 2;
  /** Directory under which this runtime makes its groups. */
  readonly dir: string;
}

const run = promisify(execFile);
const probeMillis = 5_000;

/** `scope` keeps kubelets of one machine apart; it becomes part of a cgroup's path. */
export async function probeCapabilities(scope: string, log: Log): Promise<Capabilities> {
  const root = process.getuid?.() === 0;
  const [mounts, setpriv, script] = await Promise.all([
    root && works([...inNamespaces, "sh", "-c", "mount --bind /tmp /tmp"]),
    works(["setpriv", "--no-new-privs", "--", "true"]),
    works(["script", "--quiet", "--return", "--command", "true", "/dev/null"]),
  ]);
  const memoryCgroup = cgroupFor("memory", scope);
  const cpuCgroup = cgroupFor("cpu", scope);
  if (!mounts)
    log.warn("private mounts do not work here: only mounts under workingDir are possible");
  if (memoryCgroup === undefined)
    log.warn("no writable memory cgroup: memory limits are not enforced");
  if (cpuCgroup === undefined) log.warn("no writable cpu cgroup: cpu limits are not enforced");
  return { root, mounts, setpriv, script, memoryCgroup, cpuCgroup };
}

async function works([program = "", ...args]: readonly string[]): Promise<boolean> {
  try {
    await run(program, args, { timeout: probeMillis });
    return true;
  } catch {
    return false; // the failure is the answer
  }
}

/** The same facts in the words of the runtime's interface. */
export function featuresOf(able: Capabilities): RuntimeFeatures {
  return {
    privateMounts: able.mounts,
    changeIdentity: able.root && able.setpriv,
    restrictPrivileges: able.setpriv,
    grantableCapabilities: able.root ? capabilitiesOfMask(boundingMask()) : [],
    terminals: able.script,
    memoryLimits: able.memoryCgroup !== undefined,
    cpuLimits: able.cpuCgroup !== undefined,
    diskUse: true,
    stopSignals: true,
    ownNetwork: false,
    registries: false,
    kernelParameters: false,
  };
}

function boundingMask(): string {
  const status = readFileSync("/proc/self/status", "utf8");
  return /^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
}

function cgroupFor(controller: "memory" | "cpu", scope: string): CgroupHierarchy | undefined {
  const v2 = "/sys/fs/cgroup";
  if (existsSync(join(v2, "cgroup.controllers"))) {
    const dir = usable(join(v2, "trireme", scope));
    const limit = controller === "memory" ? "memory.max" : "cpu.max";
    return dir !== undefined && existsSync(join(dir, limit)) ? { version: 2, dir } : undefined;
  }
  const v1 = join(v2, controller);
  if (!existsSync(join(v1, "cgroup.procs"))) return undefined;
  const dir = usable(join(v1, "trireme", scope));
  return dir === undefined ? undefined : { version: 1, dir };
}

/** Makes the directory, and a group in it as the proof that groups can be made. */
function usable(dir: string): string | undefined {
  try {
    mkdirSync(dir, { recursive: true });
    const probe = join(dir, `probe-${process.pid}`);
    mkdirSync(probe);
    accessSync(join(probe, "cgroup.procs"), constants.W_OK);
    rmdirSync(probe);
    return dir;
  } catch {
    return undefined; // not allowed here, which is the answer
  }
}
