/** A job's rules for the failure of pods and for its own success. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyOnPodConditionsPattern,
  PodFailurePolicyRule,
  SuccessPolicy,
  SuccessPolicyRule,
} from "../../../proto/gen/batch.ts";
import {
  duplicate,
  invalid,
  invalidOmitted,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../machinery/causes.ts";
import { notNegative } from "../machinery/field-rules.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import { parseIndexes } from "./indexes.ts";

const rulesMax = 20;
const exitCodesMax = 255;
const patternsMax = 20;
const indexesLengthMax = 64 * 1024;

export function validatePodFailurePolicy(spec: JobSpec, path: string): FieldCause[] {
  if (spec.podFailurePolicy === undefined) return [];
  const { rules = [] } = spec.podFailurePolicy;
  const causes = rules.length > rulesMax ? [tooMany(`${path}.rules`, rules.length, rulesMax)] : [];
  const { containers = [], initContainers = [] } = spec.template?.spec ?? {};
  const names = new Set([...containers, ...initContainers].map(({ name = "" }) => name));
  rules.forEach((rule, index) => {
    causes.push(...validateFailureRule(spec, rule, `${path}.rules[${index}]`, names));
  });
  return causes;
}

/** As Go's %q writes a list. */
function quoted(values: readonly string[]): string {
  return `valid values: [${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

function requiredOneOf(
  value: string | undefined,
  choices: readonly string[],
  path: string,
): FieldCause[] {
  if (!value) return [required(path, quoted(choices))];
  return choices.includes(value) ? [] : [notSupported(path, value, choices)];
}

function validateFailureRule(
  spec: JobSpec,
  rule: PodFailurePolicyRule,
  path: string,
  containers: ReadonlySet<string>,
): FieldCause[] {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  const actions = ["Count", "FailIndex", "FailJob", "Ignore"];
  const causes = requiredOneOf(action, actions, `${path}.action`);
  if (action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
    const detail = "requires the backoffLimitPerIndex to be set";
    causes.push(invalid(`${path}.action`, action, detail));
  }
  if (onExitCodes !== undefined) {
    causes.push(...validateExitCodes(onExitCodes, `${path}.onExitCodes`, containers));
  }
  causes.push(...validatePatterns(onPodConditions, `${path}.onPodConditions`));
  const both = "specifying both OnExitCodes and OnPodConditions is not supported";
  const none = "specifying one of OnExitCodes and OnPodConditions is required";
  if (onExitCodes !== undefined && onPodConditions.length > 0) {
    causes.push(invalidOmitted(path, both));
  } else if (onExitCodes === undefined && onPodConditions.length === 0) {
    causes.push(invalidOmitted(path, none));
  }
  return causes;
}

function validatePatterns(
  patterns: readonly PodFailurePolicyOnPodConditionsPattern[],
  path: string,
): FieldCause[] {
  const long = patterns.length > patternsMax;
  const causes = long ? [tooMany(path, patterns.length, patternsMax)] : [];
  patterns.forEach(({ type = "", status }, index) => {
    const at = `${path}[${index}]`;
    for (const problem of checkQualifiedName(type)) {
      causes.push(invalid(`${at}.type`, type, problem));
    }
    causes.push(...requiredOneOf(status, ["False", "True", "Unknown"], `${at}.status`));
  });
  return causes;
}

function validateExitCodes(
  requirement: PodFailurePolicyOnExitCodesRequirement,
  path: string,
  containers: ReadonlySet<string>,
): FieldCause[] {
  const { operator, containerName, values = [] } = requirement;
  const causes = requiredOneOf(operator, ["In", "NotIn"], `${path}.operator`);
  if (containerName !== undefined && !containers.has(containerName)) {
    const detail = "must be one of the container or initContainer names in the pod template";
    causes.push(invalid(`${path}.containerName`, containerName, detail));
  }
  const at = `${path}.values`;
  if (values.length === 0) causes.push(invalid(at, undefined, "at least one value is required"));
  else if (values.length > exitCodesMax) causes.push(tooMany(at, values.length, exitCodesMax));
  const seen = new Set<number>();
  values.forEach((value, index) => {
    if (operator === "In" && value === 0) {
      causes.push(invalid(`${at}[${index}]`, value, "must not be 0 for the In operator"));
    }
    if (seen.has(value)) causes.push(duplicate(`${at}[${index}]`, value));
    seen.add(value);
  });
  if (values.some((value, index) => index > 0 && (values[index - 1] ?? 0) > value)) {
    causes.push(invalid(at, values, "must be ordered"));
  }
  return causes;
}

export function validateSuccessPolicy(spec: JobSpec, path: string): FieldCause[] {
  const { successPolicy, completionMode } = spec;
  if (successPolicy === undefined) return [];
  if (completionMode !== "Indexed") {
    return [invalid(path, shownPolicy(successPolicy), "requires indexed completion mode")];
  }
  const { rules = [] } = successPolicy;
  const causes: FieldCause[] = [];
  if (rules.length === 0) {
    const detail = "at least one rules must be specified when the successPolicy is specified";
    causes.push(required(`${path}.rules`, detail));
  }
  if (rules.length > rulesMax) causes.push(tooMany(`${path}.rules`, rules.length, rulesMax));
  rules.forEach((rule, index) => {
    causes.push(...validateSuccessRule(rule, spec.completions ?? 0, `${path}.rules[${index}]`));
  });
  return causes;
}

/** As upstream's message shows it: its fields bear the names that they have in its code. */
function shownPolicy({ rules }: SuccessPolicy) {
  const shown = rules?.map(({ succeededIndexes, succeededCount }) => ({
    SucceededIndexes: succeededIndexes ?? null,
    SucceededCount: succeededCount ?? null,
  }));
  return { Rules: shown ?? null };
}

function validateSuccessRule(
  rule: SuccessPolicyRule,
  completions: number,
  path: string,
): FieldCause[] {
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  const causes: FieldCause[] = [];
  if (count === undefined && indexes === undefined) {
    const detail = "at least one of succeededCount or succeededIndexes must be specified";
    causes.push(required(path, detail));
  }
  let total = 0;
  if (indexes !== undefined) {
    const at = `${path}.succeededIndexes`;
    if (indexes.length > indexesLengthMax) causes.push(tooLong(at, indexesLengthMax));
    const parsed = parseIndexes(indexes, completions);
    if ("total" in parsed) total = parsed.total;
    else causes.push(invalid(at, indexes, `error parsing succeededIndexes: ${parsed.problem}`));
  }
  if (count === undefined) return causes;
  const at = `${path}.succeededCount`;
  const atMost = (limit: number, what: string) => {
    if (count <= limit) return;
    causes.push(invalid(at, count, `must be less than or equal to ${limit} (${what})`));
  };
  causes.push(...notNegative(count, at));
  atMost(completions, "the number of specified completions");
  if (indexes !== undefined) {
    atMost(total, "the number of indexes in the specified succeededIndexes field");
  }
  return causes;
}
