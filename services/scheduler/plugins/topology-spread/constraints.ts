/** The spread constraints of a pod, parsed; those of the system where it has none. */
import type { TopologySpreadConstraint } from "../../../../proto/gen/core.ts";
import type { LabelSelector } from "../../../../proto/gen/meta.ts";
import { matchesLabels, selectorOf, selectsNode, tolerates } from "../../../kinds/facts.ts";
import type { Cycle } from "../../framework/mod.ts";
import type { NodeInfo } from "../../node-info.ts";
import type { PodInfo } from "../../pod-info.ts";
import type { PodSet } from "../../pod-sets.ts";
import type { WorkloadLookup } from "../../workload-lookup.ts";

type Selector = ReturnType<typeof selectorOf>;

export const hostname = "kubernetes.io/hostname";

export interface Constraint {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly selector: Selector;
  /** Nodes that the pod's own selectors exclude do not count. */
  readonly honorsAffinity: boolean;
  /** Nodes whose taints the pod does not tolerate do not count. */
  readonly honorsTaints: boolean;
}

export function constraintsOf(
  pod: PodInfo,
  whenUnsatisfiable: "DoNotSchedule" | "ScheduleAnyway",
): readonly Constraint[] {
  const all = pod.pod.spec?.topologySpreadConstraints ?? [];
  return all
    .filter((constraint) => constraint.whenUnsatisfiable === whenUnsatisfiable)
    .map((constraint) => parse(constraint, pod));
}

function parse(constraint: TopologySpreadConstraint, pod: PodInfo): Constraint {
  const { topologyKey = "", maxSkew = 1, minDomains = 1, labelSelector } = constraint;
  const { nodeAffinityPolicy = "Honor", nodeTaintsPolicy = "Ignore" } = constraint;
  const selector = selectorOf(labelSelector);
  const added = (constraint.matchLabelKeys ?? []).flatMap((key) => {
    const value = pod.labels[key];
    return value === undefined ? [] : { key, operator: "=" as const, values: [value] };
  });
  return {
    topologyKey,
    maxSkew,
    minDomains,
    selector: { ...selector, requirements: [...selector.requirements, ...added] },
    honorsAffinity: nodeAffinityPolicy === "Honor",
    honorsTaints: nodeTaintsPolicy === "Honor",
  };
}

/** Upstream's `systemDefaultConstraints`; they only give points. */
const systemConstraints = [
  { topologyKey: hostname, maxSkew: 3 },
  { topologyKey: "topology.kubernetes.io/zone", maxSkew: 5 },
] as const;

/** For a pod that states no constraints: of the pods of its services and of its owner. */
export function defaultConstraints(pod: PodInfo, lookup: WorkloadLookup): readonly Constraint[] {
  const selector = defaultSelector(pod, lookup);
  if (selector.requirements.length === 0) return [];
  return systemConstraints.map((constraint) => ({
    ...constraint,
    minDomains: 1,
    selector,
    honorsAffinity: true,
    honorsTaints: false,
  }));
}

function defaultSelector({ pod, namespace, labels }: PodInfo, lookup: WorkloadLookup): Selector {
  const matchLabels: Record<string, string> = {};
  for (const { spec } of lookup.services(namespace)) {
    const { selector = {} } = spec ?? {};
    if (Object.keys(selector).length === 0) continue;
    if (!matchesLabels(selectorOf({ matchLabels: selector }), labels)) continue;
    Object.assign(matchLabels, selector);
  }
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller);
  const { kind = "", name = "" } = owner ?? {};
  const ofOwner: LabelSelector = lookup.ownerSelector(kind, name, namespace) ?? {};
  return selectorOf({ ...ofOwner, matchLabels: { ...matchLabels, ...ofOwner.matchLabels } });
}

/** Whether pods of the set are counted. An empty selector counts none. */
function counts({ selector }: Constraint, set: PodSet): boolean {
  return (
    !set.terminating && selector.requirements.length > 0 && matchesLabels(selector, set.labels)
  );
}

/** The sets that one of the constraints counts, each with those constraints' indices. */
export function countedSets(
  { pod, snapshot }: Cycle,
  constraints: readonly Constraint[],
): readonly { readonly set: PodSet; readonly indices: readonly number[] }[] {
  return [...snapshot.podSets.inNamespace(pod.namespace)].flatMap((set) => {
    const indices = [...constraints.keys()].filter((index) => {
      const constraint = constraints[index];
      return constraint !== undefined && counts(constraint, set);
    });
    return indices.length === 0 ? [] : { set, indices };
  });
}

/** Whether the node takes part in the counting of the constraint. */
export function takesPart(constraint: Constraint, { pod }: PodInfo, info: NodeInfo): boolean {
  if (constraint.honorsAffinity && !(info.node && selectsNode(pod, info.node))) return false;
  if (!constraint.honorsTaints) return true;
  return info.taints.every((taint) => tolerates(pod.spec?.tolerations, taint));
}

/** Whether {@link takesPart} answers true for all nodes, because the pod chooses none. */
export function includesAll(
  { honorsAffinity, honorsTaints }: Constraint,
  { pod }: PodInfo,
): boolean {
  if (honorsTaints) return false;
  const { nodeSelector = {}, affinity } = pod.spec ?? {};
  if (!honorsAffinity) return true;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined && Object.keys(nodeSelector).length === 0;
}

export function hasAllKeys(constraints: readonly Constraint[], { labels }: NodeInfo): boolean {
  return constraints.every(({ topologyKey }) => labels[topologyKey] !== undefined);
}
