/**
 * What the status of a job may become, whichever controller writes it (upstream
 * `validateJobStatus` and `ValidateJobStatusUpdate`). A rule holds for what a write changes, so
 * that an older fault does not stand in the way of another change.
 */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Job } from "../../../proto/gen/batch.ts";
import { duplicate, invalid, invalidOmitted, required } from "../machinery/causes.ts";
import { isConditionTrue } from "../machinery/conditions.ts";
import { countersNotNegative } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { parseTime } from "../machinery/time.ts";
import { commonIndex, parseIndexes } from "./indexes.ts";

type Status = NonNullable<Job["status"]>;

/** One write: the job as it will be and as it was. */
interface Change {
  readonly job: Job;
  readonly next: Status;
  readonly before: Status;
  changed(...fields: (keyof Status)[]): boolean;
  /** The condition of this type is true after the write. */
  is(type: string): boolean;
  was(type: string): boolean;
  /** The truth of one of the conditions is another than it was. */
  flipped(...types: string[]): boolean;
}

const counters = ["active", "succeeded", "failed", "ready", "terminating"];

export function validateJobStatus(job: Job, stored: Job): FieldCause[] {
  const [next, before] = [job.status ?? {}, stored.status ?? {}];
  const is = (type: string) => isConditionTrue(next.conditions, type);
  const was = (type: string) => isConditionTrue(before.conditions, type);
  const change: Change = {
    job,
    next,
    before,
    changed: (...fields) => fields.some((field) => !equalJson(next[field], before[field])),
    is,
    was,
    flipped: (...types) => types.some((type) => is(type) !== was(type)),
  };
  return [
    ...countersNotNegative(next, counters, "status"),
    ...validateUncounted(next),
    ...validateConditions(change),
    ...validateTimes(change),
    ...validateFinished(change),
    ...validateIndexes(change),
    ...validateHistory(change),
  ];
}

function validateUncounted({ uncountedTerminatedPods = {} }: Status): FieldCause[] {
  const seen = new Set<string>();
  return (["succeeded", "failed"] as const).flatMap((list) =>
    (uncountedTerminatedPods[list] ?? []).flatMap((uid, index) => {
      const path = `status.uncountedTerminatedPods.${list}[${index}]`;
      if (uid === "") return [invalid(path, uid, "must not be empty")];
      if (seen.has(uid)) return [duplicate(path, uid)];
      seen.add(uid);
      return [];
    }),
  );
}

function validateConditions({ job, is, flipped, changed }: Change): FieldCause[] {
  const wrong: string[] = [];
  const complete = is("Complete");
  const met = is("SuccessCriteriaMet");
  if (flipped("Complete", "Failed") && complete && is("Failed")) {
    wrong.push("cannot set Complete=True and Failed=true conditions");
  }
  if (flipped("Complete", "FailureTarget") && complete && is("FailureTarget")) {
    wrong.push("cannot set Complete=True and FailureTarget=true conditions");
  }
  if ((flipped("Failed") || changed("failedIndexes")) && is("Failed") && !is("FailureTarget")) {
    wrong.push("cannot set Failed=True condition without the FailureTarget=true condition");
  }
  if (flipped("Complete", "SuccessCriteriaMet") && complete && !met) {
    wrong.push("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  }
  if (met && is("Failed")) {
    wrong.push("cannot set SuccessCriteriaMet=True and Failed=true conditions");
  }
  if (met && is("FailureTarget")) {
    wrong.push("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  }
  if (job.spec?.successPolicy !== undefined && !met && complete) {
    wrong.push(
      "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
    );
  }
  return wrong.map((detail) => invalidOmitted("status.conditions", detail));
}

function validateTimes({ next, is, flipped, changed }: Change): FieldCause[] {
  const { startTime, completionTime } = next;
  const path = "status.completionTime";
  const causes: FieldCause[] = [];
  if (flipped("Complete") || changed("completionTime")) {
    if (completionTime !== undefined && !is("Complete")) {
      const detail = "cannot set completionTime when there is no Complete=True condition";
      causes.push(invalid(path, completionTime, detail));
    }
    if (completionTime === undefined && is("Complete")) {
      causes.push(required(path, "completionTime is required for Complete jobs"));
    }
  }
  const [start, completion] = [parseTime(startTime), parseTime(completionTime)];
  if (!changed("startTime", "completionTime")) return causes;
  if (start !== undefined && completion !== undefined && completion < start) {
    causes.push(invalid(path, completionTime, "must be equal to or after `startTime`"));
  }
  return causes;
}

function validateFinished({ job, next, is, flipped, changed }: Change): FieldCause[] {
  const causes: FieldCause[] = [];
  const finished = is("Complete") || is("Failed");
  const { active = 0, terminating = 0, ready, uncountedTerminatedPods = {} } = next;
  const rule = (field: keyof Status): boolean =>
    finished && (flipped("Complete", "Failed") || changed(field));
  if (rule("active") && active > 0) {
    causes.push(invalid("status.active", active, "active>0 is invalid for finished job"));
  }
  const idle = job.spec?.suspend === true && job.spec.completions === 0;
  if (rule("startTime") && next.startTime === undefined && !idle) {
    causes.push(required("status.startTime", "startTime is required for finished job"));
  }
  const { succeeded = [], failed = [] } = uncountedTerminatedPods;
  if (rule("uncountedTerminatedPods") && succeeded.length + failed.length > 0) {
    const path = "status.uncountedTerminatedPods";
    causes.push(invalid(path, uncountedTerminatedPods, "must be empty for finished job"));
  }
  if (rule("terminating") && terminating > 0) {
    const detail = "terminating>0 is invalid for finished job";
    causes.push(invalid("status.terminating", terminating, detail));
  }
  if (changed("ready", "active") && ready !== undefined && ready > active) {
    causes.push(invalid("status.ready", ready, "cannot set more ready pods than active"));
  }
  return causes;
}

function validateIndexes({ job, next, changed }: Change): FieldCause[] {
  const { completions, backoffLimitPerIndex, completionMode } = job.spec ?? {};
  const { completedIndexes = "", failedIndexes } = next;
  const causes: FieldCause[] = [];
  const check = (field: "completedIndexes" | "failedIndexes", text: string) => {
    if (completions === undefined) return;
    const parsed = parseIndexes(text, completions);
    if ("total" in parsed) return;
    causes.push(invalid(`status.${field}`, text, `error parsing ${field}: ${parsed.problem}`));
  };
  if (changed("completedIndexes")) {
    check("completedIndexes", completedIndexes);
    if (completedIndexes !== "" && completionMode !== "Indexed") {
      const detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
      causes.push(invalid("status.completedIndexes", completedIndexes, detail));
    }
  }
  if (failedIndexes === undefined) return causes;
  if (changed("failedIndexes")) {
    if (backoffLimitPerIndex !== undefined) check("failedIndexes", failedIndexes);
    else {
      const detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
      causes.push(invalid("status.failedIndexes", failedIndexes, detail));
    }
  }
  if (completions === undefined || !changed("failedIndexes", "completedIndexes")) return causes;
  const common = commonIndex(completedIndexes, failedIndexes, completions);
  if (common === undefined) return causes;
  const detail = `failedIndexes and completedIndexes overlap at index: ${common}`;
  return [...causes, invalid("status.failedIndexes", failedIndexes, detail)];
}

/** What has come about does not go away again. */
function validateHistory({ job, next, before, is, was }: Change): FieldCause[] {
  const causes = ["Failed", "Complete", "FailureTarget"]
    .filter((type) => was(type) && !is(type))
    .map((type) =>
      invalidOmitted("status.conditions", `cannot disable the terminal ${type}=True condition`),
    );
  const { completionMode, completions, parallelism, suspend } = job.spec ?? {};
  const rising = (field: "failed" | "succeeded") => {
    const count = next[field] ?? 0;
    if (count >= (before[field] ?? 0)) return;
    causes.push(invalid(`status.${field}`, count, `cannot decrease the ${field} counter`));
  };
  rising("failed");
  // An indexed job that is scaled down forgets the indexes that it no longer has.
  if (completionMode !== "Indexed" || completions !== parallelism) rising("succeeded");
  const { completionTime, startTime } = next;
  if (
    completionTime !== undefined &&
    (before.completionTime ?? completionTime) !== completionTime
  ) {
    causes.push(invalid("status.completionTime", completionTime, "field is immutable"));
  }
  // A job that goes on after a suspension starts anew.
  const idle = suspend === true || was("Suspended");
  if (before.startTime !== undefined && startTime !== before.startTime && !idle) {
    const detail = "startTime cannot be removed for unsuspended job";
    causes.push(required("status.startTime", detail));
  }
  if (was("SuccessCriteriaMet") && !is("SuccessCriteriaMet")) {
    const detail = "cannot disable the SuccessCriteriaMet=True condition";
    causes.push(invalidOmitted("status.conditions", detail));
  }
  if (was("Complete") && !was("SuccessCriteriaMet") && is("SuccessCriteriaMet")) {
    const detail =
      "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
    causes.push(invalidOmitted("status.conditions", detail));
  }
  return causes;
}
