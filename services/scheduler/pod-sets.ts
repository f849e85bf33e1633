/**
 * The placed pods by what matters to other pods. Pods of one template have the same labels and the
 * same rules, so a rule is held against each such set once, and not against every pod: with 50,000
 * pods of some hundred templates that is what keeps a scheduling cycle short.
 */
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";
import type { Labels, PodRules } from "./pod-terms.ts";

export interface PodSet {
  readonly namespace: string;
  readonly labels: Labels;
  readonly rules: PodRules;
  /** Its pods are being deleted. */
  readonly terminating: boolean;
  /** How many of them each node has; never zero. */
  readonly nodes: ReadonlyMap<NodeInfo, number>;
}

interface Entry extends PodSet {
  readonly nodes: Map<NodeInfo, number>;
}

const none: ReadonlySet<PodSet> = new Set();

export class PodSets {
  readonly #sets = new Map<string, Entry>();
  readonly #byNamespace = new Map<string, Set<Entry>>();
  readonly #withAntiAffinity = new Set<Entry>();
  readonly #withScores = new Set<Entry>();

  all(): Iterable<PodSet> {
    return this.#sets.values();
  }

  inNamespace(namespace: string): ReadonlySet<PodSet> {
    return this.#byNamespace.get(namespace) ?? none;
  }

  /** Those whose pods keep others away. */
  get withAntiAffinity(): ReadonlySet<PodSet> {
    return this.#withAntiAffinity;
  }

  /** Those whose pods draw others near or make places less liked. */
  get withScores(): ReadonlySet<PodSet> {
    return this.#withScores;
  }

  add(info: PodInfo, node: NodeInfo): void {
    const key = info.setKey;
    let set = this.#sets.get(key);
    if (set === undefined) {
      set = {
        namespace: info.namespace,
        labels: info.labels,
        rules: info.rules,
        terminating: info.pod.metadata?.deletionTimestamp !== undefined,
        nodes: new Map(),
      };
      this.#sets.set(key, set);
      this.#index(set);
    }
    set.nodes.set(node, (set.nodes.get(node) ?? 0) + 1);
  }

  remove(info: PodInfo, node: NodeInfo): void {
    const set = this.#sets.get(info.setKey);
    const count = set?.nodes.get(node);
    if (set === undefined || count === undefined) return;
    if (count > 1) set.nodes.set(node, count - 1);
    else set.nodes.delete(node);
    if (set.nodes.size > 0) return;
    this.#sets.delete(info.setKey);
    this.#withAntiAffinity.delete(set);
    this.#withScores.delete(set);
    const siblings = this.#byNamespace.get(set.namespace);
    siblings?.delete(set);
    if (siblings?.size === 0) this.#byNamespace.delete(set.namespace);
  }

  #index(set: Entry): void {
    const { affinity, antiAffinity, preferred } = set.rules;
    const siblings = this.#byNamespace.get(set.namespace);
    if (siblings) siblings.add(set);
    else this.#byNamespace.set(set.namespace, new Set([set]));
    if (antiAffinity.length > 0) this.#withAntiAffinity.add(set);
    if (affinity.length > 0 || preferred.length > 0) this.#withScores.add(set);
  }
}
