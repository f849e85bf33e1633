/** The groups of the API in the order in which clients look through them. */
import type { Registry } from "../../kinds/mod.ts";

export interface ServedGroup {
  /** "": the core group. */
  readonly name: string;
  /** The preferred one first. */
  readonly versions: readonly string[];
  readonly preferred: string;
}

/**
 * Upstream's priorities of its own groups (kube-aggregator `apiServicePriorities`); every other
 * group, such as those of custom resources, comes after them.
 */
const priorities: Readonly<Record<string, number>> = {
  "": 18_000,
  "apiregistration.k8s.io": 18_000,
  "events.k8s.io": 17_750,
  "authentication.k8s.io": 17_700,
  "authorization.k8s.io": 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  "certificates.k8s.io": 17_300,
  "networking.k8s.io": 17_200,
  policy: 17_100,
  "rbac.authorization.k8s.io": 17_000,
  "storage.k8s.io": 16_800,
  "apiextensions.k8s.io": 16_700,
  "admissionregistration.k8s.io": 16_700,
  "scheduling.k8s.io": 16_600,
  "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300,
  "discovery.k8s.io": 16_200,
  "resource.k8s.io": 16_200,
  "flowcontrol.apiserver.k8s.io": 16_100,
  apps: 17_800,
  // As the manifest of upstream's metrics server has it.
  "metrics.k8s.io": 100,
};
const otherPriority = 1_000;

export function groupsOf(registry: Registry): ServedGroup[] {
  const versions = new Map<string, Set<string>>();
  for (const { group, version } of registry) {
    const known = versions.get(group);
    if (known === undefined) versions.set(group, new Set([version]));
    else known.add(version);
  }
  return [...versions]
    .map(([name, found]) => {
      const sorted = [...found].sort(byVersion);
      return { name, versions: sorted, preferred: sorted[0] ?? "" };
    })
    .sort(byPriority);
}

function byPriority(one: ServedGroup, other: ServedGroup): number {
  if (one.name === "" || other.name === "") return one.name === "" ? -1 : 1;
  const difference = priorityOf(other) - priorityOf(one);
  if (difference !== 0) return difference;
  return one.name < other.name ? -1 : 1;
}

function priorityOf({ name }: ServedGroup): number {
  return groupPriority(name);
}

/** The higher one comes first. */
export function groupPriority(name: string): number {
  return Object.hasOwn(priorities, name) ? (priorities[name] ?? otherPriority) : otherPriority;
}

const kubeVersion = /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/;
const stability = { alpha: 1, beta: 2, stable: 3 } as const;

/**
 * The most stable and newest one first; what is no version of Kubernetes' form comes last, by its
 * name (apimachinery `version.CompareKubeAwareVersionStrings`).
 */
export function byVersion(one: string, other: string): number {
  const [left, right] = [kubeVersion.exec(one), kubeVersion.exec(other)];
  if (left === null || right === null) {
    if (left === null && right === null) return one < other ? -1 : one > other ? 1 : 0;
    return left === null ? 1 : -1;
  }
  const rank = (match: RegExpExecArray) =>
    stability[(match[2] ?? "stable") as keyof typeof stability];
  if (rank(left) !== rank(right)) return rank(right) - rank(left);
  if (left[1] !== right[1]) return Number(right[1]) - Number(left[1]);
  return Number(right[3] ?? 0) - Number(left[3] ?? 0);
}
