/** From a container of the API to what the runtime is asked to run. */
import { createHash } from "node:crypto";
import type {
  Container,
  PodSecurityContext,
  SecurityContext,
  Service,
} from "../../../proto/gen/core.ts";
import {
  type ContainerConfig,
  ContainerConfigError,
  type ContainerSecurity,
} from "../runtime/types.ts";
import { type ConfigSource, containerEnvironment, expand, type PodFacts } from "./environment.ts";
import { oomScoreOf } from "./oom-score.ts";
import { limitsOf } from "./resources.ts";
import { mountsOf, readOnlyVolumes } from "./volumes.ts";

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
  const readOnly = readOnlyVolumes(pod);
  const { name = "", volumeMounts = [] } = container;
  const mounts = await mountsOf(volumeMounts, volumes, expandText, readOnly, name);
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

/** The container's settings over the pod's. Throws ContainerConfigError. */
function securityOf(pod: PodSecurityContext, own: SecurityContext): ContainerSecurity {
  const runAsUser = own.runAsUser ?? pod.runAsUser;
  const runsAsRoot = runAsUser === 0 || (runAsUser === undefined && process.getuid?.() === 0);
  if ((own.runAsNonRoot ?? pod.runAsNonRoot) && runsAsRoot) {
    throw new ContainerConfigError("container has runAsNonRoot and would run as root");
  }
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
  };
}
