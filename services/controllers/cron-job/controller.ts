import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { CronJob, CronJobStatus, Job } from "../../../proto/gen/batch.ts";
import type { ObjectReference } from "../../../proto/gen/core.ts";
import { type Again, isAlreadyExists, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import { parseTime, rfc3339Seconds } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import { isJobComplete, isJobFailed, isJobFinished } from "../job/finished.ts";
import { controllerOf, controllerReference } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { dueOf, utcText, zonedTime } from "./times.ts";

const timestampAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/** So much after the time, so that the clock has certainly reached it. */
const slackMillis = 100;

/** Starts a Job whenever the schedule of a CronJob says so. */
export function cronJobController(workers: number): Controller {
  return {
    name: "cronjob",
    informers: ["CronJob", "Job"],
    workers,
    start(context) {
      const loop = new CronJobLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

const about = (cronJob: CronJob) => ({ ...cronJob, apiVersion: "batch/v1", kind: "CronJob" });

class CronJobLoop {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  watch(): void {
    const { on, queue } = this.#context;
    const owner = (job: Job) => {
      const controller = controllerOf(job);
      if (controller?.kind !== "CronJob") return;
      queue.add(`${job.metadata?.namespace}/${controller.name}`);
    };
    on("CronJob", {
      added: (cronJob) => queue.add(keyOf(cronJob)),
      updated: (_, cronJob) => queue.add(keyOf(cronJob)),
    });
    on("Job", { added: owner, updated: (_, job) => owner(job), deleted: owner });
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { informer } = this.#context;
    const { name, namespace = "" } = splitKey(key);
    const cronJob = informer("CronJob").lister.get(name, namespace);
    if (!cronJob) return undefined;
    const jobs = informer("Job")
      .lister.list(namespace)
      .filter((job) => controllerOf(job)?.uid === cronJob.metadata?.uid);
    const status = await this.#look(cronJob, jobs);
    try {
      return await this.#start(cronJob, status);
    } finally {
      await this.#write(cronJob, status);
      await this.#forgetHistory(cronJob, jobs);
    }
  }

  /** The status without the jobs that have ended or are gone. */
  async #look(cronJob: CronJob, jobs: readonly Job[]): Promise<CronJobStatus> {
    const { client, recorder } = this.#context;
    const status: CronJobStatus = { ...cronJob.status };
    const byUid = new Map(jobs.map((job) => [job.metadata?.uid, job]));
    const active: ObjectReference[] = [];
    for (const reference of status.active ?? []) {
      const { name = "", namespace, uid } = reference;
      const job = byUid.get(uid) ?? (await this.#read(client.jobs, name, namespace, uid));
      if (job === undefined) {
        recorder.event(about(cronJob), "Normal", "MissingJob", `Active job went missing: ${name}`);
      } else if (isJobFinished(job)) {
        const how = isJobComplete(job) ? "Complete" : "Failed";
        const text = `Saw completed job: ${name}, condition: ${how}`;
        recorder.event(about(cronJob), "Normal", "SawCompletedJob", text);
      } else active.push(reference);
    }
    const known = new Set((status.active ?? []).map(({ uid }) => uid));
    for (const job of jobs) {
      if (known.has(job.metadata?.uid) || isJobFinished(job)) continue;
      if (!(await this.#isForgotten(cronJob, job))) continue;
      const text = `Saw a job that the controller did not create or forgot: ${job.metadata?.name}`;
      recorder.event(about(cronJob), "Warning", "UnexpectedJob", text);
    }
    for (const job of jobs) {
      const completion = parseTime(job.status?.completionTime);
      if (!isJobComplete(job) || completion === undefined) continue;
      if (completion <= (parseTime(status.lastSuccessfulTime) ?? 0)) continue;
      status.lastSuccessfulTime = rfc3339Seconds(completion);
    }
    return { ...status, active };
  }

  /** The cached status may not tell yet what was started: the API decides. */
  async #isForgotten({ metadata }: CronJob, job: Job): Promise<boolean> {
    const { name = "", namespace } = metadata ?? {};
    const { status } = await this.#context.client.cronJobs.get(name, namespace);
    return !(status?.active ?? []).some(({ uid }) => uid === job.metadata?.uid);
  }

  /** The API, because the cache may not show yet what was started. */
  async #read(
    jobs: ControllerContext["client"]["jobs"],
    name: string,
    namespace: string | undefined,
    uid: string | undefined,
  ): Promise<Job | undefined> {
    try {
      const job = await jobs.get(name, namespace);
      return job.metadata?.uid === uid ? job : undefined;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return undefined;
    }
  }

  /** Starts what is due; changes `status` accordingly. */
  async #start(cronJob: CronJob, status: CronJobStatus): Promise<Again | undefined> {
    const { clock, recorder } = this.#context;
    if (cronJob.metadata?.deletionTimestamp || cronJob.spec?.suspend === true) return undefined;
    const now = clock.wallMillis();
    const due = dueOf({ ...cronJob, status }, now);
    if (typeof due === "string") {
      recorder.event(about(cronJob), "Warning", "InvalidSchedule", due);
      return undefined;
    }
    const { nextMillis, scheduledMillis, tooManyMissed } = due;
    const again = nextMillis === undefined ? undefined : { after: nextMillis - now + slackMillis };
    if (scheduledMillis === undefined) return again;
    if (tooManyMissed) {
      const text =
        "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check " +
        "clock skew";
      recorder.event(about(cronJob), "Warning", "TooManyMissedTimes", text);
    }
    const deadline = cronJob.spec?.startingDeadlineSeconds;
    if (deadline !== undefined && scheduledMillis + deadline * 1000 < now) {
      const text = `Missed scheduled time to start a job: ${utcText(scheduledMillis)}`;
      recorder.event(about(cronJob), "Warning", "MissSchedule", text);
      return again;
    }
    if (await this.#makeRoom(cronJob, status)) await this.#create(cronJob, status, scheduledMillis);
    return again;
  }

  /** Whether the concurrency policy lets another job begin. */
  async #makeRoom(cronJob: CronJob, status: CronJobStatus): Promise<boolean> {
    const { recorder } = this.#context;
    const policy = cronJob.spec?.concurrencyPolicy;
    const active = status.active ?? [];
    if (active.length === 0 || policy === "Allow" || policy === undefined) return true;
    if (policy === "Forbid") {
      const text =
        "Not starting job because prior execution is running and concurrency policy is Forbid";
      recorder.event(about(cronJob), "Normal", "JobAlreadyActive", text);
      return false;
    }
    for (const { name = "", uid = "" } of active) await this.#delete(cronJob, name, uid);
    status.active = [];
    return true;
  }

  async #create(cronJob: CronJob, status: CronJobStatus, scheduled: number): Promise<void> {
    const { client, recorder, write } = this.#context;
    const job = jobOf(cronJob, scheduled);
    const name = job.metadata?.name ?? "";
    let created: Job;
    try {
      created = await client.jobs.create(job, write);
      recorder.event(about(cronJob), "Normal", "SuccessfulCreate", `Created job ${name}`);
    } catch (error) {
      const { message } = StatusError.from(error);
      const failed = () =>
        recorder.event(about(cronJob), "Warning", "FailedCreate", `Error creating job: ${message}`);
      if (!isAlreadyExists(error)) {
        failed();
        throw error;
      }
      created = await client.jobs.get(name, cronJob.metadata?.namespace);
      if (controllerOf(created)?.uid !== cronJob.metadata?.uid) {
        failed();
        throw error;
      }
    }
    status.lastScheduleTime = rfc3339Seconds(scheduled);
    if (isJobFinished(created)) return;
    const { namespace, uid, resourceVersion } = created.metadata ?? {};
    const reference = {
      apiVersion: "batch/v1",
      kind: "Job",
      name,
      namespace,
      uid,
      resourceVersion,
    };
    status.active = [...(status.active ?? []).filter((each) => each.uid !== uid), reference];
  }

  async #write(cronJob: CronJob, status: CronJobStatus): Promise<void> {
    const { client, write } = this.#context;
    if (canonical(cronJob.status ?? {}) === canonical(status)) return;
    await client.cronJobs.updateStatus({ ...cronJob, status }, write);
  }

  async #forgetHistory(cronJob: CronJob, jobs: readonly Job[]): Promise<void> {
    const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec ?? {};
    const start = (job: Job) => parseTime(job.status?.startTime) ?? Infinity;
    const trim = async (ended: readonly Job[], limit: number | undefined) => {
      if (limit === undefined) return;
      const ordered = [...ended].sort((a, b) => (start(a) < start(b) ? -1 : 1));
      for (const { metadata } of ordered.slice(0, Math.max(0, ended.length - limit))) {
        await this.#delete(cronJob, metadata?.name ?? "", metadata?.uid ?? "");
      }
    };
    const there = jobs.filter(({ metadata }) => !metadata?.deletionTimestamp);
    await trim(there.filter(isJobComplete), successfulJobsHistoryLimit);
    await trim(there.filter(isJobFailed), failedJobsHistoryLimit);
  }

  async #delete(cronJob: CronJob, name: string, uid: string): Promise<void> {
    const { client, recorder, write } = this.#context;
    try {
      const options = { ...write, propagationPolicy: "Background" as const };
      await client.jobs.delete(name, cronJob.metadata?.namespace, {
        ...options,
        preconditions: { uid },
      });
      recorder.event(about(cronJob), "Normal", "SuccessfulDelete", `Deleted job ${name}`);
    } catch (error) {
      if (isNotFound(error)) return;
      const text = `Deleted job: ${StatusError.from(error).message}`;
      recorder.event(about(cronJob), "Warning", "FailedDelete", text);
      throw error;
    }
  }
}

/** Named after the minute, so that each time brings one job only. */
function jobOf(cronJob: CronJob, scheduled: number): Job {
  const { name, namespace } = cronJob.metadata ?? {};
  const { jobTemplate, timeZone } = cronJob.spec ?? {};
  const { labels, annotations } = jobTemplate?.metadata ?? {};
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `${name}-${Math.floor(scheduled / 60_000)}`,
      namespace,
      ...(labels && { labels }),
      annotations: { ...annotations, [timestampAnnotation]: zonedTime(scheduled, timeZone) },
      ownerReferences: [controllerReference(cronJob, "batch/v1", "CronJob")],
    },
    ...(jobTemplate?.spec && { spec: jobTemplate.spec }),
  };
}
