/** How readily the kernel ends a container for want of memory (upstream `pkg/kubelet/qos`). */
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { qosClassOf } from "../../kinds/facts.ts";
import { isCritical } from "../eviction/ranking.ts";
import { unitsOf } from "./resources.ts";

const guaranteed = -997;
const bestEffort = 1_000;

/** `memoryBytes`: of the node. The more of it a container requests, the later it goes. */
export function oomScoreOf(pod: Pod, container: Container, memoryBytes: number): number {
  if (isCritical(pod, false)) return guaranteed;
  const qosClass = qosClassOf(pod);
  if (qosClass === "Guaranteed") return guaranteed;
  if (qosClass === "BestEffort") return bestEffort;
  const { requests, limits } = container.resources ?? {};
  const request = unitsOf(requests?.["memory"] ?? limits?.["memory"]);
  const score = 1_000 - Math.floor((1_000 * request) / Math.max(1, memoryBytes));
  // Between the other classes: 3 above the guaranteed ones, 1 below the best-effort ones.
  return Math.min(bestEffort - 1, Math.max(1_000 + guaranteed, score));
}
