/** Security settings of pods and containers (upstream `ValidateSecurityContext` and its like). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
} from "../../../../proto/gen/core.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
} from "../../machinery/causes.ts";
import { oneOf, relativePath } from "./field-checks.ts";

const idMax = 2 ** 31 - 1;
const profileTypes = ["Localhost", "RuntimeDefault", "Unconfined"];
const profileLengthMax = 4_095;
const sysctlLengthMax = 253;
const segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const sysctlPattern = `^(${segment}[\\./])*${segment}$`;
const sysctlExpression = new RegExp(sysctlPattern);

export function validatePodSecurity(spec: PodSpec, path: string): FieldCause[] {
  const context = spec.securityContext;
  const at = `${path}.securityContext`;
  const causes: FieldCause[] = [];
  if (context !== undefined) causes.push(...validatePodContext(context, at));
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    // Upstream keeps this field in the security context, hence the path.
    const detail = "ShareProcessNamespace and HostPID cannot both be enabled";
    causes.push(invalid(`${at}.shareProcessNamespace`, true, detail));
  }
  return [...causes, ...validateSysctls(spec, `${at}.sysctls`)];
}

/** Who has user identities of its own shares no other kernel namespace with the node. */
export function validateHostUsers(spec: PodSpec, path: string): FieldCause[] {
  if (spec.hostUsers !== false) return [];
  return (["hostNetwork", "hostPID", "hostIPC"] as const)
    .filter((name) => spec[name] === true)
    .map((name) => forbidden(`${path}.${name}`, "when `hostUsers` is false"));
}

function validatePodContext(context: PodSecurityContext, path: string): FieldCause[] {
  return [
    ...validateId(context.fsGroup, `${path}.fsGroup`),
    ...validateIdentity(context, path),
    ...(context.supplementalGroups ?? []).flatMap((group, index) =>
      validateId(group, `${path}.supplementalGroups[${index}]`),
    ),
    ...oneOf(
      context.fsGroupChangePolicy,
      ["Always", "OnRootMismatch"],
      `${path}.fsGroupChangePolicy`,
    ),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
    ...oneOf(
      context.supplementalGroupsPolicy,
      ["Merge", "Strict"],
      `${path}.supplementalGroupsPolicy`,
    ),
    ...oneOf(
      context.seLinuxChangePolicy,
      ["MountOption", "Recursive"],
      `${path}.seLinuxChangePolicy`,
    ),
    ...withoutWindows(context, path),
  ];
}

/** `hostUsers`: whether the pod uses the user namespace of its node, as by default. */
export function validateContainerSecurity(
  context: SecurityContext,
  path: string,
  hostUsers: boolean,
): FieldCause[] {
  const causes = [
    ...validateIdentity(context, path),
    ...oneOf(context.procMount, ["Default", "Unmasked"], `${path}.procMount`),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
    ...withoutWindows(context, path),
  ];
  if (context.procMount === "Unmasked" && hostUsers) {
    const detail = "`hostUsers` must be false to use `Unmasked`";
    causes.push(invalid(`${path}.procMount`, context.procMount, detail));
  }
  if (context.allowPrivilegeEscalation !== false) return causes;
  if (context.privileged === true) {
    const detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
    causes.push(invalid(path, shownContext(context), detail));
  }
  if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) {
    const detail =
      "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
    causes.push(invalid(path, shownContext(context), detail));
  }
  return causes;
}

function validateIdentity(
  { runAsUser, runAsGroup }: SecurityContext | PodSecurityContext,
  path: string,
): FieldCause[] {
  return [
    ...validateId(runAsUser, `${path}.runAsUser`),
    ...validateId(runAsGroup, `${path}.runAsGroup`),
  ];
}

/** Of a user or a group. */
export function validateId(id: number | undefined, path: string): FieldCause[] {
  if (id === undefined || (id >= 0 && id <= idMax)) return [];
  return [invalid(path, id, `must be between 0 and ${idMax}, inclusive`)];
}

function withoutWindows(context: SecurityContext | PodSecurityContext, path: string): FieldCause[] {
  if (context.windowsOptions === undefined) return [];
  const detail = "windows options cannot be set for a linux pod";
  return [forbidden(`${path}.windowsOptions`, detail)];
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldCause[] {
  if (profile === undefined) return [];
  const { type = "", localhostProfile } = profile;
  const field = `${path}.localhostProfile`;
  const causes: FieldCause[] = [];
  if (type === "") {
    causes.push(required(`${path}.type`, "type is required when seccompProfile is set"));
  } else causes.push(...oneOf(type, profileTypes, `${path}.type`));
  if (type !== "Localhost") {
    if (localhostProfile === undefined) return causes;
    const detail = "can only be set when seccomp type is Localhost";
    return [...causes, invalid(field, shownProfile(profile), detail)];
  }
  if (localhostProfile === undefined) {
    return [...causes, required(field, "must be set when seccomp type is Localhost")];
  }
  return [...causes, ...relativePath(localhostProfile, field)];
}

/** As upstream's messages show a profile: its fields bear the names that they have in its code. */
function shownProfile(profile: SeccompProfile | undefined) {
  if (profile === undefined) return null;
  return { Type: profile.type ?? "", LocalhostProfile: profile.localhostProfile ?? null };
}

function shownContext(context: SecurityContext) {
  const { capabilities, seLinuxOptions: label, seccompProfile, appArmorProfile } = context;
  return {
    Capabilities: capabilities
      ? { Add: capabilities.add ?? null, Drop: capabilities.drop ?? null }
      : null,
    Privileged: context.privileged ?? null,
    SELinuxOptions: label
      ? {
          User: label.user ?? "",
          Role: label.role ?? "",
          Type: label.type ?? "",
          Level: label.level ?? "",
        }
      : null,
    WindowsOptions: context.windowsOptions ?? null,
    RunAsUser: context.runAsUser ?? null,
    RunAsGroup: context.runAsGroup ?? null,
    RunAsNonRoot: context.runAsNonRoot ?? null,
    ReadOnlyRootFilesystem: context.readOnlyRootFilesystem ?? null,
    AllowPrivilegeEscalation: context.allowPrivilegeEscalation ?? null,
    ProcMount: context.procMount ?? null,
    SeccompProfile: shownProfile(seccompProfile),
    AppArmorProfile: shownProfile(appArmorProfile),
  };
}

function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldCause[] {
  if (profile === undefined) return [];
  const { type = "", localhostProfile } = profile;
  const field = `${path}.localhostProfile`;
  if (type === "") {
    return [required(`${path}.type`, "type is required when appArmorProfile is set")];
  }
  if (!profileTypes.includes(type)) return [notSupported(`${path}.type`, type, profileTypes)];
  if (type !== "Localhost") {
    if (localhostProfile === undefined) return [];
    return [invalid(field, localhostProfile, "can only be set when AppArmor type is Localhost")];
  }
  const text = localhostProfile ?? "";
  const causes: FieldCause[] = [];
  if (text !== text.trim()) {
    causes.push(invalid(field, text, "must not be padded with whitespace"));
  } else if (text === "") {
    causes.push(required(field, "must be set when AppArmor type is Localhost"));
  }
  if (text.length > profileLengthMax) causes.push(tooLong(field, profileLengthMax));
  return causes;
}

function validateSysctls(spec: PodSpec, path: string): FieldCause[] {
  const names = new Set<string>();
  return (spec.securityContext?.sysctls ?? []).flatMap(({ name = "" }, index) => {
    const at = `${path}[${index}].name`;
    const causes: FieldCause[] = [];
    if (name === "") causes.push(required(at));
    else if (name.length > sysctlLengthMax || !sysctlExpression.test(name)) {
      const detail = `must have at most ${sysctlLengthMax} characters and match regex ${sysctlPattern}`;
      causes.push(invalid(at, name, detail));
    } else if (names.has(name)) causes.push(duplicate(at, name));
    names.add(name);
    const shared = namespaceOf(name);
    if (shared !== undefined && spec[shared] === true) {
      causes.push(invalid(at, name, `may not be specified when '${shared}' is true`));
    }
    return causes;
  });
}

/** The field that would share the kernel namespace of a sysctl with the node. */
function namespaceOf(sysctl: string): "hostNetwork" | "hostIPC" | undefined {
  const name = sysctl.replaceAll("/", ".");
  if (name.startsWith("net.")) return "hostNetwork";
  return /^(kernel\.shm|kernel\.msg|kernel\.sem$|fs\.mqueue\.)/.test(name) ? "hostIPC" : undefined;
}
