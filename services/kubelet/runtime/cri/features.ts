import { existsSync, readFileSync } from "node:fs";
import type { RuntimeFeatures } from "../types.ts";

/** What any runtime behind CRI enforces; what a node's kernel lacks, the runtime tells at a start. */
const common: RuntimeFeatures = {
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
  diskUse: true,
  ownNetwork: true,
  registries: true,
  kernelParameters: true,
};

/** By the name of a runtime, the first version that has a feature. */
type Since = Readonly<Record<string, readonly [major: number, minor: number]>>;

/** Older ones take an image that is to be mounted for an empty path. */
const imageVolumesSince: Since = { containerd: [2, 1], "cri-o": [1, 31] };
/** Older ones take no notice of the container's own signal. */
const stopSignalsSince: Since = { containerd: [2, 3], "cri-o": [1, 34] };

/** `name` and `version`: as the runtime tells them. */
export function criFeatures(name: string, version: string): RuntimeFeatures {
  const [, major = "0", minor = "0"] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  const has = ({ [name]: since }: Since) =>
    since !== undefined &&
    (Number(major) > since[0] || (Number(major) === since[0] && Number(minor) >= since[1]));
  return {
    ...common,
    imageVolumes: has(imageVolumesSince),
    stopSignals: has(stopSignalsSince),
    seccomp: hasSeccomp(),
    appArmor: hasAppArmor(),
  };
}

function hasSeccomp(): boolean {
  return existsSync("/proc/sys/kernel/seccomp/actions_avail");
}

function hasAppArmor(): boolean {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y");
  } catch {
    return false; // the kernel has no such module
  }
}
