import type { Pod } from "../../../proto/gen/core.ts";
import {
  type Cycle,
  on,
  type Plugin,
  type Refusal,
  refuse,
  refuseForGood,
} from "../framework/mod.ts";
import type { PodInfo } from "../pod-info.ts";
import type { Snapshot } from "../snapshot.ts";

/** The group's name, the same on all its pods; a group is within one namespace. */
export const podGroupLabel = "scheduling.x-k8s.io/pod-group";
/** So many pods of the group get nodes at once, or none does. Absent: 1, so that each goes alone. */
export const minMemberAnnotation = "trireme.dev/pod-group-min-member";
/** A group that has no nodes after so many seconds says so in an event. Absent: 60. */
export const groupTimeoutAnnotation = "trireme.dev/pod-group-timeout-seconds";

const limits = {
  [minMemberAnnotation]: { absent: 1, most: 5_000 },
  [groupTimeoutAnnotation]: { absent: 60, most: 86_400 },
} as const;

export interface PodGroup {
  /** Of the group among all namespaces. */
  readonly key: string;
  readonly name: string;
  readonly minMember: number;
  readonly timeoutMillis: number;
}

/** Refuses pods whose group is not complete; that all go at once is the scheduler's own work. */
export const podGroups: Plugin = {
  name: "PodGroups",
  events: [
    on("Pod", ["pending", "added", "updated", "deleted"], isOfGroup),
    // What a pod of the group was refused for holds for the others.
    on("Pod", ["deleted"]),
    on("Node", ["added", "updated"]),
  ],
  preFilter(cycle) {
    const group = groupOf(cycle.pod);
    if (group === undefined) return { skip: true };
    if ("reasons" in group) return { refusal: group };
    const { name, minMember } = group;
    const members = membersOf(cycle, name);
    if (members >= minMember) return undefined;
    const text = `pod group ${JSON.stringify(name)} has ${members} of the ${minMember} pods it needs`;
    return { refusal: refuse(text) };
  },
};

function isOfGroup(
  { labels, namespace }: PodInfo,
  { previous, next }: { readonly previous?: Pod | undefined; readonly next?: Pod | undefined },
): boolean {
  const other = (next ?? previous)?.metadata;
  const name = labels[podGroupLabel];
  if (!name) return false;
  return other?.namespace === namespace && other?.labels?.[podGroupLabel] === name;
}

/** A refusal names the annotation that is wrong. */
export function groupOf({ labels, namespace, pod }: PodInfo): PodGroup | Refusal | undefined {
  const name = labels[podGroupLabel];
  if (!name) return undefined;
  const annotations = pod.metadata?.annotations ?? {};
  const minMember = wholeNumber(annotations, minMemberAnnotation);
  if (typeof minMember !== "number") return minMember;
  const seconds = wholeNumber(annotations, groupTimeoutAnnotation);
  if (typeof seconds !== "number") return seconds;
  return { key: `${namespace}/${name}`, name, minMember, timeoutMillis: seconds * 1_000 };
}

function wholeNumber(
  annotations: Readonly<Record<string, string>>,
  name: keyof typeof limits,
): number | Refusal {
  const text = annotations[name];
  const { absent, most } = limits[name];
  if (text === undefined) return absent;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  const problem = `Invalid value: ${JSON.stringify(text)}: must be a whole number in 1..${most}`;
  return refuseForGood(`metadata.annotations[${name}]: ${problem}`);
}

/** Pods of the group that exist and are not being deleted. */
function membersOf({ pod, snapshot }: Cycle, name: string): number {
  let members = 0;
  for (const { metadata } of snapshot.workloads.pods(pod.namespace)) {
    if (metadata?.labels?.[podGroupLabel] === name && !metadata.deletionTimestamp) members++;
  }
  return members;
}

/** Pods of the group that have a node. */
export function placedOf(snapshot: Snapshot, { namespace, labels: own }: PodInfo): number {
  let placed = 0;
  for (const { labels, terminating, nodes } of snapshot.podSets.inNamespace(namespace)) {
    if (labels[podGroupLabel] !== own[podGroupLabel] || terminating) continue;
    for (const count of nodes.values()) placed += count;
  }
  return placed;
}
