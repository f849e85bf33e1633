import type { Job } from "../../../proto/gen/batch.ts";
import { isConditionTrue } from "../../kinds/facts.ts";

export function isJobComplete({ status }: Job): boolean {
  return isConditionTrue(status?.conditions, "Complete");
}

export function isJobFailed({ status }: Job): boolean {
  return isConditionTrue(status?.conditions, "Failed");
}

export function isJobFinished(job: Job): boolean {
  return isJobComplete(job) || isJobFailed(job);
}
