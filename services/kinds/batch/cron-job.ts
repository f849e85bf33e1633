import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { CronJob, type CronJobSpec, CronJobsService } from "../../../proto/gen/batch.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { containerColumns } from "../core/pod/template.ts";
import { templateWarnings } from "../core/pod/warnings.ts";
import { invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notNegative } from "../machinery/field-rules.ts";
import { selectorOf } from "../machinery/label-selector.ts";
import type { Document } from "../machinery/resource.ts";
import { formatSelector } from "../machinery/selectors.ts";
import { age } from "../machinery/time.ts";
import { setJobTemplateDefaults } from "./job-defaults.ts";
import { validateJobSpec } from "./job-spec.ts";
import { isTimeZone, parseSchedule } from "./schedule.ts";

/** The jobs' names are those of the cron job and eleven characters more. */
const nameLengthMax = 52;

const specOf = (document: Document): CronJobSpec => (document as CronJob).spec ?? {};
const statusOf = (document: Document): NonNullable<CronJob["status"]> =>
  (document as CronJob).status ?? {};

export const cronJob = defineKind({
  message: "trireme.batch.v1.CronJob",
  codec: CronJob,
  service: CronJobsService,
  shortNames: ["cj"],
  categories: ["all"],

  setDefaults(document) {
    const cronJob = document as CronJob;
    cronJob.spec ??= {};
    const { spec } = cronJob;
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    spec.jobTemplate ??= {};
    spec.jobTemplate.spec ??= {};
    spec.jobTemplate.spec.template ??= {};
    setJobTemplateDefaults(spec.jobTemplate.spec);
    cronJob.status ??= {};
  },
  warnings(document, stored) {
    const template = specOf(document).jobTemplate?.spec?.template;
    return templateWarnings(document, stored, template, "spec.jobTemplate.spec.template");
  },
  validate(document) {
    const { name = "" } = document.metadata ?? {};
    const causes = validateSpec(specOf(document));
    if (name.length <= nameLengthMax) return causes;
    const detail = `must be no more than ${nameLengthMax} characters`;
    return [...causes, invalid("metadata.name", name, detail)];
  },
  columns: [
    nameColumn,
    { name: "Schedule", value: (document) => specOf(document).schedule ?? "" },
    { name: "Timezone", value: (document) => specOf(document).timeZone ?? "<none>" },
    {
      name: "Suspend",
      type: "boolean",
      value: (document) => (specOf(document).suspend === true ? "True" : "False"),
    },
    {
      name: "Active",
      type: "integer",
      value: (document) => (statusOf(document).active ?? []).length,
    },
    {
      name: "Last Schedule",
      value: (document, now) => {
        const { lastScheduleTime: last } = statusOf(document);
        return last === undefined ? "<none>" : age(last, now);
      },
    },
    ageColumn,
    ...containerColumns((document) => specOf(document).jobTemplate?.spec?.template),
    {
      name: "Selector",
      wide: true,
      value: (document) =>
        formatSelector(selectorOf(specOf(document).jobTemplate?.spec?.selector)) || "<none>",
    },
  ],
});

function validateSpec(spec: CronJobSpec): FieldCause[] {
  const { concurrencyPolicy: policy } = spec;
  return [
    ...validateSchedule(spec.schedule ?? ""),
    ...notNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"),
    ...validateTimeZone(spec.timeZone),
    ...oneOf(policy, ["Allow", "Forbid", "Replace"], "spec.concurrencyPolicy"),
    ...validateTemplate(spec),
    ...notNegative(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...notNegative(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  ];
}

function validateSchedule(schedule: string): FieldCause[] {
  const path = "spec.schedule";
  if (schedule === "") return [required(path)];
  const parsed = parseSchedule(schedule);
  const causes = "problem" in parsed ? [invalid(path, schedule, parsed.problem)] : [];
  if (schedule.includes("TZ")) {
    const detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
    causes.push(invalid(path, schedule, detail));
  }
  return causes;
}

function validateTimeZone(zone: string | undefined): FieldCause[] {
  const path = "spec.timeZone";
  if (zone === undefined) return [];
  if (zone === "") return [invalid(path, zone, "timeZone must be nil or non-empty string")];
  const wrong = (part: string) =>
    part === "." || part === ".." || !/^(?!-)[A-Za-z.\-_0-9+]{1,14}$/.test(part);
  const unknown = invalid(path, zone, `unknown time zone ${zone}`);
  if (zone.split("/").some(wrong)) return [unknown];
  if (zone.toLowerCase() === "local") {
    const detail =
      "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    return [invalid(path, zone, detail)];
  }
  return isTimeZone(zone) ? [] : [unknown];
}

/** The selector of each job is generated. */
function validateTemplate({ jobTemplate }: CronJobSpec): FieldCause[] {
  const path = "spec.jobTemplate.spec";
  const { selector, manualSelector, ...spec } = jobTemplate?.spec ?? {};
  const causes = validateJobSpec(spec, path);
  if (selector !== undefined) {
    causes.push(invalid(`${path}.selector`, selector, "`selector` will be auto-generated"));
  }
  if (manualSelector === true) {
    causes.push(notSupported(`${path}.manualSelector`, manualSelector, ["nil", "false"]));
  }
  return causes;
}
