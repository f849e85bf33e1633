import type { Node, Taint } from "../../proto/gen/core.ts";
import { hostPortsConflict, resourceAmounts } from "../kinds/facts.ts";
import type { HostPort, ResourceAmounts } from "../kinds/mod.ts";
import type { PodInfo } from "./pod-info.ts";
import type { Labels } from "./pod-terms.ts";

/** Measured use of a node: cpu in millicores, memory in bytes. */
export interface Usage {
  readonly cpu: number;
  readonly memory: number;
}

/** A node and the pods on it, assumed ones included. Plugins read it. */
export class NodeInfo {
  readonly name: string;
  readonly pods = new Map<string, PodInfo>();
  node: Node | undefined;
  labels: Labels = {};
  allocatable: ResourceAmounts = {};
  /** Counts the changes of the node, its use and its pods. */
  version = 0;
  #usage: Usage | undefined;
  /** Share of time in which some task waited for a CPU, 0 to 1; undefined: not measured. */
  cpuPressure: number | undefined;
  /** Taints that keep pods away: NoSchedule and NoExecute. */
  taints: readonly Taint[] = [];
  /** Taints that only cost points: PreferNoSchedule. */
  avoidances: readonly Taint[] = [];
  readonly #requested: Record<string, number> = {};
  readonly scoredRequested = { cpu: 0, memory: 0 };
  /** Of what is allocatable, that which every pod of every cycle is weighed by. */
  readonly capacity = { cpu: 0, memory: 0 };
  /** What is allocatable and not taken; below 0 where too much is. */
  readonly free = { cpu: 0, memory: 0, pods: 0 };
  /** Image sizes in bytes by every name the node knows the image by. */
  images: ReadonlyMap<string, number> = new Map();
  #podsWithPorts = 0;
  readonly #owners = new Map<string, number>();

  constructor(name: string) {
    this.name = name;
  }

  /** Smoothed over the last heartbeats. */
  get usage(): Usage | undefined {
    return this.#usage;
  }

  set usage(usage: Usage | undefined) {
    this.#usage = usage;
    this.version++;
  }

  get requested(): ResourceAmounts {
    return this.#requested;
  }

  setNode(node: Node | undefined): void {
    this.node = node;
    this.version++;
    this.labels = node?.metadata?.labels ?? {};
    this.allocatable = resourceAmounts(node?.status?.allocatable);
    this.capacity.cpu = this.allocatable["cpu"] ?? 0;
    this.capacity.memory = this.allocatable["memory"] ?? 0;
    this.#countFree();
    const taints = node?.spec?.taints ?? [];
    this.taints = taints.filter(({ effect }) => effect === "NoSchedule" || effect === "NoExecute");
    this.avoidances = taints.filter(({ effect }) => effect === "PreferNoSchedule");
    this.images = new Map(
      (node?.status?.images ?? []).flatMap(({ names = [], sizeBytes = 0 }) =>
        names.map((name) => [name, sizeBytes] as const),
      ),
    );
  }

  /** uids of the controllers whose pods are here. */
  get owners(): Iterable<string> {
    return this.#owners.keys();
  }

  addPod(pod: PodInfo): void {
    this.removePod(pod.key);
    this.pods.set(pod.key, pod);
    this.#account(pod, 1);
  }

  removePod(key: string): void {
    const pod = this.pods.get(key);
    if (!pod) return;
    this.pods.delete(key);
    this.#account(pod, -1);
  }

  /** A port of the pod's that another pod on this node already has. */
  conflictingPort(wanted: readonly HostPort[]): HostPort | undefined {
    if (wanted.length === 0 || this.#podsWithPorts === 0) return undefined;
    for (const { hostPorts } of this.pods.values()) {
      for (const used of hostPorts) {
        const conflict = wanted.find((port) => hostPortsConflict(port, used));
        if (conflict) return conflict;
      }
    }
    return undefined;
  }

  #account(pod: PodInfo, sign: 1 | -1): void {
    this.version++;
    for (const [resource, value] of pod.wanted) {
      this.#requested[resource] = (this.#requested[resource] ?? 0) + sign * value;
    }
    this.#countFree();
    this.scoredRequested.cpu += sign * pod.scoredRequests.cpu;
    this.scoredRequested.memory += sign * pod.scoredRequests.memory;
    if (pod.hostPorts.length > 0) this.#podsWithPorts += sign;
    const { ownerUid } = pod;
    if (ownerUid === undefined) return;
    const owned = (this.#owners.get(ownerUid) ?? 0) + sign;
    if (owned > 0) this.#owners.set(ownerUid, owned);
    else this.#owners.delete(ownerUid);
  }

  #countFree(): void {
    this.free.cpu = this.capacity.cpu - (this.#requested["cpu"] ?? 0);
    this.free.memory = this.capacity.memory - (this.#requested["memory"] ?? 0);
    this.free.pods = (this.allocatable["pods"] ?? 0) - this.pods.size;
  }
}
