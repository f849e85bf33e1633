/** From a container of the API to what the runtime is asked to run. */
import { createHash } from "node:crypto";
import type { Container, Service } from "../../../proto/gen/core.ts";
import { type ContainerConfig, ContainerConfigError } from "../runtime/types.ts";
import { type ConfigSource, containerEnvironment, expand, type PodFacts } from "./environment.ts";
import { millisOf, unitsOf } from "./resources.ts";
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
  const mounts = await mountsOf(container.volumeMounts ?? [], volumes, expandText);
  const env = { ...own };
  for (const [name, path] of volumes) {
    env[`TRIREME_VOLUME_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`] = path;
  }
  const limits = container.resources?.limits ?? {};
  const memory = unitsOf(limits["memory"]);
  const cpu = millisOf(limits["cpu"]);
  const podContext = pod.spec?.securityContext ?? {};
  const context = container.securityContext ?? {};
  const runAsUser = context.runAsUser ?? podContext.runAsUser;
  const runsAsRoot = runAsUser === 0 || (runAsUser === undefined && process.getuid?.() === 0);
  if ((context.runAsNonRoot ?? podContext.runAsNonRoot) && runsAsRoot) {
    throw new ContainerConfigError("container has runAsNonRoot and would run as root");
  }
  return {
    podUid: pod.metadata?.uid ?? "",
    name: container.name ?? "",
    attempt,
    image: container.image ?? "",
    command: (container.command ?? []).map(expandText),
    args: (container.args ?? []).map(expandText),
    env,
    workingDir: container.workingDir || undefined,
    mounts,
    memoryLimitBytes: memory > 0 ? memory : undefined,
    cpuLimitMillis: cpu > 0 ? cpu : undefined,
    security: { runAsUser, runAsGroup: context.runAsGroup ?? podContext.runAsGroup, supplementalGroups: podContext.supplementalGroups },
    stopSignal: container.lifecycle?.stopSignal,
    specHash: createHash("sha256").update(JSON.stringify(container)).digest("hex").slice(0, 16),
  };
}
