/** Pods that wait for a node on which room is being made (`status.nominatedNodeName`). */
import type { PodInfo } from "./pod-info.ts";

const none: ReadonlyMap<string, PodInfo> = new Map();

/** Others of lower priority must not take that room meanwhile: filters count these pods in. */
export class Nominations {
  readonly #nodes = new Map<string, string>();
  readonly #pods = new Map<string, Map<string, PodInfo>>();

  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  /** Replaces the pod's earlier nomination. */
  set(info: PodInfo, nodeName: string): void {
    this.delete(info.key);
    this.#nodes.set(info.key, nodeName);
    const present = this.#pods.get(nodeName);
    if (present) present.set(info.key, info);
    else this.#pods.set(nodeName, new Map([[info.key, info]]));
  }

  delete(key: string): void {
    const nodeName = this.#nodes.get(key);
    if (nodeName === undefined) return;
    this.#nodes.delete(key);
    const present = this.#pods.get(nodeName);
    present?.delete(key);
    if (present?.size === 0) this.#pods.delete(nodeName);
  }

  /** The pod's node. */
  nodeOf(key: string): string | undefined {
    return this.#nodes.get(key);
  }

  /** By key. */
  on(nodeName: string): ReadonlyMap<string, PodInfo> {
    return this.#pods.get(nodeName) ?? none;
  }
}
