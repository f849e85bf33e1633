import type { Container, Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../client/mod.ts";
import { bytes, cpuMillis, parseTime } from "../kinds/mod.ts";

/** An earlier deadline is scheduled first among pods of one priority; an RFC 3339 time. */
export const deadlineAnnotation = "scheduler.trireme.io/deadline";

/** Amounts by resource: cpu in thousandths, everything else in whole units. */
export type Amounts = Readonly<Record<string, number>>;

export interface HostPort {
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

/** A pod with what the scheduler asks of it over and over, computed once. */
export interface PodInfo {
  readonly key: string;
  readonly pod: Pod;
  readonly priority: number;
  /** Unix milliseconds; Infinity without a deadline. */
  readonly deadlineMillis: number;
  readonly requests: Amounts;
  /** cpu and memory with a stand-in where nothing is requested, so that such pods spread too. */
  readonly scoredRequests: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  /** uid of the controller that made the pod. */
  readonly ownerUid: string | undefined;
}

/** Upstream's `DefaultMilliCPURequest` and `DefaultMemoryRequest`. */
const standIn = { cpu: 100, memory: 200 * 1024 * 1024 } as const;

export function podInfo(pod: Pod): PodInfo {
  const requests = podRequests(pod);
  const deadline = parseTime(pod.metadata?.annotations?.[deadlineAnnotation]);
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller);
  return {
    key: keyOf(pod),
    pod,
    priority: pod.spec?.priority ?? 0,
    deadlineMillis: deadline ?? Number.POSITIVE_INFINITY,
    requests,
    scoredRequests: {
      cpu: requests["cpu"] || standIn.cpu,
      memory: requests["memory"] || standIn.memory,
    },
    hostPorts: hostPorts(pod),
    ownerUid: owner?.uid,
  };
}

export function amount(resource: string, quantity: string): number {
  return resource === "cpu" ? cpuMillis(quantity) : bytes(quantity);
}

export function amounts(quantities: Readonly<Record<string, string>> | undefined): Amounts {
  const result: Record<string, number> = {};
  for (const [resource, quantity] of Object.entries(quantities ?? {})) {
    result[resource] = amount(resource, quantity);
  }
  return result;
}

/**
 * What the scheduler sets aside: the containers' sum or, if larger, the largest init container on
 * top of the sidecars before it; plus the overhead (KEP-753 for sidecars).
 */
function podRequests(pod: Pod): Amounts {
  const running: Record<string, number> = {};
  for (const container of pod.spec?.containers ?? []) add(running, requestsOf(container));
  const sidecars: Record<string, number> = {};
  const initial: Record<string, number> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const requests = requestsOf(container);
    if (container.restartPolicy === "Always") {
      add(sidecars, requests);
      add(running, requests);
      raise(initial, sidecars);
    } else {
      const peak = { ...sidecars };
      add(peak, requests);
      raise(initial, peak);
    }
  }
  raise(running, initial);
  for (const [resource, value] of Object.entries(amounts(pod.spec?.resources?.requests))) {
    running[resource] = value;
  }
  add(running, amounts(pod.spec?.overhead));
  return running;
}

function requestsOf(container: Container): Amounts {
  return { ...amounts(container.resources?.limits), ...amounts(container.resources?.requests) };
}

function add(total: Record<string, number>, more: Amounts): void {
  for (const [resource, value] of Object.entries(more)) {
    total[resource] = (total[resource] ?? 0) + value;
  }
}

function raise(total: Record<string, number>, floor: Amounts): void {
  for (const [resource, value] of Object.entries(floor)) {
    total[resource] = Math.max(total[resource] ?? 0, value);
  }
}

function hostPorts(pod: Pod): HostPort[] {
  const found: HostPort[] = [];
  for (const container of pod.spec?.containers ?? []) {
    for (const { hostPort, containerPort, hostIP, protocol } of container.ports ?? []) {
      const port = pod.spec?.hostNetwork ? (hostPort ?? containerPort) : hostPort;
      if (!port) continue;
      found.push({ address: hostIP || "0.0.0.0", protocol: protocol || "TCP", port });
    }
  }
  return found;
}
