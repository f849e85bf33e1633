import type { Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../client/mod.ts";
import { hostPortsOf, parseTime, podRequests } from "../kinds/facts.ts";
import type { HostPort, ResourceAmounts } from "../kinds/mod.ts";
import { type Labels, type PodRules, podRules } from "./pod-terms.ts";

/** Among pods of one priority the earlier deadline is scheduled first; an RFC 3339 time. */
export const deadlineAnnotation = "trireme.dev/deadline";

/** So many seconds the pod is expected to run: its deadline must leave that time. */
export const durationAnnotation = "trireme.dev/expected-duration-seconds";

const noLabels: Labels = {};

/** A pod with what the scheduler asks of it over and over, computed once. */
export interface PodInfo {
  readonly key: string;
  readonly pod: Pod;
  readonly namespace: string;
  readonly labels: Labels;
  /** What the pod says about pods near it. */
  readonly rules: PodRules;
  /** Equal for pods of one namespace with the same labels and rules, such as those of a template. */
  readonly setKey: string;
  readonly priority: number;
  /** Unix milliseconds; Infinity without a deadline. */
  readonly deadlineMillis: number;
  readonly requests: ResourceAmounts;
  /** `requests` that are more than nothing, pods apart: what must fit into a node. */
  readonly wanted: readonly (readonly [resource: string, amount: number])[];
  /** The same of cpu and memory; `others`: there is more that it wants. */
  readonly wants: { readonly cpu: number; readonly memory: number; readonly others: boolean };
  /** cpu and memory with a stand-in where nothing is requested, so that such pods spread too. */
  readonly scoredRequests: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  /** uid of the controller that made the pod. */
  readonly ownerUid: string | undefined;
}

/** Upstream's `DefaultMilliCPURequest` and `DefaultMemoryRequest`. */
const standIn = { cpu: 100, memory: 200 * 1024 * 1024 } as const;

const known = new WeakMap<Pod, PodInfo>();

/** Remembered for each copy of a pod; such a copy never changes. */
export function podInfo(pod: Pod): PodInfo {
  let info = known.get(pod);
  if (info === undefined) {
    info = compute(pod);
    known.set(pod, info);
  }
  return info;
}

/** Of a newer copy of the same pod, which differs in nothing that is computed. */
export function withCopy(info: PodInfo, pod: Pod): PodInfo {
  const newer = { ...info, pod };
  known.set(pod, newer);
  return newer;
}

function compute(pod: Pod): PodInfo {
  const { labels = noLabels, namespace = "", deletionTimestamp } = pod.metadata ?? {};
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  const requests = podRequests(pod);
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller);
  const { cpu = 0, memory = 0, pods: _, ...others } = requests;
  return {
    key: keyOf(pod),
    pod,
    namespace,
    labels,
    rules: podRules(pod),
    setKey: JSON.stringify([namespace, !deletionTimestamp, labels, podAffinity, podAntiAffinity]),
    priority: pod.spec?.priority ?? 0,
    deadlineMillis: deadlineOf(pod),
    requests,
    wanted: Object.entries(requests).filter(([name, value]) => value > 0 && name !== "pods"),
    wants: { cpu, memory, others: Object.values(others).some((value) => value > 0) },
    scoredRequests: {
      cpu: requests["cpu"] || standIn.cpu,
      memory: requests["memory"] || standIn.memory,
    },
    hostPorts: hostPortsOf(pod),
    ownerUid: owner?.uid,
  };
}

/** The stated one; else when a pod of limited life would end if it started when it was created. */
function deadlineOf({ metadata, spec }: Pod): number {
  const stated = metadata?.annotations?.[deadlineAnnotation];
  if (stated !== undefined) return parseTime(stated) ?? Number.POSITIVE_INFINITY;
  const seconds = spec?.activeDeadlineSeconds;
  const created = parseTime(metadata?.creationTimestamp);
  if (seconds === undefined || created === undefined) return Number.POSITIVE_INFINITY;
  return created + seconds * 1_000;
}
