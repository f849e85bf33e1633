import assert from "node:assert/strict";
import { test } from "node:test";
import type { CronJob, CronJobSpec, JobSpec } from "../../proto/gen/batch.ts";
import { keyOf } from "../../services/client/mod.ts";
import { cronJobController } from "../../services/controllers/cron-job/controller.ts";
import { dueOf, zonedTime } from "../../services/controllers/cron-job/times.ts";
import { ttlAfterFinishedController } from "../../services/controllers/ttl-after-finished.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness } from "./harness.ts";

const minute = 60_000;
const template: JobSpec = {
  template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } },
};
const cronJob = (spec: CronJobSpec = {}): CronJob => ({
  metadata: { name: "tick", namespace: "default" },
  spec: {
    schedule: "*/5 * * * *",
    jobTemplate: { metadata: { labels: { of: "tick" } }, spec: template },
    ...spec,
  },
});
const names = (api: RealApi) => api.all("Job").map(({ metadata }) => metadata?.name);
const statusOf = (api: RealApi) => api.get("CronJob", "default/tick")?.status ?? {};
const reasons = (api: RealApi) => api.all("Event").map(({ reason }) => reason);

/** As the job controller does it. */
function complete(api: RealApi, key: string, at: string): Promise<void> {
  const condition = (type: string) => ({ type, status: "True", lastTransitionTime: at });
  return api.change("Job", key, (job) => {
    job.status = {
      startTime: at,
      completionTime: at,
      succeeded: 1,
      conditions: [condition("SuccessCriteriaMet"), condition("Complete")],
    };
  });
}

test("a job starts at each of its times, named after the minute", async () => {
  const { api, client, clock, end } = await harness(cronJobController(1));
  await client.cronJobs.create(cronJob());
  await clock.advance(4 * minute);
  assert.deepEqual(names(api), []);
  await clock.advance(minute + 1_000);
  const scheduled = Date.UTC(2026, 0, 1, 0, 5);
  assert.deepEqual(names(api), [`tick-${scheduled / minute}`]);
  const [job] = api.all("Job");
  assert.equal(job?.metadata?.labels?.["of"], "tick");
  const stamp = job?.metadata?.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"];
  assert.equal(stamp, "2026-01-01T00:05:00Z");
  assert.equal(statusOf(api).lastScheduleTime, "2026-01-01T00:05:00Z");
  assert.deepEqual(
    statusOf(api).active?.map(({ name }) => name),
    names(api),
  );
  await complete(api, keyOf(job ?? {}), "2026-01-01T00:06:00Z");
  await clock.advance(1_000);
  assert.deepEqual(statusOf(api).active ?? [], []);
  assert.equal(statusOf(api).lastSuccessfulTime, "2026-01-01T00:06:00Z");
  assert.ok(reasons(api).includes("SawCompletedJob"));
  await clock.advance(5 * minute);
  assert.equal(names(api).length, 2);
  await end();
});

test("the concurrency policy keeps one back, or puts it in place of the other", async () => {
  const { api, client, clock, end } = await harness(cronJobController(1));
  await client.cronJobs.create(cronJob({ concurrencyPolicy: "Forbid" }));
  await clock.advance(11 * minute);
  assert.equal(names(api).length, 1);
  assert.ok(reasons(api).includes("JobAlreadyActive"));
  const [first] = names(api);
  await api.change("CronJob", "default/tick", (each) => {
    each.spec!.concurrencyPolicy = "Replace";
  });
  await clock.advance(5 * minute);
  assert.equal(names(api).length, 1);
  assert.notEqual(names(api)[0], first);
  await end();
});

test("only so many ended jobs are kept; a suspended one starts none", async () => {
  const { api, client, clock, end } = await harness(cronJobController(1));
  await client.cronJobs.create(cronJob({ successfulJobsHistoryLimit: 1 }));
  for (let round = 0; round < 3; round++) {
    await clock.advance(5 * minute + 1_000);
    for (const job of api.all("Job")) {
      if (!job.status?.completionTime) {
        await complete(api, keyOf(job), new Date(clock.wallMillis()).toISOString());
      }
    }
    await clock.advance(1_000);
  }
  assert.equal(names(api).length, 1);
  await api.change("CronJob", "default/tick", (each) => {
    each.spec!.suspend = true;
  });
  await clock.advance(20 * minute);
  assert.equal(names(api).length, 1);
  await end();
});

test("a day that never comes is told in an event", async () => {
  const { api, client, clock, end } = await harness(cronJobController(1));
  await client.cronJobs.create(cronJob({ schedule: "0 0 31 2 *" }));
  await clock.advance(minute);
  assert.match(api.all("Event")[0]?.message ?? "", /spec\.schedule: "0 0 31 2 \*"/);
  await end();
});

test("times that are due", () => {
  const at = (text: string) => Date.parse(text);
  const due = (schedule: string, created: string, now: string, more: CronJobSpec = {}) =>
    dueOf(
      { metadata: { creationTimestamp: created }, spec: { schedule, ...more } },
      at(now),
    ) as Exclude<ReturnType<typeof dueOf>, string>;
  const daily = due("0 9 * * *", "2026-03-01T00:00:00Z", "2026-03-03T10:00:00Z", {
    timeZone: "Europe/Berlin",
  });
  assert.equal(daily.scheduledMillis, at("2026-03-03T08:00:00Z"));
  assert.equal(daily.missed, 3);
  const many = due("* * * * *", "2026-03-01T00:00:00Z", "2026-03-03T10:00:00Z");
  assert.equal(many.tooManyMissed, true);
  assert.equal(many.scheduledMillis, at("2026-03-03T10:00:00Z"));
  const late = due("0 9 * * *", "2026-03-01T00:00:00Z", "2026-03-03T10:00:00Z", {
    ...{ timeZone: "UTC", startingDeadlineSeconds: 60 },
  });
  assert.equal(late.scheduledMillis, undefined);
  const hourly = due("@every 1h", "2026-03-01T00:10:00Z", "2026-03-01T02:30:00Z");
  assert.equal(hourly.scheduledMillis, at("2026-03-01T02:10:00Z"));
  assert.equal(hourly.nextMillis, at("2026-03-01T03:10:00Z"));
  assert.equal(zonedTime(at("2026-07-01T07:00:00Z"), "Europe/Berlin"), "2026-07-01T09:00:00+02:00");
});

test("a finished job is deleted when its time to live is over", async () => {
  const { api, client, clock, end } = await harness(ttlAfterFinishedController(1));
  await client.jobs.create({
    metadata: { name: "done", namespace: "default" },
    spec: { ...template, ttlSecondsAfterFinished: 30 },
  });
  await complete(api, "default/done", new Date(clock.wallMillis()).toISOString());
  await clock.advance(29_000);
  assert.equal(api.get("Job", "default/done")?.metadata?.deletionTimestamp, undefined);
  await clock.advance(2_000);
  const job = api.get("Job", "default/done");
  assert.ok(job === undefined || job.metadata?.deletionTimestamp);
  await end();
});
