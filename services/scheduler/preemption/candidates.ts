/** On which node which pods would have to go, and which of these choices hurts least. */
import type { PodDisruptionBudget } from "../../../proto/gen/policy.ts";
import { parseTime } from "../../kinds/facts.ts";
import { type PostFilterContext, type Refusal, refuseForGood } from "../framework/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import { violatingPods } from "./budgets.ts";

export interface Candidate {
  readonly node: NodeInfo;
  /** The most important first; never empty. */
  readonly victims: readonly PodInfo[];
  /** Victims that go against a disruption budget. */
  readonly violations: number;
}

type Trial = Pick<PostFilterContext, "verdict" | "putOn" | "takeOff">;

const noVictims = refuseForGood("No preemption victims found for incoming pod");

/**
 * The fewest pods of lower priority on the node that must go for the pod to fit: all of them are
 * supposed gone, and come back one by one, the most important first, as long as the pod still fits.
 * Leaves everything as it was.
 */
export function selectVictims(
  pod: PodInfo,
  node: NodeInfo,
  budgets: readonly PodDisruptionBudget[],
  trial: Trial,
): Candidate | Refusal {
  const lower = [...node.pods.values()].filter(({ priority }) => priority < pod.priority);
  if (lower.length === 0) return noVictims;
  const gone = new Set<PodInfo>();
  const takeOff = (other: PodInfo) => {
    trial.takeOff(other, node);
    gone.add(other);
  };
  const putBack = (other: PodInfo) => {
    trial.putOn(other, node);
    gone.delete(other);
  };
  try {
    for (const each of lower) takeOff(each);
    const why = trial.verdict(node);
    if (why) return why;
    lower.sort(byImportance);
    const violating = violatingPods(lower, budgets);
    const victims: PodInfo[] = [];
    const spare = (other: PodInfo) => {
      putBack(other);
      if (trial.verdict(node) === undefined) return;
      takeOff(other);
      victims.push(other);
    };
    for (const each of lower) if (violating.has(each)) spare(each);
    const violations = victims.length;
    for (const each of lower) if (!violating.has(each)) spare(each);
    return { node, victims: victims.sort(byImportance), violations };
  } finally {
    for (const each of [...gone]) putBack(each);
  }
}

/** Higher priority, then the longer run. */
function byImportance(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startMillis(a) - startMillis(b);
}

/** A pod that has not started is taken to start now, which is after all that have. */
function startMillis({ pod }: PodInfo): number {
  return parseTime(pod.status?.startTime) ?? Number.MAX_SAFE_INTEGER;
}

/** Makes priorities positive, so that many pods of a negative one weigh more than few. */
const priorityOffset = 2 ** 31;

/** Each tells candidates of the same rank by all before it apart: the smallest is the best. */
const ranks: readonly ((candidate: Candidate) => number)[] = [
  ({ violations }) => violations,
  ({ victims }) => victims[0]?.priority ?? 0,
  ({ victims }) => victims.reduce((sum, { priority }) => sum + priority + priorityOffset, 0),
  ({ victims }) => victims.length,
  ({ victims }) => -earliestStart(victims),
];

/** Of the victims of highest priority. */
function earliestStart(victims: readonly PodInfo[]): number {
  const highest = victims[0]?.priority;
  const starts = victims.filter(({ priority }) => priority === highest).map(startMillis);
  return Math.min(...starts);
}

/** The first of the best. */
export function chooseCandidate(candidates: readonly Candidate[]): Candidate | undefined {
  let best = candidates;
  for (const rank of ranks) {
    if (best.length <= 1) break;
    const least = Math.min(...best.map(rank));
    best = best.filter((candidate) => rank(candidate) === least);
  }
  return best[0];
}
