/** Sums by topology domain: by label of the nodes, then by the label's value. */
import type { Labels } from "./pod-terms.ts";

export class TopologyCounts {
  readonly #byKey = new Map<string, Map<string, number>>();

  /** True: every sum is zero. */
  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  /** A node without the label is in no domain. */
  add(key: string, labels: Labels, amount: number): void {
    const value = labels[key];
    if (value === undefined) return;
    let values = this.#byKey.get(key);
    if (values === undefined) {
      values = new Map();
      this.#byKey.set(key, values);
    }
    const sum = (values.get(value) ?? 0) + amount;
    if (sum !== 0) values.set(value, sum);
    else if (values.delete(value) && values.size === 0) this.#byKey.delete(key);
  }

  /** Of the node's domain. */
  of(key: string, labels: Labels): number {
    const value = labels[key];
    return value === undefined ? 0 : (this.#byKey.get(key)?.get(value) ?? 0);
  }

  /** Over all labels that have sums. */
  total(labels: Labels): number {
    let total = 0;
    for (const key of this.#byKey.keys()) total += this.of(key, labels);
    return total;
  }

  /** Whether one of the node's domains has a positive sum. */
  isAnyPositive(labels: Labels): boolean {
    for (const key of this.#byKey.keys()) if (this.of(key, labels) > 0) return true;
    return false;
  }
}
