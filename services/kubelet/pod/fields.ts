/**
 * What the kubelet does with each field of a pod that a container runtime may be unable to fulfil.
 *
 * `enforced`: the field holds. `warned`: the pod runs without it and an event names the field.
 * `refused`: the container does not start; its status says CreateContainerConfigError and names the
 * field. A rule may depend on the runtime's features: then it says what happens without them.
 *
 * Fields that always hold and need no feature (env, command, volumes, probes, …) have no rule.
 */
import type { Container, PodSpec } from "../../../proto/gen/core.ts";
import { ContainerConfigError, type RuntimeFeatures } from "../runtime/types.ts";

interface Rule<Asker> {
  /** Path in the pod, with [] for every element of a list. */
  readonly field: string;
  /** Whether the pod asks for something that this rule is about. */
  readonly asks: (asker: Asker) => boolean;
  /** Feature of the runtime with which the field is enforced; `never`: with none. */
  readonly needs: keyof RuntimeFeatures | "never";
  readonly otherwise: "warned" | "refused";
  /** Why the field is not enforced, for the event or the status. */
  readonly because: string;
}

const ownMounts = "private mounts do not work on this machine";
const notRoot = "the kubelet is not root";

/** Where the apiserver mounts the token of the pod's service account. */
const accountMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

/** A mount that no user asked for: where it cannot be made, the container runs without it. */
export function isAccountMount(mount: { readonly mountPath?: string | undefined }): boolean {
  return mount.mountPath === accountMountPath;
}

function isSet(value: object | string | undefined): boolean {
  return value !== undefined && Object.keys(value).length > 0;
}

function profileIs(
  type: string,
  ...profiles: readonly ({ type?: string | undefined } | undefined)[]
) {
  return profiles.some((profile) => profile?.type === type);
}

/** Rules about the pod as a whole. */
export const podRules: readonly Rule<PodSpec>[] = [
  {
    field: "spec.hostUsers",
    asks: (spec) => spec.hostUsers === false,
    needs: "never",
    otherwise: "refused",
    because: "pods have no user namespace of their own",
  },
  {
    field: "spec.runtimeClassName",
    asks: (spec) => isSet(spec.runtimeClassName),
    needs: "never",
    otherwise: "refused",
    because: "the kubelet knows no other runtime handler",
  },
  {
    field: "spec.resourceClaims",
    asks: (spec) => isSet(spec.resourceClaims),
    needs: "never",
    otherwise: "refused",
    because: "devices are not allocated to pods",
  },
  {
    field: "spec.securityContext.sysctls",
    asks: (spec) => isSet(spec.securityContext?.sysctls),
    needs: "kernelParameters",
    otherwise: "refused",
    because: "pods share the machine's kernel parameters",
  },
  {
    field: "spec.securityContext.fsGroup",
    asks: (spec) => spec.securityContext?.fsGroup !== undefined,
    needs: "changeIdentity",
    otherwise: "refused",
    because: notRoot,
  },
  {
    field: "spec.securityContext.seccompProfile",
    asks: (spec) => profileIs("Localhost", spec.securityContext?.seccompProfile),
    needs: "seccomp",
    otherwise: "refused",
    because: "seccomp profiles are not loaded on this node",
  },
  {
    field: "spec.securityContext.seccompProfile",
    asks: (spec) => profileIs("RuntimeDefault", spec.securityContext?.seccompProfile),
    needs: "seccomp",
    otherwise: "warned",
    because: "seccomp profiles are not loaded on this node; the containers run unconfined",
  },
  {
    field: "spec.securityContext.appArmorProfile",
    asks: (spec) => profileIs("Localhost", spec.securityContext?.appArmorProfile),
    needs: "appArmor",
    otherwise: "refused",
    because: "AppArmor profiles are not loaded on this node",
  },
  {
    field: "spec.securityContext.appArmorProfile",
    asks: (spec) => profileIs("RuntimeDefault", spec.securityContext?.appArmorProfile),
    needs: "appArmor",
    otherwise: "warned",
    because: "AppArmor profiles are not loaded on this node; the containers run unconfined",
  },
  {
    field: "spec.securityContext.seLinuxOptions",
    asks: (spec) => isSet(spec.securityContext?.seLinuxOptions),
    needs: "never",
    otherwise: "warned",
    because: "SELinux labels are not set",
  },
  {
    field: "spec.securityContext.windowsOptions",
    asks: (spec) => isSet(spec.securityContext?.windowsOptions),
    needs: "never",
    otherwise: "warned",
    because: "this node runs Linux",
  },
  {
    field: "spec.hostAliases",
    asks: (spec) => isSet(spec.hostAliases),
    needs: "privateMounts",
    otherwise: "warned",
    because: ownMounts,
  },
  {
    field: "spec.dnsConfig",
    asks: (spec) => isSet(spec.dnsConfig) || spec.dnsPolicy === "None",
    needs: "privateMounts",
    otherwise: "warned",
    because: ownMounts,
  },
  {
    field: "spec.setHostnameAsFQDN",
    asks: (spec) => spec.setHostnameAsFQDN ?? false,
    needs: "privateMounts",
    otherwise: "warned",
    because: "the hostname is the machine's; only the variable HOSTNAME is set",
  },
  {
    field: "spec.imagePullSecrets",
    asks: (spec) => isSet(spec.imagePullSecrets),
    needs: "registries",
    otherwise: "warned",
    because: "images are names of programs on this machine: no registry is asked",
  },
  {
    field: "spec.resources",
    asks: (spec) => isSet(spec.resources?.limits),
    needs: "never",
    otherwise: "warned",
    because: "limits are set for containers, not for a pod as a whole",
  },
  {
    field: "spec.volumes[].image",
    asks: (spec) => (spec.volumes ?? []).some(({ image }) => image !== undefined),
    needs: "imageVolumes",
    otherwise: "refused",
    because: "the runtime of this node mounts no images",
  },
  {
    field: "spec.volumes[].emptyDir.medium",
    asks: (spec) => (spec.volumes ?? []).some((one) => one.emptyDir?.medium === "Memory"),
    needs: "changeIdentity",
    otherwise: "warned",
    because: `${notRoot} and cannot mount a tmpfs; the volume is on disk`,
  },
  {
    field: "spec.volumes[].emptyDir.medium",
    asks: (spec) =>
      (spec.volumes ?? []).some((one) => /^HugePages/.test(one.emptyDir?.medium ?? "")),
    needs: "never",
    otherwise: "refused",
    because: "huge pages are not mounted",
  },
];

/** Rules about one container; the path continues spec.containers[] or spec.initContainers[]. */
export const containerRules: readonly Rule<Container>[] = [
  {
    field: "volumeDevices",
    asks: (one) => isSet(one.volumeDevices),
    needs: "never",
    otherwise: "refused",
    because: "block devices are not given to containers",
  },
  {
    field: "volumeMounts[].mountPropagation",
    asks: (one) => (one.volumeMounts ?? []).some((m) => m.mountPropagation === "Bidirectional"),
    needs: "never",
    otherwise: "refused",
    because: "mounts made in a container do not reach the machine",
  },
  {
    field: "volumeMounts[].mountPath",
    asks: (one) => (one.volumeMounts ?? []).some(isAccountMount),
    needs: "privateMounts",
    otherwise: "warned",
    because: `${ownMounts}; the programs find no token at ${accountMountPath}`,
  },
  {
    field: "volumeMounts[].recursiveReadOnly",
    asks: (one) => (one.volumeMounts ?? []).some((m) => m.recursiveReadOnly === "Enabled"),
    needs: "privateMounts",
    otherwise: "refused",
    because: ownMounts,
  },
  {
    field: "resources.limits.memory",
    asks: (one) => one.resources?.limits?.["memory"] !== undefined,
    needs: "memoryLimits",
    otherwise: "warned",
    because: "this machine has no writable memory cgroup",
  },
  {
    field: "resources.limits.cpu",
    asks: (one) => one.resources?.limits?.["cpu"] !== undefined,
    needs: "cpuLimits",
    otherwise: "warned",
    because: "this machine has no writable cpu cgroup",
  },
  {
    field: "resources.limits.ephemeral-storage",
    asks: (one) => one.resources?.limits?.["ephemeral-storage"] !== undefined,
    needs: "diskUse",
    otherwise: "warned",
    because: "the containers' use of the disk is not measured",
  },
  {
    field: "lifecycle.stopSignal",
    asks: (one) => isSet(one.lifecycle?.stopSignal),
    needs: "stopSignals",
    otherwise: "warned",
    because: "the runtime of this node stops a container by the signal that its image names",
  },
  {
    field: "tty",
    asks: (one) => one.tty ?? false,
    needs: "terminals",
    otherwise: "refused",
    because: "this machine has no script(1)",
  },
  {
    field: "securityContext.readOnlyRootFilesystem",
    asks: (one) => one.securityContext?.readOnlyRootFilesystem ?? false,
    needs: "privateMounts",
    otherwise: "refused",
    because: ownMounts,
  },
  {
    field: "securityContext.allowPrivilegeEscalation",
    asks: (one) => one.securityContext?.allowPrivilegeEscalation === false,
    needs: "restrictPrivileges",
    otherwise: "refused",
    because: "this machine has no setpriv(1)",
  },
  {
    field: "securityContext.privileged",
    asks: (one) => one.securityContext?.privileged ?? false,
    needs: "changeIdentity",
    otherwise: "refused",
    because: notRoot,
  },
  {
    field: "securityContext.seccompProfile",
    asks: (one) => profileIs("Localhost", one.securityContext?.seccompProfile),
    needs: "seccomp",
    otherwise: "refused",
    because: "seccomp profiles are not loaded on this node",
  },
  {
    field: "securityContext.seccompProfile",
    asks: (one) => profileIs("RuntimeDefault", one.securityContext?.seccompProfile),
    needs: "seccomp",
    otherwise: "warned",
    because: "seccomp profiles are not loaded on this node; the container runs unconfined",
  },
  {
    field: "securityContext.appArmorProfile",
    asks: (one) => profileIs("Localhost", one.securityContext?.appArmorProfile),
    needs: "appArmor",
    otherwise: "refused",
    because: "AppArmor profiles are not loaded on this node",
  },
  {
    field: "securityContext.appArmorProfile",
    asks: (one) => profileIs("RuntimeDefault", one.securityContext?.appArmorProfile),
    needs: "appArmor",
    otherwise: "warned",
    because: "AppArmor profiles are not loaded on this node; the container runs unconfined",
  },
  {
    field: "securityContext.seLinuxOptions",
    asks: (one) => isSet(one.securityContext?.seLinuxOptions),
    needs: "never",
    otherwise: "warned",
    because: "SELinux labels are not set",
  },
  {
    field: "securityContext.windowsOptions",
    asks: (one) => isSet(one.securityContext?.windowsOptions),
    needs: "never",
    otherwise: "warned",
    because: "this node runs Linux",
  },
];

function holds<Asker>(rule: Rule<Asker>, features: RuntimeFeatures): boolean {
  return rule.needs !== "never" && features[rule.needs] === true;
}

function broken<Asker>(
  rules: readonly Rule<Asker>[],
  asker: Asker,
  features: RuntimeFeatures,
  otherwise: "warned" | "refused",
  prefix: string,
): readonly string[] {
  return rules
    .filter((rule) => rule.otherwise === otherwise && rule.asks(asker) && !holds(rule, features))
    .map((rule) => `${prefix}${rule.field}: ${rule.because}`);
}

/** What the pod asks for and runs without, one text for each field. */
export function unfulfilled(spec: PodSpec, features: RuntimeFeatures): readonly string[] {
  const lists = [
    ["spec.initContainers", spec.initContainers ?? []],
    ["spec.containers", spec.containers ?? []],
    ["spec.ephemeralContainers", spec.ephemeralContainers ?? []],
  ] as const;
  return [
    ...broken(podRules, spec, features, "warned", ""),
    ...lists.flatMap(([path, list]) =>
      list.flatMap((one, index) =>
        broken(containerRules, one, features, "warned", `${path}[${index}].`),
      ),
    ),
  ];
}

/** Throws ContainerConfigError when the container may not run without something it asks for. */
export function refuseUnfulfillable(
  spec: PodSpec,
  container: Container,
  features: RuntimeFeatures,
): void {
  const problems = [
    ...broken(podRules, spec, features, "refused", ""),
    ...broken(containerRules, container, features, "refused", `container ${container.name}: `),
  ];
  if (problems.length > 0) throw new ContainerConfigError(problems.join("; "));
}
