/** What jobs get where their author said nothing (upstream `batch/v1/defaults.go`). */
import type { JobSpec } from "../../../proto/gen/batch.ts";
import { setPodTemplateDefaults } from "../core/pod/template.ts";

/** Of jobs, and of the templates that jobs are made from. */
export function setJobTemplateDefaults(spec: JobSpec): void {
  setPodTemplateDefaults(spec.template);
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
  }
}

export function setJobSpecDefaults(spec: JobSpec): void {
  if (spec.parallelism === undefined) spec.completions ??= 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2_147_483_647;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??=
    spec.podFailurePolicy === undefined ? "TerminatingOrFailed" : "Failed";
  spec.manualSelector ??= false;
}
