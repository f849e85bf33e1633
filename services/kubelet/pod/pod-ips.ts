/** In which order a pod shows its addresses. */
import { sameFamily } from "../node/node-ips.ts";
import type { PodSandbox } from "../runtime/types.ts";

export interface HostIPs {
  readonly hostIP: string;
  /** Of the other family; absent: the node has none. */
  readonly secondHostIP?: string | undefined;
}

export interface PodIPs {
  readonly podIP: string;
  /** Of the other family; absent: the pod has none. */
  readonly secondPodIP?: string | undefined;
}

/**
 * That of the node's primary family first, whatever the runtime's network says (upstream's
 * `sortPodIPs`). A pod on the node's network keeps the address that it began with, and gets the one
 * of the other family as soon as the node has it.
 */
export function podIPsOf(
  sandbox: Pick<PodSandbox, "address" | "secondAddress" | "hostNetwork">,
  { hostIP, secondHostIP }: HostIPs,
): PodIPs {
  const { address, secondAddress, hostNetwork } = sandbox;
  const hosts = hostNetwork ? hostIPList({ hostIP, secondHostIP }) : [];
  const other = hosts.find((host) => !sameFamily(host, address));
  const second = secondAddress ?? other;
  if (second === undefined) return { podIP: address };
  if (hostNetwork || sameFamily(address, hostIP)) return { podIP: address, secondPodIP: second };
  return { podIP: second, secondPodIP: address };
}

/** Both of them, or the one. */
export function podIPList({ podIP, secondPodIP }: PodIPs): readonly string[] {
  return secondPodIP === undefined ? [podIP] : [podIP, secondPodIP];
}

/** Both of them, or the one. */
export function hostIPList({ hostIP, secondHostIP }: HostIPs): readonly string[] {
  return secondHostIP === undefined ? [hostIP] : [hostIP, secondHostIP];
}
