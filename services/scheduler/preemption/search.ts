/** Whether and where a pod may end pods of lower priority to make room for itself. */
import { conditionOf } from "../../kinds/facts.ts";
import {
  type Cycle,
  type Diagnosis,
  explain,
  type PostFilterContext,
  type PostFilterResult,
} from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import { type Candidate, chooseCandidate, selectVictims } from "./candidates.ts";

/** The reason of the condition of a pod that ends for another. */
export const preempted = "PreemptionByScheduler";

const notHelpful = "Preemption is not helpful for scheduling";

/** So many nodes with a choice are enough (upstream `minCandidateNodes…`). */
const candidatesPercent = 10;
const candidatesMin = 100;

/** Upstream's words for why the pod may not preempt others now. */
function notEligible({ pod, snapshot }: Cycle, diagnosis: Diagnosis): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === "Never") {
    return "not eligible due to preemptionPolicy=Never.";
  }
  const nominated = snapshot.nominations.nodeOf(pod.key) ?? pod.pod.status?.nominatedNodeName;
  const node = nominated ? snapshot.node(nominated) : undefined;
  if (node === undefined || diagnosis.get(node)?.refusal.permanent) return undefined;
  for (const other of node.pods.values()) {
    if (other.priority < pod.priority && isEndingByPreemption(other)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return undefined;
}

function isEndingByPreemption({ pod }: PodInfo): boolean {
  if (!pod.metadata?.deletionTimestamp) return false;
  const condition = conditionOf(pod.status?.conditions, "DisruptionTarget");
  return condition?.status === "True" && condition.reason === preempted;
}

/** The best choice of victims; or why there is none, told as upstream does. */
export function searchRoom(
  cycle: Cycle,
  diagnosis: Diagnosis,
  context: PostFilterContext,
  random: () => number,
): Candidate | PostFilterResult {
  const why = notEligible(cycle, diagnosis);
  if (why !== undefined) return { message: `preemption: ${why}` };
  const { nodes, workloads } = cycle.snapshot;
  const potential: NodeInfo[] = [];
  for (const [node, { refusal }] of diagnosis) if (!refusal.permanent) potential.push(node);
  const enough = Math.max(candidatesMin, Math.floor((potential.length * candidatesPercent) / 100));
  const budgets = workloads.budgets();
  const candidates: Candidate[] = [];
  const reasons = new Map<string, number>();
  const offset = Math.floor(random() * potential.length);
  for (let index = 0; index < potential.length; index++) {
    const node = potential[(offset + index) % potential.length] as NodeInfo;
    const found = selectVictims(cycle.pod, node, budgets, context);
    if ("victims" in found) {
      // No victims: something has made room since; the event of that brings the pod back.
      if (found.victims.length > 0 && candidates.push(found) >= enough) break;
    } else for (const each of found.reasons) reasons.set(each, (reasons.get(each) ?? 0) + 1);
  }
  const best = chooseCandidate(candidates);
  if (best) return best;
  const others = nodes.length - potential.length;
  if (others > 0) reasons.set(notHelpful, others);
  return { nominatedNode: "", message: `preemption: ${explain(nodes.length, reasons)}` };
}
