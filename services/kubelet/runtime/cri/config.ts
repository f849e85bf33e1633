/** From what the kubelet asks for to CRI's messages. */
import { join } from "node:path";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import {
  type ContainerConfig as CriContainer,
  type PodSandboxConfig as CriSandbox,
  type LinuxContainerResources,
  type LinuxContainerSecurityContext,
  MountPropagation,
  NamespaceMode,
  type NamespaceOption,
  SecurityProfile_ProfileType as ProfileType,
  Protocol,
  Signal,
} from "../../../../proto/gen/cri.ts";
import { fullReference } from "../image-reference.ts";
import type { Image } from "../images.ts";
import type {
  ContainerConfig,
  ContainerResources,
  ContainerSecurity,
  Mount,
  PodSandboxConfig,
  PortMapping,
  SecurityProfile,
} from "../types.ts";
import {
  containerAnnotations,
  containerLabels,
  sandboxAnnotations,
  sandboxLabels,
} from "./records.ts";

const modes = {
  pod: NamespaceMode.POD,
  container: NamespaceMode.CONTAINER,
  node: NamespaceMode.NODE,
} as const;

const unconfined = { profileType: ProfileType.Unconfined };

/** Upstream's: what a container does not see of the machine, unless it is privileged. */
const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readOnlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export function sandboxMessage(config: PodSandboxConfig, attempt: number): CriSandbox {
  const { uid, name, namespace, hostNetwork, dns, portMappings = [] } = config;
  return {
    metadata: { uid, name, namespace, attempt },
    // On the node's network the hostname is the node's.
    hostname: hostNetwork ? "" : config.hostname,
    logDirectory: config.logDirectory ?? "",
    ...(dns !== undefined && {
      dnsConfig: {
        servers: [...dns.servers],
        searches: [...dns.searches],
        options: [...dns.options],
      },
    }),
    portMappings: portMappings.map(portMessage),
    labels: sandboxLabels(config),
    annotations: sandboxAnnotations(config),
    linux: {
      sysctls: { ...config.security?.sysctls },
      securityContext: {
        namespaceOptions: namespaces(config),
        // The sandbox's own program does nothing; the containers bring their profiles.
        seccomp: unconfined,
      },
    },
  };
}

function portMessage({ protocol, containerPort, hostPort, hostIP = "" }: PortMapping) {
  return { protocol: Protocol[protocol], containerPort, hostPort, hostIp: hostIP };
}

function namespaces({ hostNetwork, security }: PodSandboxConfig): NamespaceOption {
  return {
    network: hostNetwork ? NamespaceMode.NODE : modes[security?.network ?? "pod"],
    pid: modes[security?.pid ?? "container"],
    ipc: modes[security?.ipc ?? "pod"],
  };
}

export function logPathOf({ name, attempt }: ContainerConfig): string {
  return `${name}/${attempt}.log`;
}

/** `image`: as it is on this node. `seccompRoot`: the node's directory of seccomp profiles. */
export function containerMessage(
  config: ContainerConfig,
  sandbox: PodSandboxConfig,
  image: Image,
  seccompRoot: string,
): CriContainer {
  return {
    metadata: { name: config.name, attempt: config.attempt },
    image: { image: image.id, userSpecifiedImage: config.image },
    command: [...config.command],
    args: [...config.args],
    workingDir: config.workingDir ?? "",
    envs: Object.entries(config.env).map(([key, value]) => ({ key, value })),
    mounts: config.mounts.map(mountMessage),
    labels: containerLabels(sandbox, config),
    annotations: containerAnnotations(config),
    logPath: logPathOf(config),
    stdin: config.stdin ?? false,
    stdinOnce: config.stdinOnce ?? false,
    tty: config.tty ?? false,
    stopSignal: stopSignal(config.stopSignal),
    linux: {
      resources: resources(config),
      securityContext: security(config.security ?? {}, sandbox, image, seccompRoot),
    },
  };
}

/** Without one, the runtime takes that of the image. */
function stopSignal(name: string | undefined): Signal {
  if (name === undefined) return Signal.RUNTIME_DEFAULT;
  // The interface's names have no signs.
  const plain = name.replace("+", "PLUS").replace("-", "MINUS");
  const known = Object.entries(Signal).find(([own]) => own === plain);
  if (known === undefined) {
    throw new StatusError(Code.invalidArgument, `"${name}" is not the name of a signal`);
  }
  return known[1];
}

function mountMessage({ hostPath, containerPath, readOnly, image, subPath = "" }: Mount) {
  return {
    ...{ hostPath, containerPath, readonly: readOnly },
    propagation: MountPropagation.PROPAGATION_PRIVATE,
    ...(image !== undefined && {
      image: { image: fullReference(image), userSpecifiedImage: image },
      imageSubPath: subPath,
    }),
  };
}

const cpuPeriodMicros = 100_000;
/** The kernel's bounds. */
const cpuSharesMin = 2;
const cpuSharesMax = 262_144;
/** The kernel refuses a quota below a millisecond. */
const cpuQuotaMin = 1_000;

export function resources({
  cpuLimitMillis,
  cpuRequestMillis,
  memoryLimitBytes,
  oomScore,
}: ContainerResources): LinuxContainerResources {
  const cpu = cpuLimitMillis ?? 0;
  const asked = Math.floor(((cpuRequestMillis ?? cpu) * 1024) / 1000);
  const shares = Math.min(cpuSharesMax, Math.max(cpuSharesMin, asked));
  return {
    ...(cpu > 0 && {
      cpuPeriod: BigInt(cpuPeriodMicros),
      cpuQuota: BigInt(Math.max(cpuQuotaMin, Math.floor((cpu * cpuPeriodMicros) / 1000))),
    }),
    cpuShares: BigInt(shares),
    ...(oomScore !== undefined && { oomScoreAdj: BigInt(oomScore) }),
    ...(memoryLimitBytes !== undefined && {
      memoryLimitInBytes: BigInt(Math.floor(memoryLimitBytes)),
    }),
  };
}

function security(
  asked: ContainerSecurity,
  sandbox: PodSandboxConfig,
  image: Image,
  seccompRoot: string,
): LinuxContainerSecurityContext {
  const privileged = asked.privileged ?? false;
  const number = (value: number | undefined) =>
    value === undefined ? undefined : { value: BigInt(value) };
  // A group alone is refused: then the image's user is named with it, as upstream does.
  const user = asked.runAsUser ?? image.user?.id;
  const runAsUser = number(user);
  const runAsGroup = number(asked.runAsGroup);
  const named = user === undefined && image.user?.name !== undefined;
  return {
    capabilities: {
      addCapabilities: [...(asked.addCapabilities ?? [])],
      dropCapabilities: [...(asked.dropCapabilities ?? [])],
    },
    privileged,
    namespaceOptions: namespaces(sandbox),
    ...(runAsUser !== undefined && { runAsUser }),
    ...(named && { runAsUsername: image.user?.name ?? "" }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    readonlyRootfs: asked.readOnlyRootFilesystem ?? false,
    supplementalGroups: (asked.supplementalGroups ?? []).map(BigInt),
    noNewPrivs: asked.noNewPrivileges ?? false,
    ...(!privileged && { maskedPaths: [...maskedPaths], readonlyPaths: [...readOnlyPaths] }),
    seccomp: asked.seccomp ? profile(asked.seccomp, (file) => join(seccompRoot, file)) : unconfined,
    ...(asked.appArmor && { apparmor: profile(asked.appArmor, (name) => name) }),
  };
}

function profile({ type, name = "" }: SecurityProfile, place: (name: string) => string) {
  return { profileType: ProfileType[type], localhostRef: type === "Localhost" ? place(name) : "" };
}
