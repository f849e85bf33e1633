/** Specs of jobs, alone or in a cron job's template (upstream `batch/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { JobSpec } from "../../../proto/gen/batch.ts";
import { among, oneOf } from "../core/pod/field-checks.ts";
import { validatePodTemplate } from "../core/pod/template.ts";
import { invalid, notSupportedInOrder, required, tooLong } from "../machinery/causes.ts";
import { notNegative } from "../machinery/field-rules.ts";
import { checkSubdomain } from "../machinery/names.ts";
import { validatePodFailurePolicy, validateSuccessPolicy } from "./job-policies.ts";

const parallelismMax = 100_000;
const failedIndexesMax = 100_000;
/** Beyond so many completions, the lists of indexes in the status must be kept short. */
const manyCompletions = 100_000;
const parallelismMaxOfMany = 10_000;
const failedIndexesMaxOfMany = 10_000;
const managedByLengthMax = 63;

const counts = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

/** All but the selector; `path`: of the spec. */
export function validateJobSpec(spec: JobSpec, path: string): FieldCause[] {
  const causes = counts.flatMap((name) => notNegative(spec[name], `${path}.${name}`));
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    causes.push(required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  }
  causes.push(
    ...validateManager(spec.managedBy, `${path}.managedBy`),
    ...validateMode(spec, path),
    ...validatePodFailurePolicy(spec, `${path}.podFailurePolicy`),
    ...validateSuccessPolicy(spec, `${path}.successPolicy`),
    ...validateReplacement(spec, `${path}.podReplacementPolicy`),
  );
  return [
    ...causes,
    ...validatePodTemplate(spec.template ?? {}, `${path}.template`),
    ...validateRestarts(spec, `${path}.template.spec.restartPolicy`),
  ];
}

/** A name such as `example.com/controller` (apimachinery `IsDomainPrefixedPath`). */
function validateManager(manager: string | undefined, path: string): FieldCause[] {
  if (manager === undefined) return [];
  if (manager === "") return [required(path)];
  const long = Buffer.byteLength(manager) > managedByLengthMax;
  const causes = long ? [tooLong(path, managedByLengthMax)] : [];
  const slash = manager.indexOf("/");
  const [domain, rest] = [manager.slice(0, Math.max(slash, 0)), manager.slice(slash + 1)];
  if (domain === "" || rest === "") {
    const detail = 'must be a domain-prefixed path (such as "acme.io/foo")';
    return [invalid(path, manager, detail), ...causes];
  }
  const expression = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
  const problems = checkSubdomain(domain).map((problem) => invalid(path, domain, problem));
  if (!new RegExp(`^${expression}$`).test(rest)) {
    const detail = `Invalid path (regex used for validation is '${expression}')`;
    problems.push(invalid(path, rest, detail));
  }
  return [...problems, ...causes];
}

function validateMode(spec: JobSpec, path: string): FieldCause[] {
  const { completionMode: mode = "NonIndexed", backoffLimitPerIndex, maxFailedIndexes } = spec;
  const causes = among(mode, ["NonIndexed", "Indexed"], `${path}.completionMode`);
  if (mode === "Indexed") return validateIndexed(spec, path);
  if (mode !== "NonIndexed") return causes;
  const detail = "requires indexed completion mode";
  if (backoffLimitPerIndex !== undefined) {
    causes.push(invalid(`${path}.backoffLimitPerIndex`, backoffLimitPerIndex, detail));
  }
  if (maxFailedIndexes !== undefined) {
    causes.push(invalid(`${path}.maxFailedIndexes`, maxFailedIndexes, detail));
  }
  return causes;
}

function validateIndexed(spec: JobSpec, path: string): FieldCause[] {
  const { completions, parallelism = 0, maxFailedIndexes, backoffLimitPerIndex } = spec;
  const causes: FieldCause[] = [];
  const atMost = (name: "parallelism" | "maxFailedIndexes", limit: number, when: string) => {
    const value = spec[name];
    if (value === undefined || value <= limit) return;
    causes.push(invalid(`${path}.${name}`, value, `must be less than or equal to ${limit}${when}`));
  };
  if (completions === undefined) {
    causes.push(required(`${path}.completions`, "when completion mode is Indexed"));
  }
  atMost("parallelism", parallelismMax, " when completion mode is Indexed");
  if (completions !== undefined && (maxFailedIndexes ?? 0) > completions) {
    const detail = "must be less than or equal to completions";
    causes.push(invalid(`${path}.maxFailedIndexes`, maxFailedIndexes, detail));
  }
  atMost("maxFailedIndexes", failedIndexesMax, "");
  if ((completions ?? 0) <= manyCompletions || backoffLimitPerIndex === undefined) return causes;
  if (maxFailedIndexes === undefined) {
    const detail = `must be specified when completions is above ${manyCompletions}`;
    causes.push(required(`${path}.maxFailedIndexes`, detail));
  }
  const when = ` when completions are above ${manyCompletions} and used with backoff limit per index`;
  if (parallelism > 0) atMost("parallelism", parallelismMaxOfMany, when);
  atMost("maxFailedIndexes", failedIndexesMaxOfMany, when);
  return causes;
}

function validateReplacement(spec: JobSpec, path: string): FieldCause[] {
  const choices =
    spec.podFailurePolicy === undefined ? ["Failed", "TerminatingOrFailed"] : ["Failed"];
  return oneOf(spec.podReplacementPolicy, choices, path);
}

function validateRestarts(spec: JobSpec, path: string): FieldCause[] {
  const { restartPolicy: policy = "" } = spec.template?.spec ?? {};
  if (policy === "Always" || policy === "") {
    return [required(path, 'valid values: "OnFailure", "Never"')];
  }
  if (policy !== "OnFailure" && policy !== "Never") {
    return [notSupportedInOrder(path, policy, ["OnFailure", "Never"])];
  }
  if (spec.podFailurePolicy === undefined || policy === "Never") return [];
  const detail = 'only "Never" is supported when podFailurePolicy is specified';
  return [invalid(path, policy, detail)];
}
