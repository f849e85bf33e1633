/** A cluster for the tables: nodes, the pods on them, and what stands around them. */
import type { Node, Pod, PodSpec } from "../../proto/gen/core.ts";
import type { PodDisruptionBudget } from "../../proto/gen/policy.ts";
import { Cycle, Framework, type Plugin } from "../../services/scheduler/framework/mod.ts";
import { NodeInfo } from "../../services/scheduler/node-info.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import type { Labels } from "../../services/scheduler/pod-terms.ts";
import { Snapshot } from "../../services/scheduler/snapshot.ts";
import { noWorkloads, type WorkloadLookup } from "../../services/scheduler/workload-lookup.ts";

export const zone = "topology.kubernetes.io/zone";
export const hostname = "kubernetes.io/hostname";

export function node(name: string, labels: Labels = {}, change: Partial<Node> = {}): NodeInfo {
  const info = new NodeInfo(name);
  info.setNode({
    ...change,
    metadata: { name, labels: { [hostname]: name, ...labels }, ...change.metadata },
    status: { allocatable: { cpu: "4", memory: "8Gi", pods: "20" }, ...change.status },
  });
  return info;
}

let serial = 0;

export function pod(labels: Labels = {}, spec: PodSpec = {}, change: Partial<Pod> = {}): Pod {
  const name = `p${serial++}`;
  const metadata = { name, namespace: "default", uid: name, labels, ...change.metadata };
  return { ...change, metadata, spec };
}

export const cpu = (amount: string): PodSpec => ({
  containers: [{ name: "c", resources: { requests: { cpu: amount } } }],
});

export interface World {
  readonly nodes: readonly NodeInfo[];
  /** By name of the node. */
  readonly pods?: Readonly<Record<string, readonly Pod[]>>;
  /** Pods for which room is being made, by name of the node. */
  readonly nominated?: Readonly<Record<string, readonly Pod[]>>;
  readonly namespaces?: Readonly<Record<string, Labels>>;
  readonly budgets?: readonly PodDisruptionBudget[];
  readonly workloads?: Partial<WorkloadLookup>;
}

export function snapshotOf(world: World): Snapshot {
  const snapshot = new Snapshot(undefined, {
    ...noWorkloads,
    namespaceLabels: (name) => world.namespaces?.[name],
    budgets: () => world.budgets ?? [],
    ...world.workloads,
  });
  for (const info of world.nodes) {
    for (const each of world.pods?.[info.name] ?? []) info.addPod(podInfo(each));
    snapshot.changed(info, new Map());
  }
  return snapshot;
}

export function frameworkOf(plugins: readonly Plugin[] = defaultPlugins): Framework {
  const sorter = defaultPlugins.filter(({ queueSort }) => queueSort !== undefined);
  const all = plugins.some(({ queueSort }) => queueSort !== undefined)
    ? plugins
    : [...sorter, ...plugins];
  return new Framework({ plugins: all, random: () => 0.99, after: () => () => {} });
}

/** The name of the node, or why there is none. */
export function place(wanted: Pod, world: World, plugins?: readonly Plugin[]): string {
  const placement = frameworkOf(plugins).schedule(new Cycle(podInfo(wanted), snapshotOf(world)));
  return "node" in placement ? placement.node.name : placement.refusal.message;
}

/** What the filters say of each node, in order: "fits", or the reasons. */
export function verdicts(wanted: Pod, world: World): readonly string[] {
  const snapshot = snapshotOf(world);
  return frameworkOf()
    .explain(new Cycle(podInfo(wanted), snapshot))
    .nodes.map(({ refusals }) => refusals[0]?.reasons.join(", ") ?? "fits");
}

/** The points that one plugin gives each node, rounded down as upstream does. */
export function points(wanted: Pod, world: World, plugin: string): readonly number[] {
  const { nodes } = frameworkOf().explain(new Cycle(podInfo(wanted), snapshotOf(world)));
  return nodes.map(({ scores }) =>
    Math.floor(scores.find((score) => score.plugin === plugin)?.points ?? 0),
  );
}
