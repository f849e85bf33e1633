/**
 * Which autoscalers speak for which pods: two that scale the same pods would fight, so neither scales
 * (upstream `controllingHPAs`).
 */
import type { Pod } from "../../../proto/gen/core.ts";
import { splitKey } from "../../client/mod.ts";

type Selects = (labels: Readonly<Record<string, string>> | undefined) => boolean;

export class PodClaims {
  readonly #selectors = new Map<string, Selects>();

  /**
   * Notes what the autoscaler selects. Answers the keys of all that select one of its pods, itself
   * among them, in order.
   */
  note(key: string, selects: Selects, pods: readonly Pod[]): string[] {
    this.#selectors.set(key, selects);
    const { namespace } = splitKey(key);
    return [...this.#selectors]
      .filter(([other]) => other === key || splitKey(other).namespace === namespace)
      .filter(
        ([other, claims]) => other === key || pods.some((pod) => claims(pod.metadata?.labels)),
      )
      .map(([other]) => other)
      .sort();
  }

  forget(key: string): void {
    this.#selectors.delete(key);
  }
}
