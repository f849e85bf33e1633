/**
 * The shim: a few lines of POSIX sh per container that run the program, wait, and write down how it
 * ended, so that an exit is known even when no kubelet was there to see it.
 *
 * The container's namespaces are the shim's as well: one program less to start. Its own files have
 * relative names, for a volume may hide the directory that it began in.
 *
 * The shim leads a session of its own and the program another (setsid), so a signal to the
 * program's group never hits the shim. The program runs in the foreground of the shim because a
 * background job of a shell without job control has SIGINT and SIGQUIT ignored (POSIX sh 2.11).
 * Descriptor 3 tells the kubelet that the program is about to run: what fails before, a mount for
 * example, is a start error. Descriptor 4 is the log.
 *
 * Standard input, where the container has one, is the FIFO `stdin`. A keeper process holds it open
 * for writing, so that clients come and go without ending it, until one opens the FIFO `stdin-end`.
 */
import type { Mount } from "../types.ts";
import { type RootPlan, rootLines } from "./image-root.ts";
import { toolPath } from "./program.ts";

export interface ShimPlan {
  readonly containerDir: string;
  readonly workingDir: string;
  /** Resolved program, then arguments. */
  readonly command: readonly string[];
  /** Where the program finds others; the shim itself has the machine's search path. */
  readonly path: string;
  readonly cgroups: readonly string[];
  /** Undefined: that of the kubelet. */
  readonly oomScore: number | undefined;
  /** Undefined: the container shares the machine's mounts and hostname. */
  readonly namespace: NamespacePlan | undefined;
  /** `setpriv` arguments; empty: stay who we are. */
  readonly identity: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

/** What a container's private mount and UTS namespaces hold. */
export interface NamespacePlan {
  /** Outer mounts before inner ones. */
  readonly mounts: readonly Mount[];
  /** File with the table of the mounts (mountTable), where one call of mount(8) makes them all. */
  readonly table: string | undefined;
  /** Undefined: the machine's. */
  readonly hostname: string | undefined;
  readonly readOnlyRoot: boolean;
  /** Of an image's own tree; the mounts then lie in it. Absent: the machine's files. */
  readonly root?: RootPlan | undefined;
}

/** Quotes one word for sh. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function shellWords(list: readonly string[]): string {
  return list.map(shellWord).join(" ");
}

/** Begins a command in private mount and UTS namespaces. */
export const inNamespaces = [
  "unshare",
  "--mount",
  "--uts",
  "--propagation",
  "slave",
  "--",
] as const;

/** A shim among mounts that are all read-only could not write down how the program ended. */
function staysOutside({ readOnlyRoot, root }: NamespacePlan): boolean {
  return readOnlyRoot && root === undefined;
}

/** What is started to run a shim's script. */
export function shimCommand({ namespace }: ShimPlan, script: string): readonly string[] {
  const enters = namespace !== undefined && !staysOutside(namespace);
  return [...(enters ? inNamespaces : []), "/bin/sh", script];
}

export function shimScript(plan: ShimPlan): string {
  const ready = ["printf s >&3; exec 3>&-", "ulimit -c 0"];
  const inner = [
    ...namespaceLines(plan.namespace),
    `cd -- ${shellWord(plan.workingDir)} || exit 126`,
    ...ready,
    `PATH=${shellWord(plan.path)}`,
    `exec ${programLine(plan)}`,
  ];
  const enter =
    plan.namespace !== undefined && staysOutside(plan.namespace)
      ? [`exec ${inNamespaces.join(" ")} sh -c ${shellWord(inner.join("\n"))}`]
      : inner;
  return [
    "# Runs one container and writes down how it ended (kubelet, process runtime).",
    "exec > /dev/null 2>&1",
    `cd -- ${shellWord(plan.containerDir)} || exit 125`,
    "trap : HUP INT TERM",
    "read -r stat < /proc/self/stat && printf '%s\\n' \"$stat\" > shim",
    ...(plan.stdin
      ? ["mkfifo stdin stdin-end", "(read -r _ < stdin-end) 5<>stdin 3>&- 4>&- & keeper=$!"]
      : []),
    "(",
    "  exec 1>&4 2>&4 4>&-",
    ...(plan.stdin ? ["  exec 0< stdin"] : []),
    ...(plan.oomScore === undefined
      ? []
      : // Making a process safer than its parent may be denied, in a container for example.
        [`  { printf '%s' ${plan.oomScore} > /proc/self/oom_score_adj; } 2> /dev/null || :`]),
    ...plan.cgroups.map((dir) => `  printf 0 > ${shellWord(`${dir}/cgroup.procs`)}`),
    "  read -r stat < /proc/self/stat && printf '%s\\n' \"$stat\" > child",
    ...enter.map((line) => `  ${line}`),
    ")",
    "code=$?",
    'read -r pid rest < child && kill -KILL "-$pid"',
    ...(plan.stdin ? ['kill -KILL "$keeper"'] : []),
    "printf '%s\\n' \"$code\" > exit",
    "",
  ].join("\n");
}

function programLine(plan: ShimPlan): string {
  const program = [
    ...(plan.identity.length > 0 ? [toolPath("setpriv"), ...plan.identity, "--"] : []),
    ...(plan.tty ? terminalCommand(plan.command) : plan.command),
  ];
  return shellWords([toolPath("setsid"), ...program]);
}

/** Runs a command on a pseudo-terminal (script(1)), with its exit code as the result. */
export function terminalCommand(command: readonly string[], before = ""): readonly string[] {
  const line = `${before}exec ${shellWords(command)}`;
  return [toolPath("script"), "--quiet", "--return", "--flush", "--command", line, "/dev/null"];
}

function namespaceLines(plan: NamespacePlan | undefined): readonly string[] {
  if (plan === undefined) return [];
  const { mounts, table, hostname, readOnlyRoot, root } = plan;
  return [
    ...(hostname === undefined
      ? []
      : [`printf %s ${shellWord(hostname)} > /proc/sys/kernel/hostname || exit 126`]),
    ...(root === undefined ? [] : rootLines(root, shellWord)),
    ...(table === undefined
      ? eachMountLines(mounts, root !== undefined)
      : [`mount --all --fstab ${shellWord(table)} || exit 126`]),
    ...(readOnlyRoot && root === undefined ? readOnlyRootLines(mounts) : []),
    ...(readOnlyRoot && root !== undefined
      ? [`mount -o remount,bind,ro ${shellWord(root.root)} || exit 126`]
      : []),
  ];
}

/** `makes`: mount points are made here, in a tree that only the container sees. */
function eachMountLines(mounts: readonly Mount[], makes: boolean): readonly string[] {
  return [
    ...mounts.flatMap((mount) => bindLines(mount, mounts, makes)),
    ...mounts
      .filter(({ readOnly }) => readOnly)
      .map((mount) => `mount -o remount,bind,ro ${shellWord(mount.containerPath)} || exit 126`),
  ];
}

/**
 * The mounts as lines of fstab(5). Undefined: one lies inside another, so its mount point is made
 * between the two.
 */
export function mountTable(mounts: readonly Mount[]): string | undefined {
  const inside = ({ containerPath }: Mount) =>
    mounts.some((outer) => containerPath.startsWith(`${outer.containerPath}/`));
  if (mounts.length === 0 || mounts.some(inside)) return undefined;
  const field = (path: string) =>
    path.replace(/[\\ \t\n#]/g, (sign) => `\\${sign.charCodeAt(0).toString(8).padStart(3, "0")}`);
  const lines = mounts.map(({ hostPath, containerPath, readOnly }) => {
    const options = readOnly ? "bind,ro" : "bind";
    return `${field(hostPath)} ${field(containerPath)} none ${options} 0 0\n`;
  });
  return lines.join("");
}

function bindLines(mount: Mount, all: readonly Mount[], makes: boolean): readonly string[] {
  const source = shellWord(mount.hostPath);
  const target = shellWord(mount.containerPath);
  const covered = all.some((outer) => mount.containerPath.startsWith(`${outer.containerPath}/`));
  // Inside another mount the mount point can be made only now, where that mount is seen.
  const make = [
    `[ -e ${target} ] || if [ -d ${source} ]; then mkdir -p ${target}`,
    `else mkdir -p "$(dirname ${target})" && : > ${target}; fi || exit 126`,
  ];
  return [...(covered || makes ? make : []), `mount --bind ${source} ${target} || exit 126`];
}

/**
 * Every mount of the machine turns read-only for this container, except the kernel's own file
 * systems and the container's volumes. Runs after the volumes are bound, because a bind takes the
 * flags of the mount it is made from.
 */
function readOnlyRootLines(mounts: readonly Mount[]): readonly string[] {
  const kept = ["/proc", "/sys", ...mounts.map(({ containerPath }) => containerPath)];
  const patterns = kept.flatMap((path) => [shellWord(path), `${shellWord(`${path}/`)}*`]);
  return [
    "is_mounted() {",
    "  while read -r _ _ _ _ each _; do",
    `    [ "$(printf '%b' "$each")" = "$1" ] && return 0`,
    "  done < /proc/self/mountinfo",
    "  return 1",
    "}",
    "while read -r _ _ _ _ point _; do",
    `  point=$(printf '%b' "$point")`,
    `  case "$point" in ${patterns.join("|")}) continue;; esac`,
    // What the machine unmounts meanwhile goes away here too.
    `  mount -o remount,bind,ro "$point" || ! is_mounted "$point" || exit 126`,
    "done < /proc/self/mountinfo",
  ];
}
