/** User, groups and capabilities of a container as arguments of setpriv(1). */
import type { ContainerSecurity } from "../types.ts";

/** Linux capabilities by number (capability.h), without their CAP_ prefix. */
const capabilityNames = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"],
  ...["SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"],
  ...["IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT"],
  ...["SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"],
  ...["LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG"],
  ...["WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"],
] as const;

/** Names of the capabilities in a hexadecimal mask of /proc/<pid>/status. */
export function capabilitiesOfMask(hex: string): readonly string[] {
  const mask = BigInt(`0x${hex}`);
  return capabilityNames.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);
}

/** Empty: nothing to change. `root`: the kubelet may change identity and capability sets. */
export function identityArguments(
  security: ContainerSecurity | undefined,
  root: boolean,
): readonly string[] {
  if (security === undefined) return [];
  return [
    ...(root ? userArguments(security) : []),
    ...(root && !security.privileged ? capabilityArguments(security) : []),
    ...(security.noNewPrivileges ? ["--no-new-privs"] : []),
  ];
}

function userArguments(security: ContainerSecurity): readonly string[] {
  const { runAsUser, runAsGroup, supplementalGroups = [] } = security;
  const changesUser = runAsUser !== undefined || runAsGroup !== undefined;
  if (!changesUser && supplementalGroups.length === 0) return [];
  return [
    ...(runAsUser === undefined ? [] : [`--reuid=${runAsUser}`]),
    `--regid=${runAsGroup ?? 0}`,
    supplementalGroups.length > 0 ? `--groups=${supplementalGroups.join(",")}` : "--clear-groups",
  ];
}

/** The sets a program can ever gain shrink to the machine's, less those dropped. */
function capabilityArguments(security: ContainerSecurity): readonly string[] {
  const { dropCapabilities: drop = [], addCapabilities: add = [] } = security;
  if (drop.length === 0) return [];
  const changes = [
    ...drop.filter((name) => !add.includes(name)).map((name) => `-${name.toLowerCase()}`),
    ...(drop.includes("ALL") ? add.map((name) => `+${name.toLowerCase()}`) : []),
  ].join(",");
  return changes === "" ? [] : [`--inh-caps=${changes}`, `--bounding-set=${changes}`];
}
