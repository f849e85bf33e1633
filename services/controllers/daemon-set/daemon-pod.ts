/** The pod of a DaemonSet on one node, and whether the node wants it. */
import type { DaemonSet } from "../../../proto/gen/apps.ts";
import type { Node, Pod, PodSpec, Toleration } from "../../../proto/gen/core.ts";
import { selectsNode, tolerates } from "../../kinds/facts.ts";

export const hashLabel = "controller-revision-hash";
const generationAnnotation = "deprecated.daemonset.template.generation";
const generationLabel = "pod-template-generation";
const nameField = "metadata.name";

/** What a daemon bears, because the node needs it all the more then. */
const tolerated: readonly (readonly [key: string, effect: string])[] = [
  ["not-ready", "NoExecute"],
  ["unreachable", "NoExecute"],
  ["disk-pressure", "NoSchedule"],
  ["memory-pressure", "NoSchedule"],
  ["pid-pressure", "NoSchedule"],
  ["unschedulable", "NoSchedule"],
];

/** `base`: a pod of the set's template. The scheduler brings it to the node, and to no other. */
export function daemonPod(set: DaemonSet, base: Pod, hash: string, node: string): Pod {
  const generation = set.metadata?.annotations?.[generationAnnotation];
  return {
    ...base,
    metadata: {
      ...base.metadata,
      labels: {
        ...base.metadata?.labels,
        [hashLabel]: hash,
        ...(generation !== undefined && { [generationLabel]: generation }),
      },
    },
    spec: onNode(withTolerations(base.spec ?? {}), node),
  };
}

function withTolerations(spec: PodSpec): PodSpec {
  const all = spec.hostNetwork ? [...tolerated, ["network-unavailable", "NoSchedule"]] : tolerated;
  const added = all.map(
    ([key, effect]): Toleration => ({
      key: `node.kubernetes.io/${key}`,
      operator: "Exists",
      effect,
    }),
  );
  const same = (a: Toleration, b: Toleration) => a.key === b.key && a.effect === b.effect;
  const own = (spec.tolerations ?? []).filter((each) => !added.some((other) => same(each, other)));
  return { ...spec, tolerations: [...own, ...added] };
}

/** What the template says about labels has been looked at already; only the name is left. */
function onNode(spec: PodSpec, node: string): PodSpec {
  const term = { matchFields: [{ key: nameField, operator: "In", values: [node] }] };
  const required = { nodeSelectorTerms: [term] };
  const nodeAffinity = {
    ...spec.affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: required,
  };
  return { ...spec, affinity: { ...spec.affinity, nodeAffinity } };
}

/** The node that a pod runs on or waits for. */
export function nodeOf({ spec }: Pod): string | undefined {
  if (spec?.nodeName) return spec.nodeName;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const { matchFields = [] } of required?.nodeSelectorTerms ?? []) {
    const [field] = matchFields;
    if (field?.key === nameField && field.operator === "In") return field.values?.[0];
  }
  return undefined;
}

export interface Fitness {
  /** A pod is to be made there. */
  readonly run: boolean;
  /** A pod that is there may stay. */
  readonly stay: boolean;
}

export function fitness(set: DaemonSet, node: Node): Fitness {
  const spec = withTolerations(set.spec?.template?.spec ?? {});
  if (spec.nodeName && spec.nodeName !== node.metadata?.name) return { run: false, stay: false };
  if (!selectsNode({ spec }, node)) return { run: false, stay: false };
  const hostile = (node.spec?.taints ?? []).filter(
    (taint) => taint.effect !== "PreferNoSchedule" && !tolerates(spec.tolerations, taint),
  );
  return {
    run: hostile.length === 0,
    stay: hostile.every(({ effect }) => effect !== "NoExecute"),
  };
}
