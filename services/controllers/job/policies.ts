/** A job's own rules: what the failure of a pod means, and when enough has succeeded. */
import type { Job, PodFailurePolicyRule } from "../../../proto/gen/batch.ts";
import type { ContainerStatus, Pod } from "../../../proto/gen/core.ts";
import { keyOf } from "../../client/mod.ts";
import { indexesOf } from "./indexes.ts";

/** What becomes of a failed pod. */
export interface Verdict {
  readonly action: "Count" | "FailIndex" | "FailJob" | "Ignore";
  /** Of FailJob: which rule it was, and why. */
  readonly message?: string;
}

const counted: Verdict = { action: "Count" };

/** The first rule that matches decides; a pod that is only being deleted is counted. */
export function verdictOn(job: Job, pod: Pod): Verdict {
  if (pod.status?.phase !== "Failed") return counted;
  for (const [index, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const why = matchOf(rule, pod);
    if (why === undefined) continue;
    const action = rule.action as Verdict["action"];
    if (action !== "FailJob") return { action };
    return { action, message: `${why} matching ${action} rule at index ${index}` };
  }
  return counted;
}

function matchOf(rule: PodFailurePolicyRule, pod: Pod): string | undefined {
  if (rule.onExitCodes) return matchExitCodes(rule, pod);
  for (const { type, status } of rule.onPodConditions ?? []) {
    const found = pod.status?.conditions?.some(
      (condition) => condition.type === type && condition.status === (status ?? "True"),
    );
    if (found) return `Pod ${keyOf(pod)} has condition ${type}`;
  }
  return undefined;
}

function matchExitCodes({ onExitCodes }: PodFailurePolicyRule, pod: Pod): string | undefined {
  const { containerName, operator, values = [] } = onExitCodes ?? {};
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const matches = ({ name, state }: ContainerStatus): boolean => {
    const code = state?.terminated?.exitCode;
    // A container that ended well has nothing to do with the failure.
    if (code === undefined || code === 0) return false;
    if (containerName !== undefined && name !== containerName) return false;
    return values.includes(code) === (operator === "In");
  };
  const found = [...containerStatuses, ...initContainerStatuses].find(matches);
  if (found === undefined) return undefined;
  const code = found.state?.terminated?.exitCode;
  return `Container ${found.name} for pod ${keyOf(pod)} failed with exit code ${code}`;
}

/** Names the rule of the success policy that is met. */
export function successOf(job: Job, succeeded: ReadonlySet<number>): string | undefined {
  const completions = job.spec?.completions ?? 0;
  for (const [index, rule] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const { succeededIndexes, succeededCount } = rule;
    const named =
      succeededIndexes === undefined ? undefined : indexesOf(succeededIndexes, completions);
    const met =
      named === undefined ? succeeded.size : [...named].filter((i) => succeeded.has(i)).length;
    if (met >= (succeededCount ?? named?.size ?? Infinity))
      return `Matched rules at index ${index}`;
  }
  return undefined;
}
