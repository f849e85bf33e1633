/** The typed services of the kinds: what is written as a message comes back as it was meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RealApi } from "../client/real-api.ts";
import { meta, podSpec } from "./documents.ts";

const template = { metadata: { labels: { app: "a" } }, spec: podSpec() };
const selector = { matchLabels: { app: "a" } };

test("messages with free-form, number-or-text and nested fields survive the wire", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const data = { spec: { template: { $patch: "replace", weight: 1.5, list: [1, null, "a"] } } };
  const revision = await client.controllerRevisions.create({
    metadata: meta("r"),
    data,
    revision: 7,
  });
  assert.deepEqual([revision.data, revision.revision], [data, 7]);
  const budget = await client.podDisruptionBudgets.create({
    metadata: meta("b"),
    spec: { maxUnavailable: "25%", selector },
  });
  assert.equal(budget.spec?.maxUnavailable, "25%");
  const set = await client.statefulSets.create({
    metadata: meta("s"),
    spec: { selector, template, updateStrategy: { rollingUpdate: { maxUnavailable: 2 } } },
  });
  assert.deepEqual(set.spec?.updateStrategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: 2, partition: 0 },
  });
  const job = await client.jobs.create({
    metadata: meta("j"),
    spec: {
      template: { spec: { ...podSpec(), restartPolicy: "Never" } },
      podFailurePolicy: {
        rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [1, 42] } }],
      },
    },
  });
  assert.deepEqual(job.spec?.podFailurePolicy?.rules?.[0]?.onExitCodes?.values, [1, 42]);
  assert.equal(job.spec?.suspend, false);
});

test("an update of the whole message keeps a job's generated selector", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const made = await client.jobs.create({
    metadata: meta("j"),
    spec: { template: { spec: { ...podSpec(), restartPolicy: "Never" } } },
  });
  const changed = await client.jobs.update({ ...made, spec: { ...made.spec, parallelism: 3 } });
  assert.equal(changed.spec?.parallelism, 3);
  assert.deepEqual(changed.spec?.selector, made.spec?.selector);
  assert.equal(changed.metadata?.generation, 2);
});

test("the two versions of an autoscaler have a typed service each", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  await client["horizontalPodAutoscalers.autoscaling"].create({
    metadata: meta("h"),
    spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
  });
  const later = await client.horizontalPodAutoscalers.get("h", "default");
  assert.equal(later.spec?.metrics?.[0]?.resource?.target?.averageUtilization, 50);
  const { items } = await client["horizontalPodAutoscalers.autoscaling"].list({
    namespace: "default",
  });
  assert.equal(items[0]?.spec?.targetCPUUtilizationPercentage, 50);
});
