import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Job, type JobSpec, JobsService } from "../../../proto/gen/batch.ts";
import { containerColumns, validateMatch } from "../core/pod/template.ts";
import { templateWarnings } from "../core/pod/warnings.ts";
import { invalid, required } from "../machinery/causes.ts";
import { isConditionTrue } from "../machinery/conditions.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { equalJson } from "../machinery/json.ts";
import { selectorOf, validateLabelSelector } from "../machinery/label-selector.ts";
import { checkLabelName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { formatSelector } from "../machinery/selectors.ts";
import { formatDuration, parseTime } from "../machinery/time.ts";
import { setJobSpecDefaults, setJobTemplateDefaults } from "./job-defaults.ts";
import { generateSelector, validateGeneratedSelector } from "./job-selector.ts";
import { validateJobSpec } from "./job-spec.ts";
import { validateJobStatus } from "./job-status.ts";
import { validateJobSpecUpdate } from "./job-update.ts";

const specOf = (document: Document): JobSpec => (document as Job).spec ?? {};
const statusOf = (document: Document): NonNullable<Job["status"]> => (document as Job).status ?? {};

export const job = defineKind({
  message: "trireme.batch.v1.Job",
  codec: Job,
  service: JobsService,
  categories: ["all"],
  // batch/v1 keeps the pods of a job that is deleted without a word about them.
  defaultPropagation: "Orphan",

  setDefaults(document) {
    const job = document as Job;
    job.spec ??= {};
    job.spec.template ??= {};
    setJobTemplateDefaults(job.spec);
    setJobSpecDefaults(job.spec);
    setDefaultLabels(job);
    job.status ??= {};
  },
  prepareForCreate(document) {
    const job = document as Job;
    if (job.spec?.manualSelector !== true) generateSelector(job);
    const labels = job.metadata?.labels;
    if (labels !== undefined && defaultLabels.has(labels)) setLabels(job);
    else setDefaultLabels(job);
  },
  warnings: (document, stored) => templateWarnings(document, stored, specOf(document).template),
  validate: (document) => validateJob(document as Job),
  validateUpdate(next, stored) {
    const causes = validateJobSpecUpdate(specOf(next), stored as Job);
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateJobStatus(next as Job, stored as Job)];
  },
  selectableFields: {
    "status.successful": (document) => String(statusOf(document).succeeded ?? 0),
  },
  columns: [
    nameColumn,
    { name: "Status", value: (document) => shownStatus(document as Job) },
    { name: "Completions", value: (document) => shownCompletions(document as Job) },
    { name: "Duration", value: (document, now) => shownDuration(document as Job, now) },
    ageColumn,
    ...containerColumns((document) => specOf(document).template),
    {
      name: "Selector",
      wide: true,
      value: (document) => formatSelector(selectorOf(specOf(document).selector)) || "<none>",
    },
  ],
});

/** Labels that follow those of the template, until the job is stored. */
const defaultLabels = new WeakSet<object>();

/** A job without labels has those of its template. */
function setDefaultLabels(job: Job): void {
  if (Object.keys(job.metadata?.labels ?? {}).length === 0) setLabels(job);
}

function setLabels(job: Job): void {
  const { labels } = job.spec?.template?.metadata ?? {};
  if (labels === undefined) return;
  const copy = { ...labels };
  defaultLabels.add(copy);
  job.metadata = { ...job.metadata, labels: copy };
}

function validateJob(job: Job): FieldCause[] {
  const { spec = {}, metadata = {} } = job;
  const { selector, template, completions = 0 } = spec;
  const causes = [...validateGeneratedSelector(job), ...validateJobSpec(spec, "spec")];
  if (selector === undefined) causes.push(required("spec.selector"));
  else causes.push(...validateLabelSelector(selector, "spec.selector"));
  const understood =
    selector === undefined || validateLabelSelector(selector, "spec.selector").length === 0;
  if (template !== undefined && understood) {
    causes.push(...validateMatch(selectorOf(selector), template, "spec.template"));
  }
  if (spec.completionMode !== "Indexed" || completions <= 0) return causes;
  // The hostname of a pod is the job's name and the pod's index.
  const { name = "" } = metadata;
  const hostname = `${name}-${completions - 1}`;
  if (checkLabelName(hostname).length > 0) {
    const detail = `will not able to create pod with invalid DNS label: ${hostname}`;
    causes.push(invalid("metadata.name", name, detail));
  }
  return causes;
}

function shownStatus(job: Job): string {
  const { conditions } = job.status ?? {};
  const is = (type: string) => isConditionTrue(conditions, type);
  if (is("Complete")) return "Complete";
  if (is("Failed")) return "Failed";
  if (job.metadata?.deletionTimestamp !== undefined) return "Terminating";
  return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find(is) ?? "Running";
}

function shownCompletions({ spec = {}, status = {} }: Job): string {
  const { completions, parallelism = 0 } = spec;
  const { succeeded = 0 } = status;
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function shownDuration({ status = {} }: Job, now: number): string {
  const start = parseTime(status.startTime);
  if (start === undefined) return "";
  return formatDuration((parseTime(status.completionTime) ?? now) - start);
}
