/** Autoscalers in both of their versions: one object, whichever wrote it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, documentBody, get, list, update } from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, type Document } from "../../services/kinds/mod.ts";
import type { Loose } from "../kinds/documents.ts";
import { adminCall, fails, world } from "./harness.ts";

const registry = builtInRegistry();
const v1 = registry.required("autoscaling/v1", "HorizontalPodAutoscaler");
const v2 = registry.required("autoscaling/v2", "HorizontalPodAutoscaler");

const metadata = { name: "web", namespace: "default", annotations: { mine: "1" } };
const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const request = { name: "web", namespace: "default" };
const prefix = "autoscaling.alpha.kubernetes.io/";

test("the word hpa means the later version", () => {
  assert.equal(registry.find("hpa"), v2);
  assert.equal(v1.storedAs?.resource, v2);
});

test("an autoscaler of v1 is one of v2", async () => {
  await using w = await world({ registry });
  const document: Loose = {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata,
    spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
  };
  await create(w.backend, adminCall(), v1, { body: documentBody(document) });
  const seen = (await get(w.backend, adminCall(), v2, request)).document as Loose;
  assert.equal(seen.apiVersion, "autoscaling/v2");
  assert.deepEqual(seen.metadata.annotations, { mine: "1" });
  const target = { type: "Utilization", averageUtilization: 50 };
  assert.deepEqual(seen.spec, {
    scaleTargetRef,
    minReplicas: 1,
    maxReplicas: 3,
    metrics: [{ type: "Resource", resource: { name: "cpu", target } }],
  });
  const { items } = await list(w.backend, adminCall(), v1, { namespace: "default" });
  const [own] = items.map((item) => item.document as Loose);
  assert.deepEqual(own.spec, { ...document.spec, minReplicas: 1 });
  assert.deepEqual(own.status, { currentReplicas: 0, desiredReplicas: 0 });
  document.metadata = { ...metadata, name: "other" };
  document.spec.maxReplicas = 0;
  await fails(
    create(w.backend, adminCall(), v1, { body: documentBody(document) }),
    "invalidArgument",
    /spec\.maxReplicas: Invalid value: 0: must be greater than 0/,
  );
});

const metric = { name: "queue", selector: { matchLabels: { a: "b" } } };
const metrics = [
  { type: "External", external: { metric, target: { type: "AverageValue", averageValue: "30" } } },
  {
    type: "Object",
    object: {
      describedObject: { apiVersion: "v1", kind: "Service", name: "web" },
      metric: { name: "requests" },
      target: { type: "Value", value: "10k" },
    },
  },
  {
    type: "Pods",
    pods: { metric: { name: "busy" }, target: { type: "AverageValue", averageValue: "1" } },
  },
  {
    type: "ContainerResource",
    containerResource: {
      name: "memory",
      container: "web",
      target: { type: "Utilization", averageUtilization: 70 },
    },
  },
  {
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } },
  },
];
const behavior = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [{ type: "Pods", value: 1, periodSeconds: 60 }],
  },
  scaleDown: {
    selectPolicy: "Disabled",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  },
};

test("what v1 has no fields for is kept through an update by v1", async () => {
  await using w = await world({ registry });
  const document: Loose = {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata,
    spec: { scaleTargetRef, minReplicas: 2, maxReplicas: 9, metrics, behavior },
  };
  await create(w.backend, adminCall(), v2, { body: documentBody(document) });
  const older = structuredClone((await get(w.backend, adminCall(), v1, request)).document) as Loose;
  assert.equal(older.spec.targetCPUUtilizationPercentage, 60);
  assert.deepEqual(Object.keys(older.metadata.annotations).sort(), [
    `${prefix}behavior`,
    `${prefix}metrics`,
    "mine",
  ]);
  const noted = JSON.parse(older.metadata.annotations[`${prefix}metrics`]);
  assert.deepEqual(noted[0], {
    type: "External",
    external: { metricName: "queue", metricSelector: metric.selector, targetAverageValue: "30" },
  });
  const rules = JSON.parse(older.metadata.annotations[`${prefix}behavior`]);
  assert.deepEqual(rules.ScaleUp.Policies, [{ Type: "Pods", Value: 1, PeriodSeconds: 60 }]);
  older.spec.maxReplicas = 10;
  older.spec.targetCPUUtilizationPercentage = 65;
  const write = { body: documentBody(older as Document), subresource: "", typed: false } as const;
  await update(w.backend, adminCall(), v1, write);
  const now = (await get(w.backend, adminCall(), v2, request)).document as Loose;
  assert.deepEqual(now.metadata.annotations, { mine: "1" });
  assert.equal(now.spec.maxReplicas, 10);
  const expected = structuredClone(metrics) as Loose[];
  expected[4].resource.target.averageUtilization = 65;
  assert.deepEqual(now.spec.metrics, expected);
  assert.deepEqual(now.spec.behavior, behavior);
});

test("an annotation that cannot be read counts as none", async () => {
  await using w = await world({ registry });
  const annotations = { [`${prefix}metrics`]: "{", [`${prefix}behavior`]: "[1]" };
  const document: Loose = {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata: { ...metadata, annotations },
    spec: { scaleTargetRef, maxReplicas: 3 },
  };
  await create(w.backend, adminCall(), v1, { body: documentBody(document) });
  const { spec } = (await get(w.backend, adminCall(), v2, request)).document as Loose;
  assert.equal(spec.metrics[0].resource.target.averageUtilization, 80);
  assert.equal(spec.behavior, undefined);
});
