/** What of a job's spec may change once it exists (upstream `ValidateJobSpecUpdate`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Job, JobSpec } from "../../../proto/gen/batch.ts";
import type { PodTemplateSpec } from "../../../proto/gen/core.ts";
import { invalid } from "../machinery/causes.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";

const fixed = [
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
] as const;

export function validateJobSpecUpdate(next: JobSpec, stored: Job): FieldCause[] {
  const { spec: before = {}, status = {} } = stored;
  // A suspended job that never ran may still be sent elsewhere.
  const movable = before.suspend === true && status.startTime === undefined;
  const template = movable ? withDirectives(before.template, next.template) : before.template;
  return [
    ...validateCompletions(next, before),
    ...unchanged("spec.selector", next.selector, before.selector),
    ...unchanged("spec.template", next.template, template),
    ...fixed.flatMap((name) => unchanged(`spec.${name}`, next[name], before[name])),
  ];
}

/** Indexed jobs grow and shrink together with their parallelism. */
function validateCompletions(next: JobSpec, before: JobSpec): FieldCause[] {
  const path = "spec.completions";
  if (next.completionMode !== "Indexed") {
    return unchanged(path, next.completions, before.completions);
  }
  const { completions, parallelism } = next;
  if (completions === undefined || completions === before.completions) return [];
  if (completions === parallelism) return [];
  const detail = "can only be modified in tandem with spec.parallelism";
  return [invalid(path, completions, detail)];
}

/** The stored template with what `next` says about where its pods may run. */
function withDirectives(
  stored: PodTemplateSpec | undefined,
  next: PodTemplateSpec | undefined,
): PodTemplateSpec | undefined {
  if (stored === undefined || next === undefined) return stored;
  const { affinity: was, ...rest } = stored.spec ?? {};
  const { affinity: is, nodeSelector, tolerations, schedulingGates } = next.spec ?? {};
  const { nodeAffinity: _, ...others } = was ?? {};
  const affinity =
    is === undefined && equalJson(others, {})
      ? undefined
      : { ...others, nodeAffinity: is?.nodeAffinity };
  const { labels, annotations } = next.metadata ?? {};
  const metadata = { ...stored.metadata, labels, annotations };
  return {
    ...stored,
    metadata: equalJson(metadata, {}) ? next.metadata : metadata,
    spec: { ...rest, affinity, nodeSelector, tolerations, schedulingGates },
  };
}
