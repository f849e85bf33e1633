import { Interference } from "./interference.ts";
import type { NodeInfo } from "./node-info.ts";
import { Nominations } from "./nominations.ts";
import type { PodInfo } from "./pod-info.ts";
import { PodSets } from "./pod-sets.ts";
import { noVolumes, type VolumeLookup } from "./volume-lookup.ts";
import { noWorkloads, type WorkloadLookup } from "./workload-lookup.ts";

/** Combinations of labels whose values are remembered. */
const domainsMax = 64;

/**
 * The nodes as a scheduling cycle sees them. It is kept up to date node by node as changes arrive,
 * so that a cycle copies nothing; since the cycle up to `permit` is synchronous, nothing changes
 * under a plugin's hands. After that, plugins must not rely on it.
 */
export class Snapshot {
  /** What is known of claims and volumes. */
  readonly volumes: VolumeLookup;
  /** What is known of namespaces, services, owners of pods and disruption budgets. */
  readonly workloads: WorkloadLookup;
  /** The pods on these nodes by their labels and rules. */
  readonly podSets = new PodSets();
  /** Pods for which room is being made on a node. */
  readonly nominations = new Nominations();
  /** Whose pods have been seen to fight for CPUs. */
  readonly interference = new Interference();
  readonly #nodes: NodeInfo[] = [];
  readonly #avoided = new Set<NodeInfo>();
  readonly #indices = new Map<NodeInfo, number>();
  readonly #byName = new Map<string, NodeInfo>();
  /** The labels of each node as JSON. */
  readonly #labels = new Map<NodeInfo, string>();
  readonly #domains = new Map<string, readonly ReadonlyMap<string, number>[]>();
  readonly #imageNodes = new Map<string, number>();

  constructor(volumes: VolumeLookup = noVolumes, workloads: WorkloadLookup = noWorkloads) {
    this.volumes = volumes;
    this.workloads = workloads;
  }

  /** The nodes that exist, in no particular order. */
  get nodes(): readonly NodeInfo[] {
    return this.#nodes;
  }

  /** Undefined: there is no such node. */
  node(name: string): NodeInfo | undefined {
    return this.#byName.get(name);
  }

  /**
   * For each label, its values on the nodes that have all of the labels, each with a zero. To be
   * copied before it is changed; worked out anew only when nodes have changed.
   */
  domains(keys: readonly string[]): readonly ReadonlyMap<string, number>[] {
    const name = JSON.stringify(keys);
    const known = this.#domains.get(name);
    if (known) return known;
    if (this.#domains.size >= domainsMax) this.#domains.clear();
    const found = keys.map(() => new Map<string, number>());
    for (const { labels } of this.#nodes) {
      if (!keys.every((key) => labels[key] !== undefined)) continue;
      for (const [index, key] of keys.entries()) found[index]?.set(labels[key] ?? "", 0);
    }
    this.#domains.set(name, found);
    return found;
  }

  /** Whether a node has a taint that only costs points. */
  get hasAvoided(): boolean {
    return this.#avoided.size > 0;
  }

  /** How many nodes have the image. */
  nodesWithImage(name: string): number {
    return this.#imageNodes.get(name) ?? 0;
  }

  /** To be called around every change of a node: `images` are those it had before. */
  changed(info: NodeInfo, images: ReadonlyMap<string, number>): void {
    for (const name of images.keys()) this.#countImage(name, -1);
    for (const name of info.images.keys()) this.#countImage(name, 1);
    this.#domainsChanged(info);
    if (info.avoidances.length > 0) this.#avoided.add(info);
    else this.#avoided.delete(info);
    const index = this.#indices.get(info);
    if (info.node !== undefined && index === undefined) {
      this.#indices.set(info, this.#nodes.length);
      this.#nodes.push(info);
      this.#byName.set(info.name, info);
      for (const pod of info.pods.values()) this.podSets.add(pod, info);
    } else if (info.node === undefined && index !== undefined) this.#remove(info, index);
  }

  /** To be called when a pod was put on a node, or is about to be taken off (`sign` -1). */
  podMoved(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    if (!this.#indices.has(node)) return;
    if (sign === 1) this.podSets.add(pod, node);
    else this.podSets.remove(pod, node);
  }

  /** Most changes of nodes are of their status, and leave every domain as it is. */
  #domainsChanged(info: NodeInfo): void {
    const labels = info.node === undefined ? undefined : JSON.stringify(info.labels);
    if (this.#labels.get(info) === labels) return;
    if (labels === undefined) this.#labels.delete(info);
    else this.#labels.set(info, labels);
    this.#domains.clear();
  }

  /** The last node takes the place of the removed one. */
  #remove(info: NodeInfo, index: number): void {
    this.#indices.delete(info);
    this.#byName.delete(info.name);
    for (const pod of info.pods.values()) this.podSets.remove(pod, info);
    const last = this.#nodes.pop();
    if (last === undefined || last === info) return;
    this.#nodes[index] = last;
    this.#indices.set(last, index);
  }

  #countImage(name: string, change: 1 | -1): void {
    const count = (this.#imageNodes.get(name) ?? 0) + change;
    if (count > 0) this.#imageNodes.set(name, count);
    else this.#imageNodes.delete(name);
  }
}
