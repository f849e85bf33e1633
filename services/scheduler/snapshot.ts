import type { NodeInfo } from "./node-info.ts";
import { noVolumes, type VolumeLookup } from "./volume-lookup.ts";

/**
 * The nodes as a scheduling cycle sees them. It is kept up to date node by node as changes arrive,
 * so that a cycle copies nothing; since the cycle up to `permit` is synchronous, nothing changes
 * under a plugin's hands. After that, plugins must not rely on it.
 */
export class Snapshot {
  /** What is known of claims and volumes. */
  readonly volumes: VolumeLookup;
  readonly #nodes: NodeInfo[] = [];
  readonly #indices = new Map<NodeInfo, number>();
  readonly #imageNodes = new Map<string, number>();

  constructor(volumes: VolumeLookup = noVolumes) {
    this.volumes = volumes;
  }

  /** The nodes that exist, in no particular order. */
  get nodes(): readonly NodeInfo[] {
    return this.#nodes;
  }

  /** How many nodes have the image. */
  nodesWithImage(name: string): number {
    return this.#imageNodes.get(name) ?? 0;
  }

  /** To be called around every change of a node: `images` are those it had before. */
  changed(info: NodeInfo, images: ReadonlyMap<string, number>): void {
    for (const name of images.keys()) this.#countImage(name, -1);
    for (const name of info.images.keys()) this.#countImage(name, 1);
    const index = this.#indices.get(info);
    if (info.node !== undefined && index === undefined) {
      this.#indices.set(info, this.#nodes.length);
      this.#nodes.push(info);
    } else if (info.node === undefined && index !== undefined) this.#remove(info, index);
  }

  /** The last node takes the place of the removed one. */
  #remove(info: NodeInfo, index: number): void {
    this.#indices.delete(info);
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
