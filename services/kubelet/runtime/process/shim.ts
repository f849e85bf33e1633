/**
 * The shim: a few lines of POSIX sh per container that run the program, wait, and write down how it
 * ended, so that an exit is known even when no kubelet was there to see it.
 *
 * The shim leads a session of its own and the program another (setsid), so a signal to the
 * program's group never hits the shim. The program runs in the foreground of the shim because a
 * background job of a shell without job control has SIGINT and SIGQUIT ignored (POSIX sh 2.11).
 * Descriptor 3 tells the kubelet that the program is about to run; descriptor 4 is the log.
 */
import type { ContainerConfig, Mount } from "../types.ts";

export interface ShimPlan {
  readonly containerDir: string;
  readonly workingDir: string;
  /** Resolved program, then arguments. */
  readonly command: readonly string[];
  readonly cgroups: readonly string[];
  /** Bind-mounted in a private mount namespace; empty: no namespace. */
  readonly mounts: readonly Mount[];
  /** `setpriv` arguments; empty: stay who we are. */
  readonly identity: readonly string[];
}

/** Quotes one word for sh. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

export function shimScript(plan: ShimPlan): string {
  const words = (list: readonly string[]) => list.map(shellWord).join(" ");
  const program = words([
    ...(plan.identity.length > 0 ? ["setpriv", ...plan.identity, "--"] : []),
    "setsid",
    ...plan.command,
  ]);
  const cd = `cd -- ${shellWord(plan.workingDir)} || exit 126`;
  const inner =
    plan.mounts.length === 0
      ? [cd, `exec ${program}`]
      : [
          `exec unshare --mount --propagation slave -- sh -c ${shellWord(
            [...plan.mounts.flatMap(mountLines), cd, `exec ${program}`].join("\n"),
          )}`,
        ];
  return [
    "# Runs one container and writes down how it ended (kubelet, process runtime).",
    `cd -- ${shellWord(plan.containerDir)} || exit 125`,
    "trap : HUP INT TERM",
    "read -r stat < /proc/self/stat && printf '%s\\n' \"$stat\" > shim",
    "(",
    "  exec 1>&4 2>&4 4>&-",
    ...plan.cgroups.map((dir) => `  printf 0 > ${shellWord(`${dir}/cgroup.procs`)}`),
    "  read -r stat < /proc/self/stat && printf '%s\\n' \"$stat\" > child",
    "  printf s >&3; exec 3>&-",
    "  ulimit -c 0",
    ...inner.map((line) => `  ${line}`),
    ")",
    "code=$?",
    'read -r pid rest < child && kill -KILL "-$pid"',
    "printf '%s\\n' \"$code\" > exit",
    "",
  ].join("\n");
}

function mountLines(mount: Mount): string[] {
  const target = shellWord(mount.containerPath);
  const lines = [`mount --bind ${shellWord(mount.hostPath)} ${target} || exit 126`];
  if (mount.readOnly) lines.push(`mount -o remount,bind,ro ${target} || exit 126`);
  return lines;
}

/** Arguments of setpriv(1) for the user and groups of a container. */
export function identityArguments(config: ContainerConfig): readonly string[] {
  const { runAsUser, runAsGroup, supplementalGroups = [] } = config;
  if (runAsUser === undefined && runAsGroup === undefined) return [];
  const group = runAsGroup ?? 0;
  return [
    ...(runAsUser === undefined ? [] : [`--reuid=${runAsUser}`]),
    `--regid=${group}`,
    supplementalGroups.length > 0 ? `--groups=${supplementalGroups.join(",")}` : "--clear-groups",
  ];
}
