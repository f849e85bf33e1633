/** Kernel parameters that pods may set (upstream `pkg/kubelet/sysctl`). */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod } from "../../../proto/gen/core.ts";

/** Parameters of a pod's own namespaces that touch no other pod. */
const safe = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
] as const;

/** Whose parameters belong to a namespace, so that a pod can have values of its own. */
const namespaced = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net."] as const;

/** `kernel.msg*,net.core.somaxconn`. Throws StatusError naming the flag. */
export function parseUnsafeSysctls(value: string, flag: string): readonly string[] {
  const patterns = value.split(",").filter((one) => one !== "");
  for (const pattern of patterns) {
    const shape = /^[a-z0-9][-_a-z0-9./]*\*?$/.test(pattern);
    if (shape && namespaced.some((prefix) => pattern.startsWith(prefix))) continue;
    throw new StatusError(
      Code.invalidArgument,
      `${flag}: "${pattern}" is no parameter of a namespace (${namespaced.join(", ")}), with or ` +
        "without * at its end",
    );
  }
  return patterns;
}

/** The message of the refusal; undefined: the pod may set what it asks for. */
export function forbiddenSysctl(pod: Pod, allowedUnsafe: readonly string[]): string | undefined {
  for (const { name = "" } of pod.spec?.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    const allowed = [...safe, ...allowedUnsafe].some((pattern) =>
      pattern.endsWith("*") ? dotted.startsWith(pattern.slice(0, -1)) : dotted === pattern,
    );
    if (!allowed) return `forbidden sysctl: "${name}" not allowlisted`;
  }
  return undefined;
}
