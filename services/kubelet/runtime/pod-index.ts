/**
 * What a runtime keeps by an id of its own, and of which a pod's worker asks for the pod's: a look
 * at all that the node runs, for each step of each pod, would cost more the more there is.
 */
export class PodIndex<T> extends Map<string, T> {
  readonly #podOf: (item: T) => string;
  /** In the order in which they came. */
  readonly #ofPod = new Map<string, Map<string, T>>();

  /** `podOf`: the uid of an item's pod; it stays the same for as long as the item is here. */
  constructor(podOf: (item: T) => string) {
    super();
    this.#podOf = podOf;
  }

  of(podUid: string): readonly T[] {
    return [...(this.#ofPod.get(podUid)?.values() ?? [])];
  }

  override set(id: string, item: T): this {
    const uid = this.#podOf(item);
    const known = this.#ofPod.get(uid);
    if (known === undefined) this.#ofPod.set(uid, new Map([[id, item]]));
    else known.set(id, item);
    return super.set(id, item);
  }

  override delete(id: string): boolean {
    const item = this.get(id);
    if (item === undefined) return false;
    const uid = this.#podOf(item);
    const known = this.#ofPod.get(uid);
    known?.delete(id);
    if (known?.size === 0) this.#ofPod.delete(uid);
    return super.delete(id);
  }

  override clear(): void {
    this.#ofPod.clear();
    super.clear();
  }
}
