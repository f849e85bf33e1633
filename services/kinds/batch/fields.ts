/** What becomes of the fields of the group batch's kinds. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const status = "information that the controller writes and clients show";
const job = "the job controller";
const cronJob = "the cron job controller";

export const batchFields: SupportTable = {
  "trireme.batch.v1.Job": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.batch.v1.JobSpec": behaves(
    job,
    "parallelism completions activeDeadlineSeconds podFailurePolicy successPolicy backoffLimit " +
      "backoffLimitPerIndex maxFailedIndexes selector manualSelector template " +
      "ttlSecondsAfterFinished completionMode suspend podReplacementPolicy managedBy",
  ),
  "trireme.batch.v1.PodFailurePolicy": behaves(job, "rules"),
  "trireme.batch.v1.PodFailurePolicyRule": behaves(job, "action onExitCodes onPodConditions"),
  "trireme.batch.v1.PodFailurePolicyOnExitCodesRequirement": behaves(
    job,
    "containerName operator values",
  ),
  "trireme.batch.v1.PodFailurePolicyOnPodConditionsPattern": behaves(job, "type status"),
  "trireme.batch.v1.SuccessPolicy": behaves(job, "rules"),
  "trireme.batch.v1.SuccessPolicyRule": behaves(job, "succeededIndexes succeededCount"),
  "trireme.batch.v1.JobStatus": behaves(
    status,
    "conditions startTime completionTime active succeeded failed terminating completedIndexes " +
      "failedIndexes uncountedTerminatedPods ready",
  ),
  "trireme.batch.v1.JobCondition": behaves(
    status,
    "type status lastProbeTime lastTransitionTime reason message",
  ),
  "trireme.batch.v1.UncountedTerminatedPods": behaves(status, "succeeded failed"),

  "trireme.batch.v1.CronJob": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.batch.v1.CronJobSpec": behaves(
    cronJob,
    "schedule timeZone startingDeadlineSeconds concurrencyPolicy suspend jobTemplate " +
      "successfulJobsHistoryLimit failedJobsHistoryLimit",
  ),
  "trireme.batch.v1.JobTemplateSpec": behaves(cronJob, "metadata spec"),
  "trireme.batch.v1.CronJobStatus": behaves(status, "active lastScheduleTime lastSuccessfulTime"),
};
