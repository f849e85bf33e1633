import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec } from "../../proto/gen/batch.ts";
import type { Pod, PodStatus } from "../../proto/gen/core.ts";
import { keyOf } from "../../services/client/mod.ts";
import { jobController } from "../../services/controllers/job/controller.ts";
import { firstPending, indexesOf, textOf } from "../../services/controllers/job/indexes.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, harness } from "./harness.ts";

const job = (spec: JobSpec = {}): Job => ({
  metadata: { name: "sum", namespace: "default" },
  spec: {
    template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } },
    ...spec,
  },
});

const statusOf = (api: RealApi) => api.get("Job", "default/sum")?.status ?? {};
const conditions = (api: RealApi) =>
  (statusOf(api).conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const messageOf = (api: RealApi, type: string) =>
  statusOf(api).conditions?.find((each) => each.type === type)?.message;
const events = (api: RealApi) => api.all("Event").map(({ reason }) => reason);

function end(api: RealApi, pod: Pod | undefined, exitCode: number, more: PodStatus = {}) {
  return api.change("Pod", keyOf(pod ?? {}), (each) => {
    each.spec!.nodeName ??= "n1";
    each.status = {
      ...each.status,
      phase: exitCode === 0 ? "Succeeded" : "Failed",
      containerStatuses: [
        {
          name: "c",
          image: "i",
          imageID: "i",
          state: { terminated: { exitCode, finishedAt: "2026-01-01T00:00:00Z" } },
        },
      ],
      ...more,
    };
  });
}

const podOfIndex = (api: RealApi, index: number): Pod | undefined =>
  active(api).find(
    ({ metadata, status }) =>
      metadata?.annotations?.["batch.kubernetes.io/job-completion-index"] === String(index) &&
      status?.phase !== "Failed" &&
      status?.phase !== "Succeeded",
  );
const running = (api: RealApi) =>
  active(api).filter(({ status }) => !["Failed", "Succeeded"].includes(status?.phase ?? ""));

test("pods run as many at a time as asked, until enough have succeeded", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(2));
  await client.jobs.create(job({ completions: 3, parallelism: 2 }));
  await clock.advance(100);
  assert.equal(running(api).length, 2);
  const [first] = running(api);
  assert.deepEqual(first?.metadata?.finalizers, ["batch.kubernetes.io/job-tracking"]);
  assert.equal(first?.metadata?.labels?.["batch.kubernetes.io/job-name"], "sum");
  assert.equal(statusOf(api).active, 2);
  assert.ok(statusOf(api).startTime);
  for (const pod of running(api)) await end(api, pod, 0);
  await clock.advance(100);
  assert.equal(running(api).length, 1);
  assert.equal(statusOf(api).succeeded, 2);
  await end(api, running(api)[0], 0);
  await clock.advance(100);
  const { succeeded, active: left, completionTime, uncountedTerminatedPods } = statusOf(api);
  assert.deepEqual([succeeded, left ?? 0], [3, 0]);
  assert.ok(completionTime);
  assert.deepEqual(uncountedTerminatedPods?.succeeded ?? [], []);
  assert.deepEqual(conditions(api), [
    "SuccessCriteriaMet=True CompletionsReached",
    "Complete=True CompletionsReached",
  ]);
  assert.ok(api.all("Pod").every(({ metadata }) => (metadata?.finalizers ?? []).length === 0));
  assert.ok(events(api).includes("Completed"));
  await stop();
});

test("failures are waited out longer each time, and too many end the job", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(job({ backoffLimit: 1 }));
  await clock.advance(100);
  await end(api, running(api)[0], 1);
  await clock.advance(5_000);
  assert.equal(running(api).length, 0);
  assert.equal(statusOf(api).failed, 1);
  await clock.advance(6_000);
  assert.equal(running(api).length, 1);
  await end(api, running(api)[0], 1);
  await clock.advance(100);
  assert.deepEqual(conditions(api), [
    "FailureTarget=True BackoffLimitExceeded",
    "Failed=True BackoffLimitExceeded",
  ]);
  assert.equal(messageOf(api, "Failed"), "Job has reached the specified backoff limit");
  assert.equal(statusOf(api).failed, 2);
  assert.ok(events(api).includes("BackoffLimitExceeded"));
  await stop();
});

test("a job past its deadline loses its pods before it is Failed", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(job({ activeDeadlineSeconds: 30 }));
  await clock.advance(100);
  await api.change("Pod", keyOf(running(api)[0] ?? {}), (pod) => {
    pod.spec!.nodeName = "n1";
  });
  await clock.advance(31_000);
  assert.deepEqual(conditions(api), ["FailureTarget=True DeadlineExceeded"]);
  const [pod] = api.all("Pod");
  assert.ok(pod?.metadata?.deletionTimestamp);
  await api.finishPod(keyOf(pod));
  await clock.advance(100);
  assert.equal(conditions(api)[1], "Failed=True DeadlineExceeded");
  assert.equal(statusOf(api).failed, 1);
  assert.equal(api.all("Pod").length, 0);
  await stop();
});

test("each index gets one pod, that knows it, until the index has succeeded", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(job({ completionMode: "Indexed", completions: 4, parallelism: 4 }));
  await clock.advance(100);
  const pod = podOfIndex(api, 2);
  assert.match(pod?.metadata?.name ?? "", /^sum-2-/);
  assert.equal(pod?.spec?.hostname, "sum-2");
  assert.equal(pod?.metadata?.labels?.["batch.kubernetes.io/job-completion-index"], "2");
  assert.deepEqual(
    pod?.spec?.containers?.[0]?.env?.map(({ name }) => name),
    ["JOB_COMPLETION_INDEX"],
  );
  for (const index of [0, 1, 3]) await end(api, podOfIndex(api, index), 0);
  await clock.advance(100);
  assert.equal(statusOf(api).completedIndexes, "0,1,3");
  await end(api, pod, 1);
  await clock.advance(11_000);
  const again = podOfIndex(api, 2);
  assert.notEqual(again?.metadata?.uid, pod?.metadata?.uid);
  await end(api, again, 0);
  await clock.advance(100);
  assert.equal(statusOf(api).completedIndexes, "0-3");
  assert.ok(conditions(api).includes("Complete=True CompletionsReached"));
  assert.equal(statusOf(api).failed, 1);
  await stop();
});

test("with a limit per index one index may fail while the others go on", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(
    job({ completionMode: "Indexed", completions: 2, parallelism: 2, backoffLimitPerIndex: 1 }),
  );
  await clock.advance(100);
  await end(api, podOfIndex(api, 0), 1);
  await clock.advance(11_000);
  const second = podOfIndex(api, 0);
  const counts = second?.metadata?.annotations?.["batch.kubernetes.io/job-index-failure-count"];
  assert.equal(counts, "1");
  await end(api, second, 1);
  await clock.advance(60_000);
  assert.equal(podOfIndex(api, 0), undefined);
  assert.equal(statusOf(api).failedIndexes, "0");
  assert.deepEqual(conditions(api), []);
  await end(api, podOfIndex(api, 1), 0);
  await clock.advance(100);
  assert.ok(conditions(api).includes("Failed=True FailedIndexes"));
  assert.equal(messageOf(api, "Failed"), "Job has failed indexes");
  assert.equal(statusOf(api).failed, 2);
  await stop();
});

test("the failure policy ignores, counts, and fails the whole job", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  const rules = [
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    { action: "FailJob", onExitCodes: { containerName: "c", operator: "In", values: [42] } },
  ];
  await client.jobs.create(job({ backoffLimit: 0, podFailurePolicy: { rules } }));
  await clock.advance(100);
  const target = { conditions: [{ type: "DisruptionTarget", status: "True" }] };
  await end(api, running(api)[0], 137, target);
  await clock.advance(11_000);
  assert.equal(statusOf(api).failed ?? 0, 0);
  const [pod] = running(api);
  await end(api, pod, 42);
  await clock.advance(100);
  assert.ok(conditions(api).includes("Failed=True PodFailurePolicy"));
  assert.equal(
    messageOf(api, "Failed"),
    `Container c for pod ${keyOf(pod ?? {})} failed with exit code 42 matching FailJob rule at index 1`,
  );
  await stop();
});

test("the success policy ends the job and what still runs", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(
    job({
      completionMode: "Indexed",
      completions: 3,
      parallelism: 3,
      successPolicy: { rules: [{ succeededIndexes: "0" }] },
    }),
  );
  await clock.advance(100);
  await end(api, podOfIndex(api, 0), 0);
  await clock.advance(100);
  assert.equal(conditions(api)[0], "SuccessCriteriaMet=True SuccessPolicy");
  assert.equal(messageOf(api, "SuccessCriteriaMet"), "Matched rules at index 0");
  for (const pod of api.all("Pod")) {
    if (pod.metadata?.deletionTimestamp) await api.finishPod(keyOf(pod));
  }
  await clock.advance(100);
  assert.equal(conditions(api)[1], "Complete=True SuccessPolicy");
  assert.equal(running(api).length, 0);
  await stop();
});

test("a suspended job has no pods, and begins anew when it is resumed", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(job({ suspend: true, parallelism: 2, completions: 2 }));
  await clock.advance(100);
  assert.equal(api.all("Pod").length, 0);
  assert.deepEqual(conditions(api), ["Suspended=True JobSuspended"]);
  assert.equal(statusOf(api).startTime, undefined);
  const suspend = (value: boolean) =>
    api.change("Job", "default/sum", (each) => {
      each.spec!.suspend = value;
    });
  await suspend(false);
  await clock.advance(100);
  assert.equal(running(api).length, 2);
  assert.deepEqual(conditions(api), ["Suspended=False JobResumed"]);
  assert.ok(statusOf(api).startTime);
  await suspend(true);
  await clock.advance(100);
  assert.equal(running(api).length, 0);
  assert.equal(statusOf(api).failed ?? 0, 0);
  assert.deepEqual(conditions(api), ["Suspended=True JobSuspended"]);
  // The time of its last start stays, and is another one when it goes on.
  const before = statusOf(api).startTime;
  assert.ok(before);
  await clock.advance(5_000);
  await suspend(false);
  await clock.advance(100);
  assert.ok(Date.parse(statusOf(api).startTime ?? "") > Date.parse(before));
  await stop();
});

test("pods of a job that is gone lose their finalizer; others manage what is managed by them", async () => {
  const { api, client, clock, end: stop } = await harness(jobController(1));
  await client.jobs.create(job());
  await client.jobs.create({
    ...job({ managedBy: "example.com/other" }),
    metadata: { name: "other", namespace: "default" },
  });
  await clock.advance(100);
  assert.equal(api.all("Pod").length, 1);
  await client.jobs.delete("sum", "default", { propagationPolicy: "Background" });
  await clock.advance(100);
  assert.deepEqual(api.all("Pod")[0]?.metadata?.finalizers ?? [], []);
  await stop();
});

test("texts of indexes", () => {
  assert.equal(textOf(new Set([5, 0, 1, 3, 4])), "0,1,3-5");
  assert.deepEqual([...indexesOf("0,2-4", 4)], [0, 2, 3]);
  assert.deepEqual(firstPending(2, 5, new Set([0, 2])), [1, 3]);
});
