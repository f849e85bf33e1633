/** From a container's configuration to the script that runs it. */
import { chownSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { type ContainerConfig, ContainerConfigError, type Mount } from "../types.ts";
import { type Capabilities, featuresOf } from "./capabilities.ts";
import { makeCgroups } from "./cgroup.ts";
import type { Launch, ProcessContainer } from "./container.ts";
import { identityArguments } from "./identity.ts";
import { checkProgram, enterRoot, identityInRoot, mountsInRoot, rootPlan } from "./image-root.ts";
import { linkMount, type MountPoints } from "./mount-points.ts";
import { containerPath, findProgram, systemPath } from "./program.ts";
import type { SandboxRecord, StateDir } from "./records.ts";
import { mountTable, type NamespacePlan, type ShimPlan, shimCommand, shimScript } from "./shim.ts";

export interface LaunchContext {
  readonly able: Capabilities;
  readonly state: StateDir;
  readonly mountPoints: MountPoints;
  readonly sandbox: SandboxRecord;
  /** Absolute path of the directory that a container without workingDir starts in. */
  readonly workDir: string;
}

/** Throws ContainerConfigError naming the field that this runtime cannot fulfil here. */
export function checkConfig(config: ContainerConfig, able: Capabilities): void {
  const refuse = (problem: string) => new ContainerConfigError(problem);
  // Arguments alone are the program, as with an image that has no entrypoint.
  if (config.command.length === 0 && config.args.length === 0) {
    throw refuse(
      `image "${config.image}": the process runtime runs programs of this machine and needs ` +
        "spec.containers[].command, or args that begin with the program",
    );
  }
  if (config.workingDir !== undefined && !isAbsolute(config.workingDir)) {
    throw refuse(`workingDir "${config.workingDir}" must be absolute`);
  }
  const { security = {} } = config;
  const features = featuresOf(able);
  const { runAsUser, runAsGroup, supplementalGroups = [] } = security;
  const identity = runAsUser ?? runAsGroup ?? supplementalGroups[0];
  const own = runAsUser === process.getuid?.() && supplementalGroups.length === 0;
  if (identity !== undefined && !features.changeIdentity && !own) {
    const field = runAsUser !== undefined ? "runAsUser" : "runAsGroup or supplementalGroups";
    throw refuse(
      `${field} ${identity}: the kubelet is not root and cannot change the user or its groups`,
    );
  }
  const lacking = (security.addCapabilities ?? []).filter(
    (name) => name !== "ALL" && !features.grantableCapabilities.includes(name),
  );
  if (lacking.length > 0) {
    throw refuse(`capabilities.add: this machine cannot grant ${lacking.join(", ")}`);
  }
  if (security.privileged && !able.root) throw refuse("privileged: the kubelet is not root");
  if (security.readOnlyRootFilesystem && !able.mounts) {
    throw refuse("readOnlyRootFilesystem: private mounts do not work on this machine");
  }
  if (security.noNewPrivileges && !able.setpriv) {
    throw refuse("allowPrivilegeEscalation: false needs setpriv(1) on this machine");
  }
  if (config.tty && !able.script) throw refuse("tty: this machine has no script(1)");
}

/** What a container's programs find in their environment. */
export function environmentOf(config: ContainerConfig, home: string): Record<string, string> {
  return {
    HOME: home,
    ...(config.tty && { TERM: "xterm" }),
    ...config.env,
    PATH: containerPath(config.env["PATH"], process.execPath),
  };
}

export interface Prepared extends Launch {
  /** Size of the program; 0 where it is found only inside the container. */
  readonly programBytes: number;
}

/** Makes mounts, groups and the script. Throws with a text that explains the failed start. */
export async function prepareLaunch(
  container: ProcessContainer,
  context: LaunchContext,
): Promise<Prepared> {
  const { able, workDir } = context;
  const { record } = container;
  const { config } = record;
  const { security = {} } = config;
  const workingDir = config.workingDir ?? workDir;
  const env = environmentOf(config, workDir);
  if (record.imageRoot !== undefined) return prepareRooted(container, record.imageRoot, context);
  const namespace = await prepareNamespace(container, workingDir, context);
  const [name = "", ...args] = [...config.command, ...config.args];
  const program = findProgram(name, env["PATH"] ?? "", workingDir);
  // A program inside a volume is seen only in the namespace.
  const folders = name.includes("/") ? [name] : (env["PATH"] ?? "").split(":");
  const hidden = folders.some((path) => isMounted(resolve(workingDir, path), config.mounts));
  if ("problem" in program && !hidden) throw new Error(program.problem);
  if (security.runAsUser !== undefined && config.workingDir === undefined && able.root) {
    chownSync(workingDir, security.runAsUser, security.runAsGroup ?? 0);
  }
  record.cgroups = await makeCgroups(able, record.id, {
    memoryBytes: config.memoryLimitBytes,
    cpuMillis: config.cpuLimitMillis,
  });
  const script = join(container.dir, "run.sh");
  const plan: ShimPlan = {
    containerDir: container.dir,
    workingDir,
    command: ["path" in program ? program.path : name, ...args],
    path: env["PATH"] ?? "",
    cgroups: record.cgroups,
    oomScore: config.oomScore,
    namespace,
    identity: identityArguments(security, able.root),
    stdin: config.stdin ?? false,
    tty: config.tty ?? false,
  };
  writeFileSync(script, shimScript(plan), { mode: 0o600 });
  const programBytes = "path" in program ? statSync(program.path).size : 0;
  return { command: shimCommand(plan, script), env, programBytes };
}

/** The same for a container whose image has a tree of its own. */
async function prepareRooted(
  container: ProcessContainer,
  lower: string,
  { able, sandbox, state }: LaunchContext,
): Promise<Prepared> {
  const { record, dir } = container;
  const { config } = record;
  const [name = "", ...args] = [...config.command, ...config.args];
  await checkProgram(lower, name, config);
  const root = await rootPlan(lower, dir, config);
  const mounts = [...sandboxMounts(sandbox, state), ...config.mounts];
  const { hostname, hostNetwork } = sandbox.config;
  record.cgroups = await makeCgroups(able, record.id, {
    memoryBytes: config.memoryLimitBytes,
    cpuMillis: config.cpuLimitMillis,
  });
  const script = join(dir, "run.sh");
  const plan: ShimPlan = {
    containerDir: dir,
    workingDir: root.root,
    command: [...enterRoot(config), name, ...args],
    path: systemPath,
    cgroups: record.cgroups,
    oomScore: config.oomScore,
    namespace: {
      mounts: await mountsInRoot(root, mounts),
      table: undefined,
      hostname: hostNetwork || hostname === "" ? undefined : hostname,
      readOnlyRoot: config.security?.readOnlyRootFilesystem ?? false,
      root,
    },
    identity: identityInRoot(config.security),
    stdin: config.stdin ?? false,
    tty: config.tty ?? false,
  };
  writeFileSync(script, shimScript(plan), { mode: 0o600 });
  return { command: shimCommand(plan, script), env: rootedEnvironment(config), programBytes: 0 };
}

/** Of the shim's own tools, whose search path is the machine's; the program gets the container's. */
export function rootedEnvironment(config: ContainerConfig): Record<string, string> {
  return { HOME: "/", ...(config.tty && { TERM: "xterm" }), ...config.env, PATH: systemPath };
}

async function prepareNamespace(
  { dir, record: { config } }: ProcessContainer,
  workingDir: string,
  context: LaunchContext,
): Promise<NamespacePlan | undefined> {
  const { sandbox, mountPoints, state, able } = context;
  const own = sandboxMounts(sandbox, state);
  // Outer mounts first, or they would hide the inner ones.
  const mounts = [...own, ...config.mounts].toSorted((a, b) =>
    a.containerPath < b.containerPath ? -1 : 1,
  );
  if (!able.mounts) {
    for (const mount of config.mounts) await linkMount(mount, workingDir);
    return undefined;
  }
  for (const mount of mounts) {
    const covered = mounts.some(({ containerPath }) =>
      mount.containerPath.startsWith(`${containerPath}/`),
    );
    if (covered) continue; // made inside the outer mount (shim.ts)
    const made = mountPoints.acquire(mount, config.podUid);
    const news = made.filter((path) => !sandbox.madeMountPoints.includes(path));
    if (news.length === 0) continue;
    sandbox.madeMountPoints.push(...news);
    state.writeSandbox(sandbox);
  }
  const { hostname, hostNetwork } = sandbox.config;
  const lines = mountTable(mounts);
  const table = lines === undefined ? undefined : join(dir, "mounts");
  if (table !== undefined) writeFileSync(table, lines ?? "", { mode: 0o600 });
  return {
    mounts,
    table,
    hostname: hostNetwork || hostname === "" ? undefined : hostname,
    readOnlyRoot: config.security?.readOnlyRootFilesystem ?? false,
  };
}

/** The resolv.conf of a pod with a DNS configuration of its own. */
function sandboxMounts(sandbox: SandboxRecord, state: StateDir): readonly Mount[] {
  const { dns, uid } = sandbox.config;
  if (dns === undefined) return [];
  const hostPath = join(state.podDir(uid), "resolv.conf");
  const lines = [
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.searches.length > 0 ? [`search ${dns.searches.join(" ")}`] : []),
    ...(dns.options.length > 0 ? [`options ${dns.options.join(" ")}`] : []),
  ];
  writeFileSync(hostPath, `${lines.join("\n")}\n`, { mode: 0o644 });
  return [{ hostPath, containerPath: "/etc/resolv.conf", readOnly: false }];
}

function isMounted(path: string, mounts: readonly Mount[]): boolean {
  return mounts.some(
    ({ containerPath: at }) => path === at || path.startsWith(at.endsWith("/") ? at : `${at}/`),
  );
}
