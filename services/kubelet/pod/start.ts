/** From a container of the API to what the runtime is asked to run. */
import { createHash } from "node:crypto";
import type {
  AppArmorProfile,
  Container,
  Pod,
  PodSecurityContext,
  SeccompProfile,
  SecurityContext,
  Service,
} from "../../../proto/gen/core.ts";
import {
  type ContainerConfig,
  ContainerConfigError,
  type ContainerSecurity,
  type Image,
  type SecurityProfile,
} from "../runtime/types.ts";
import { type ConfigSource, containerEnvironment, expand, type PodFacts } from "./environment.ts";
import { oomScoreOf } from "./oom-score.ts";
import { limitsOf } from "./resources.ts";
import { mountsOf } from "./volumes.ts";

/** Throws ContainerConfigError, or what the source throws. */
export async function containerConfig(
  facts: PodFacts,
  container: Container,
  attempt: number,
  volumes: ReadonlyMap<string, string>,
  services: readonly Service[],
  source: ConfigSource,
): Promise<ContainerConfig> {
  const { pod } = facts;
  const own = await containerEnvironment(facts, container, services, source);
  const expandText = (text: string) => expand(text, own);
  const { name = "", volumeMounts = [] } = container;
  const mounts = await mountsOf(volumeMounts, volumes, expandText, pod, name);
  const env = { ...own };
  for (const [volume, path] of volumes) {
    env[`TRIREME_VOLUME_${volume.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`] = path;
  }
  return {
    podUid: pod.metadata?.uid ?? "",
    name,
    attempt,
    image: container.image ?? "",
    command: (container.command ?? []).map(expandText),
    args: (container.args ?? []).map(expandText),
    env,
    workingDir: container.workingDir || undefined,
    mounts,
    ...limitsOf(container.resources ?? {}),
    oomScore: oomScoreOf(pod, container, facts.nodeMemoryBytes),
    security: securityOf(pod.spec?.securityContext ?? {}, container.securityContext ?? {}),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    stopSignal: container.lifecycle?.stopSignal,
    specHash: specHashOf(container),
  };
}

/**
 * Changes when a running container is no longer what the pod asks for. As upstream's it covers the
 * fields that an update may change, so that a newer kubelet does not restart what runs.
 */
export function specHashOf({ name, image }: Container): string {
  return createHash("sha256")
    .update(JSON.stringify([name, image]))
    .digest("hex")
    .slice(0, 16);
}

/**
 * Throws ContainerConfigError for a container that may not run as root and would. `imageUser`: whom
 * the image runs as where the pod does not say; absent: root.
 */
export function checkNonRoot(pod: Pod, container: Container, imageUser: Image["user"]): void {
  const own = container.securityContext ?? {};
  const whole = pod.spec?.securityContext ?? {};
  if (!(own.runAsNonRoot ?? whole.runAsNonRoot)) return;
  const { name, namespace, uid } = pod.metadata ?? {};
  const where = `(pod: "${name}_${namespace}(${uid})", container: ${container.name})`;
  const refuse = (problem: string) => new ContainerConfigError(`${problem} ${where}`);
  const runAsUser = own.runAsUser ?? whole.runAsUser;
  if (runAsUser === 0) throw refuse("container's runAsUser breaks non-root policy");
  if (runAsUser !== undefined) return;
  const { id, name: user } = imageUser ?? { id: 0 };
  if (id === 0) throw refuse("container has runAsNonRoot and image will run as root");
  if (id !== undefined) return;
  const problem = `image has non-numeric user (${user}), cannot verify user is non-root`;
  throw refuse(`container has runAsNonRoot and ${problem}`);
}

/** The container's settings over the pod's. */
function securityOf(pod: PodSecurityContext, own: SecurityContext): ContainerSecurity {
  const runAsUser = own.runAsUser ?? pod.runAsUser;
  const groups = [...(pod.supplementalGroups ?? [])];
  if (pod.fsGroup !== undefined && !groups.includes(pod.fsGroup)) groups.push(pod.fsGroup);
  const names = (list: readonly string[] = []) =>
    list.map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  return {
    runAsUser,
    runAsGroup: own.runAsGroup ?? pod.runAsGroup,
    supplementalGroups: groups,
    addCapabilities: names(own.capabilities?.add),
    dropCapabilities: names(own.capabilities?.drop),
    privileged: own.privileged ?? false,
    readOnlyRootFilesystem: own.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    seccomp: profileOf(own.seccompProfile ?? pod.seccompProfile),
    appArmor: profileOf(own.appArmorProfile ?? pod.appArmorProfile),
  };
}

function profileOf(
  asked: SeccompProfile | AppArmorProfile | undefined,
): SecurityProfile | undefined {
  if (asked === undefined) return undefined;
  return { type: asked.type as SecurityProfile["type"], name: asked.localhostProfile };
}
