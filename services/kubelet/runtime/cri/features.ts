import type { RuntimeFeatures } from "../types.ts";

/** What any runtime behind CRI enforces; what a node's kernel lacks, the runtime tells at a start. */
export const criFeatures: RuntimeFeatures = {
  privateMounts: true,
  changeIdentity: true,
  restrictPrivileges: true,
  // Every capability has a name that the runtime checks itself.
  grantableCapabilities: [
    ...["AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE"],
    ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER"],
    ...["KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN"],
    ...["NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP"],
    ...["SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE"],
    ...["SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"],
    "WAKE_ALARM",
  ],
  terminals: true,
  memoryLimits: true,
  cpuLimits: true,
  ownNetwork: true,
  registries: true,
  kernelParameters: true,
};
