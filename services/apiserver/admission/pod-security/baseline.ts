/** The checks of the level `baseline` (KEP-2579 and the Pod Security Standards). */
import {
  type Check,
  containersNamed,
  joinQuoted,
  joinSorted,
  plural,
  type Subject,
  settersOf,
  type Violation,
} from "./subject.ts";

const defaultCapabilities: ReadonlySet<string> = new Set([
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"],
  ...["NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
]);

/** Sysctls that concern a pod alone, with the minor version that took them up. */
const safeSysctls: ReadonlyMap<string, number> = new Map([
  ["kernel.shm_rmid_forced", 0],
  ["net.ipv4.ip_local_port_range", 0],
  ["net.ipv4.tcp_syncookies", 0],
  ["net.ipv4.ping_group_range", 0],
  ["net.ipv4.ip_unprivileged_port_start", 0],
  ["net.ipv4.ip_local_reserved_ports", 27],
  ["net.ipv4.tcp_keepalive_time", 29],
  ["net.ipv4.tcp_fin_timeout", 29],
  ["net.ipv4.tcp_keepalive_intvl", 29],
  ["net.ipv4.tcp_keepalive_probes", 29],
  ["net.ipv4.tcp_rmem", 32],
  ["net.ipv4.tcp_wmem", 32],
]);

const appArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/";
const seccompPodAnnotation = "seccomp.security.alpha.kubernetes.io/pod";
const seccompAnnotation = "container.seccomp.security.alpha.kubernetes.io/";

/** Unset is allowed. */
export function isSafeProfile(type: string | undefined): boolean {
  return type === "RuntimeDefault" || type === "Localhost";
}

function appArmorProfile(subject: Subject): Violation | undefined {
  const types = new Set<string>();
  const setters = settersOf(subject, ({ appArmorProfile: profile }) => {
    if (profile === undefined || isSafeProfile(profile.type)) return false;
    types.add(profile.type ?? "");
    return true;
  });
  const annotations = Object.entries(subject.metadata.annotations ?? {})
    .filter(([key]) => key.startsWith(appArmorAnnotation))
    .filter(([, value]) => !/^(?:$|runtime\/default$|localhost\/)/.test(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  if (setters === undefined && annotations.length === 0) return undefined;
  const noted = annotations.length === 0 ? [] : [plural("annotation", annotations.length)];
  const who = [...(setters === undefined ? [] : [setters]), ...noted].join(" and ");
  const values = [...[...types].sort(), ...annotations];
  return {
    reason: plural("forbidden AppArmor profile", values.length),
    detail: `${who} must not set AppArmor profile type to ${joinQuoted(values)}`,
  };
}

function capabilities({ containers }: Subject): Violation | undefined {
  const added = (add: readonly string[]) => add.filter((each) => !defaultCapabilities.has(each));
  const bad = containers.filter(
    ({ securityContext }) => added(securityContext?.capabilities?.add ?? []).length > 0,
  );
  if (bad.length === 0) return undefined;
  const names = bad.flatMap(({ securityContext }) =>
    added(securityContext?.capabilities?.add ?? []),
  );
  const detail =
    `${containersNamed(bad)} must not include ${joinSorted(names)} in ` +
    "securityContext.capabilities.add";
  return { reason: "non-default capabilities", detail };
}

function hostNamespaces({ spec }: Subject): Violation | undefined {
  const set = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((name) => spec[name]);
  if (set.length === 0) return undefined;
  return { reason: "host namespaces", detail: set.map((name) => `${name}=true`).join(", ") };
}

function hostPathVolumes({ spec }: Subject): Violation | undefined {
  const names = (spec.volumes ?? []).filter((each) => each.hostPath).map(({ name = "" }) => name);
  if (names.length === 0) return undefined;
  return {
    reason: "hostPath volumes",
    detail: `${plural("volume", names.length)} ${joinQuoted(names)}`,
  };
}

function hostPorts({ containers }: Subject): Violation | undefined {
  const portsOf = (container: Subject["containers"][number]) =>
    (container.ports ?? []).flatMap(({ hostPort = 0 }) => (hostPort === 0 ? [] : [`${hostPort}`]));
  const bad = containers.filter((container) => portsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  const ports = [...new Set(bad.flatMap(portsOf))].sort();
  const uses = bad.length === 1 ? "uses" : "use";
  return {
    reason: "hostPort",
    detail: `${containersNamed(bad)} ${uses} ${plural("hostPort", ports.length)} ${ports.join(", ")}`,
  };
}

function privileged({ containers }: Subject): Violation | undefined {
  const bad = containers.filter(({ securityContext }) => securityContext?.privileged);
  if (bad.length === 0) return undefined;
  const detail = `${containersNamed(bad)} must not set securityContext.privileged=true`;
  return { reason: "privileged", detail };
}

function procMount({ containers }: Subject): Violation | undefined {
  const mountOf = ({ securityContext }: Subject["containers"][number]) =>
    securityContext?.procMount ?? "Default";
  const bad = containers.filter((container) => mountOf(container) !== "Default");
  if (bad.length === 0) return undefined;
  const values = joinSorted(bad.map(mountOf));
  const detail = `${containersNamed(bad)} must not set securityContext.procMount to ${values}`;
  return { reason: "procMount", detail };
}

function seccompProfile(subject: Subject, minor: number): Violation | undefined {
  if (minor < 19) return seccompAnnotations(subject);
  const types = new Set<string>();
  const setters = settersOf(subject, ({ seccompProfile: profile }) => {
    if (profile === undefined || isSafeProfile(profile.type)) return false;
    types.add(profile.type ?? "");
    return true;
  });
  if (setters === undefined) return undefined;
  const what = "must not set securityContext.seccompProfile.type to";
  return { reason: "seccompProfile", detail: `${setters} ${what} ${joinSorted(types)}` };
}

function seccompAnnotations({ metadata, containers }: Subject): Violation | undefined {
  const keys = [
    seccompPodAnnotation,
    ...containers.map(({ name = "" }) => `${seccompAnnotation}${name}`),
  ];
  const bad = keys
    .flatMap((key) => {
      const value = metadata.annotations?.[key];
      const safe =
        value === undefined || /^(?:(?:runtime|docker)\/default$|localhost\/)/.test(value);
      return safe ? [] : [`${key}=${JSON.stringify(value)}`];
    })
    .sort();
  if (bad.length === 0) return undefined;
  const detail = `forbidden ${plural("annotation", bad.length)} ${bad.join(", ")}`;
  return { reason: "seccompProfile", detail };
}

function seLinuxOptions(subject: Subject, minor: number): Violation | undefined {
  const allowed = ["", "container_t", "container_init_t", "container_kvm_t"];
  if (minor >= 31) allowed.push("container_engine_t");
  const types = new Set<string>();
  let [setsUser, setsRole] = [false, false];
  const setters = settersOf(subject, ({ seLinuxOptions: options = {} }) => {
    const { type = "", user = "", role = "" } = options;
    if (!allowed.includes(type)) types.add(type);
    setsUser ||= user !== "";
    setsRole ||= role !== "";
    return !allowed.includes(type) || user !== "" || role !== "";
  });
  if (setters === undefined) return undefined;
  const parts = [
    ...(types.size > 0 ? [`${plural("type", types.size)} ${joinSorted(types)}`] : []),
    ...(setsUser ? ["user may not be set"] : []),
    ...(setsRole ? ["role may not be set"] : []),
  ];
  const detail = `${setters} set forbidden securityContext.seLinuxOptions: ${parts.join("; ")}`;
  return { reason: "seLinuxOptions", detail };
}

function sysctls({ spec }: Subject, minor: number): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? [])
    .map(({ name = "" }) => name)
    .filter((name) => !safeSysctls.has(name) || (safeSysctls.get(name) ?? 0) > minor);
  if (names.length === 0) return undefined;
  return { reason: "forbidden sysctls", detail: names.join(", ") };
}

function windowsHostProcess(subject: Subject): Violation | undefined {
  const setters = settersOf(subject, ({ windowsOptions }) => windowsOptions?.hostProcess === true);
  if (setters === undefined) return undefined;
  const detail = `${setters} must not set securityContext.windowsOptions.hostProcess=true`;
  return { reason: "hostProcess", detail };
}

export const baselineChecks: readonly Check[] = [
  { level: "baseline", id: "appArmorProfile", run: appArmorProfile },
  { level: "baseline", id: "capabilities_baseline", run: capabilities },
  { level: "baseline", id: "hostNamespaces", run: hostNamespaces },
  { level: "baseline", id: "hostPathVolumes", run: hostPathVolumes },
  { level: "baseline", id: "hostPorts", run: hostPorts },
  { level: "baseline", id: "privileged", run: privileged },
  { level: "baseline", id: "procMount", run: procMount },
  { level: "baseline", id: "seLinuxOptions", run: seLinuxOptions },
  { level: "baseline", id: "seccompProfile_baseline", run: seccompProfile },
  { level: "baseline", id: "sysctls", run: sysctls },
  { level: "baseline", id: "windowsHostProcess", run: windowsHostProcess },
];
