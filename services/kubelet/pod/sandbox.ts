/** From a pod of the API to the sandbox that the runtime is asked for. */
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodAddresses } from "../node/pod-ranges.ts";
import type { ContainerRuntime, PodSandboxConfig, PortMapping } from "../runtime/types.ts";
import { type ClusterDns, dnsOf, podHostname, withinLimits } from "./network-files.ts";

const nodeResolvConf = "/etc/resolv.conf";

/** `tell`: what the pod asks of its names beyond what a resolver takes. */
export function sandboxConfig(
  pod: Pod,
  { address, secondAddress }: PodAddresses,
  cluster: ClusterDns,
  tell: (problem: string) => void,
): PodSandboxConfig {
  const { metadata, spec } = pod;
  const asked = dnsOf(pod, cluster, nodeResolvConf);
  const dns = asked && withinLimits(asked, tell);
  const shared = spec?.shareProcessNamespace ?? false;
  return {
    uid: metadata?.uid ?? "",
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    hostname: podHostname(pod, cluster.domain),
    address,
    secondAddress,
    hostNetwork: spec?.hostNetwork ?? false,
    dns,
    portMappings: portMappings(pod),
    security: {
      network: spec?.hostNetwork ? "node" : "pod",
      pid: spec?.hostPID ? "node" : shared ? "pod" : "container",
      ipc: spec?.hostIPC ? "node" : "pod",
      sysctls: Object.fromEntries(
        (spec?.securityContext?.sysctls ?? []).map(({ name = "", value = "" }) => [name, value]),
      ),
    },
  };
}

/** Ports of the node that lead to the pod; a pod on the node's network has none to map. */
export function portMappings(pod: Pod): readonly PortMapping[] {
  const { containers = [], initContainers = [], hostNetwork } = pod.spec ?? {};
  if (hostNetwork) return [];
  return [...initContainers, ...containers].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, containerPort = 0, protocol, hostIP }): PortMapping[] => {
      if (hostPort === undefined || hostPort === 0) return [];
      const kind = protocol === "UDP" || protocol === "SCTP" ? protocol : "TCP";
      return [{ protocol: kind, containerPort, hostPort, hostIP }];
    }),
  );
}

/**
 * True while an earlier pod of the same name still runs here: its object was deleted by force, for
 * example while the node was cut off. The name stands for one pod at a time, and so may its volumes.
 */
export function hasPredecessor({ metadata = {} }: Pod, runtime: ContainerRuntime): boolean {
  const { name, namespace, uid } = metadata;
  return runtime.sandboxes().some((one) => {
    if (one.name !== name || one.namespace !== namespace || one.uid === uid) return false;
    const runs = runtime.containers(one.uid);
    return one.state === "ready" || runs.some(({ state }) => state !== "exited");
  });
}
