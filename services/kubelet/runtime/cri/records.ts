/**
 * What a runtime keeps for the kubelet with each sandbox and container, as labels and annotations:
 * from them a kubelet that comes back knows its pods. Names in `io.kubernetes` are upstream's.
 */
import {
  type ContainerStatus,
  type Container as CriContainer,
  type PodSandbox as CriSandbox,
  type PodSandboxNetworkStatus,
  PodSandboxState,
  ContainerState as State,
} from "../../../../proto/gen/cri.ts";
import { sameFamily } from "../../node/node-ips.ts";
import type { Container, ContainerConfig, PodSandbox, PodSandboxConfig } from "../types.ts";

const label = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  container: "io.kubernetes.container.name",
} as const;
const annotation = {
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  image: "trireme.dev/image",
  sandbox: "trireme.dev/sandbox",
} as const;

type Texts = { [key: string]: string };

export function sandboxLabels(config: PodSandboxConfig): Texts {
  return {
    [label.podName]: config.name,
    [label.podNamespace]: config.namespace,
    [label.podUid]: config.uid,
  };
}

export function sandboxAnnotations(config: PodSandboxConfig): Texts {
  return { [annotation.sandbox]: JSON.stringify(config) };
}

export function containerLabels(sandbox: PodSandboxConfig, config: ContainerConfig): Texts {
  return { ...sandboxLabels(sandbox), [label.container]: config.name };
}

export function containerAnnotations(config: ContainerConfig): Texts {
  return {
    [annotation.hash]: config.specHash,
    [annotation.restartCount]: String(config.attempt),
    [annotation.image]: config.image,
  };
}

/** A sandbox as the runtime knows it; a pod may have several, of which the last is its own. */
export interface KnownSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly sandbox: PodSandbox;
}

export type SandboxAddresses = Pick<PodSandbox, "address" | "secondAddress">;

/** What the network gave, or what was asked for where it gave nothing: pods on the node's own. */
export function addressesOf(
  network: PodSandboxNetworkStatus | undefined,
  { address, secondAddress }: SandboxAddresses,
): SandboxAddresses {
  const given = network?.ip || undefined;
  if (given === undefined) return { address, secondAddress };
  const others = (network?.additionalIps ?? []).flatMap(({ ip }) => ip || []);
  return { address: given, secondAddress: others.find((other) => !sameFamily(other, given)) };
}

/** Undefined: it is not a kubelet's, or was made by a program that keeps other notes. */
export function knownSandbox(
  item: CriSandbox,
  { address, secondAddress }: SandboxAddresses,
): KnownSandbox | undefined {
  const { id = "", metadata, annotations = {}, createdAt = 0n } = item;
  const config = storedConfig(annotations[annotation.sandbox]);
  const uid = item.labels?.[label.podUid];
  if (id === "" || uid === undefined) return undefined;
  const { name = "", namespace = "", attempt = 0 } = metadata ?? {};
  const basic = { uid, name, namespace, hostname: name, address: "", hostNetwork: false };
  const known = { ...basic, ...config, uid };
  const ready = item.state === undefined || item.state === PodSandboxState.SANDBOX_READY;
  return {
    id,
    attempt,
    sandbox: {
      ...known,
      ...(address !== "" && { address, secondAddress }),
      state: ready ? "ready" : "stopped",
      createdAt: millis(createdAt) ?? 0,
    },
  };
}

function storedConfig(text: string | undefined): Partial<PodSandboxConfig> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {}; // another program's note under our name: the labels say enough to end the pod
  }
}

/** A container as the runtime knows it. */
export interface KnownContainer {
  readonly sandboxId: string;
  readonly logPath: string;
  readonly container: Container;
}

/** The uid of the pod that the container belongs to; undefined: of none. */
export function podUidOf(item: Pick<CriContainer, "labels">): string | undefined {
  return item.labels?.[label.podUid];
}

export function knownContainer(item: CriContainer, status: ContainerStatus): KnownContainer {
  const { id = "", podSandboxId = "", metadata, annotations = {}, labels = {} } = item;
  const attempt = Number(annotations[annotation.restartCount] ?? metadata?.attempt ?? 0);
  const end = outcome(status);
  const container: Container = {
    id,
    podUid: labels[label.podUid] ?? "",
    name: labels[label.container] ?? metadata?.name ?? "",
    attempt,
    image: annotations[annotation.image] ?? item.image?.image ?? "",
    imageId: status.imageRef || item.imageRef || "",
    specHash: annotations[annotation.hash] ?? "",
    createdAt: millis(status.createdAt ?? item.createdAt) ?? 0,
    startedAt: startOf(status, end.finishedAt),
    ...end,
  };
  return { sandboxId: podSandboxId, logPath: status.logPath ?? "", container };
}

type Outcome = Pick<Container, "state" | "finishedAt" | "exitCode" | "reason" | "message">;

function outcome(status: ContainerStatus): Outcome {
  const state = status.state ?? State.CONTAINER_CREATED;
  if (state === State.CONTAINER_CREATED) return { state: "created" };
  if (state === State.CONTAINER_RUNNING) return { state: "running" };
  const lost = state === State.CONTAINER_UNKNOWN || status.reason === "Unknown";
  const exitCode = lost ? 137 : (status.exitCode ?? 0);
  const ending = exitCode === 0 ? "Completed" : "Error";
  return {
    state: "exited",
    finishedAt: millis(status.finishedAt) ?? Date.now(),
    exitCode,
    reason: lost ? "ContainerStatusUnknown" : status.reason || ending,
    message: status.message || undefined,
  };
}

/**
 * A runtime notes the start once it has heard of it, and the end by the program's own exit: of one
 * that ends at once, the end may be the earlier note.
 */
function startOf({ startedAt }: ContainerStatus, finishedAt = Number.POSITIVE_INFINITY) {
  const noted = millis(startedAt);
  return noted === undefined ? undefined : Math.min(noted, finishedAt);
}

/** Nanoseconds to milliseconds; 0 is no time. */
function millis(nanoseconds: bigint | undefined): number | undefined {
  if (nanoseconds === undefined || nanoseconds <= 0n) return undefined;
  return Number(nanoseconds / 1_000_000n);
}
