import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  HorizontalPodAutoscalerSpec,
  HPAScalingRules,
  MetricSpec,
} from "../../proto/gen/autoscaling_v2.ts";
import type { Pod } from "../../proto/gen/core.ts";
import type { PodMetrics } from "../../proto/gen/metrics.ts";
import {
  type Bounds,
  decide,
  History,
} from "../../services/controllers/horizontal-pod-autoscaler/behavior.ts";
import { horizontalPodAutoscalerController } from "../../services/controllers/horizontal-pod-autoscaler/controller.ts";
import { proposeAll } from "../../services/controllers/horizontal-pod-autoscaler/metrics.ts";
import type { RealApi } from "../client/real-api.ts";
import { deployment, harness, putPod, replicaSet } from "./harness.ts";

const now = Date.parse("2026-01-01T01:00:00Z");
const hourAgo = "2026-01-01T00:00:00Z";

/** A pod that has been ready for an hour and asks for so many millicores. */
function pod(name: string, cpu: number, change: Pod = {}): Pod {
  return {
    metadata: { name, namespace: "default", labels: { app: "web" }, ...change.metadata },
    spec: { containers: [{ name: "c", resources: { requests: { cpu: `${cpu}m` } } }] },
    status: {
      phase: "Running",
      startTime: hourAgo,
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: hourAgo }],
      ...change.status,
    },
  };
}
const used = (name: string, cpu: number, at = now): PodMetrics => ({
  metadata: { name },
  timestamp: new Date(at).toISOString(),
  window: "15s",
  containers: [{ name: "c", usage: { cpu: `${cpu}m`, memory: "100Mi" } }],
});
const cpu = (averageUtilization: number): MetricSpec => ({
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization } },
});
const average = (name: string, averageValue: string): MetricSpec => ({
  type: "Resource",
  resource: { name, target: { type: "AverageValue", averageValue } },
});
const three = (mcpu: number) => ["a", "b", "c"].map((name) => used(name, mcpu));
const pods = ["a", "b", "c"].map((name) => pod(name, 100));
const starting = (name: string) =>
  pod(name, 100, {
    status: {
      phase: "Running",
      startTime: new Date(now - 60_000).toISOString(),
      conditions: [
        {
          type: "Ready",
          status: "False",
          lastTransitionTime: new Date(now - 60_000).toISOString(),
        },
      ],
    },
  });

type Row = readonly [string, MetricSpec[], Pod[], PodMetrics[], number | string];
const rows: readonly Row[] = [
  ["on target", [cpu(50)], pods, three(50), 3],
  ["twice the target", [cpu(50)], pods, three(100), 6],
  ["half the target", [cpu(50)], pods, three(25), 2],
  ["a tenth above is tolerated", [cpu(50)], pods, three(55), 3],
  ["a tenth below is tolerated", [cpu(50)], pods, three(45), 3],
  ["a little more than a tenth is not", [cpu(50)], pods, three(56), 4],
  ["parts of a replica are rounded up", [cpu(50)], pods, three(60), 4],
  ["nothing used", [cpu(50)], pods, three(0), 0],
  ["an average of millicores", [average("cpu", "50m")], pods, three(100), 6],
  ["an average of memory", [average("memory", "50Mi")], pods, three(0), 6],
  [
    "the metric that wants the most decides",
    [cpu(50), average("memory", "50Mi")],
    pods,
    three(25),
    6,
  ],
  [
    "a container alone",
    [
      {
        type: "ContainerResource",
        containerResource: {
          name: "cpu",
          container: "c",
          target: { type: "Utilization", averageUtilization: 50 },
        },
      },
    ],
    pods,
    three(100),
    6,
  ],
  [
    "a pod that was not measured is taken to use nothing when there is too much to do",
    [cpu(50)],
    pods,
    [used("a", 200), used("b", 200)],
    8,
  ],
  [
    "and to use all it asks for when there is too little",
    [cpu(50)],
    pods,
    [used("a", 10), used("b", 10)],
    3,
  ],
  [
    "a pod that starts does not count",
    [cpu(50)],
    [...pods.slice(0, 2), starting("c")],
    [used("a", 25), used("b", 25), used("c", 900)],
    1,
  ],
  [
    "nor does it when there is too much to do, but as one that will help",
    [cpu(50)],
    [...pods.slice(0, 2), starting("c")],
    [used("a", 100), used("b", 100), used("c", 900)],
    4,
  ],
  [
    "a pod that goes does not count",
    [cpu(50)],
    [...pods, pod("d", 100, { metadata: { name: "d", deletionTimestamp: hourAgo } })],
    [...three(100), used("d", 0)],
    6,
  ],
  [
    "no pods measured",
    [cpu(50)],
    pods,
    [],
    "FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource " +
      "cpu: no metrics returned from resource metrics API",
  ],
  [
    "a pod that asks for nothing",
    [cpu(50)],
    [{ ...pod("a", 1), spec: { containers: [{ name: "c" }] } }],
    three(50),
    "FailedGetResourceMetric: failed to get cpu utilization: missing request for cpu in " +
      "container c of Pod a",
  ],
  [
    "no pods",
    [cpu(50)],
    [],
    three(50),
    "FailedGetResourceMetric: failed to get cpu utilization: no pods returned by selector while " +
      "calculating replica count",
  ],
  [
    "metrics that nothing serves",
    [{ type: "Pods", pods: { metric: { name: "qps" }, target: { averageValue: "1" } } }],
    pods,
    three(50),
    "FailedGetPodsMetric: unable to get metric qps: unable to fetch metrics from custom metrics " +
      "API: no custom metrics API (custom.metrics.k8s.io) registered",
  ],
  [
    "with one metric unknown, the other may add",
    [cpu(50), { type: "External", external: { metric: { name: "q" }, target: { value: "1" } } }],
    pods,
    three(100),
    6,
  ],
  [
    "with one metric unknown, the other may not take away",
    [cpu(50), { type: "External", external: { metric: { name: "q" }, target: { value: "1" } } }],
    pods,
    three(10),
    "FailedGetExternalMetric: unable to get external metric q: unable to fetch metrics from " +
      "external metrics API: no external metrics API (external.metrics.k8s.io) registered",
  ],
];
for (const [title, metrics, given, measured, expected] of rows) {
  test(`proposal: ${title}`, () => {
    const spec: HorizontalPodAutoscalerSpec = { metrics };
    const found = proposeAll(spec, 3, { pods: given, metrics: measured, nowMillis: now });
    const [failure] = found.failures;
    const shown = found.best?.replicas ?? `${failure?.reason}: ${failure?.message}`;
    assert.equal(shown, expected);
  });
}

test("proposal: tolerance of its own", () => {
  const spec = { metrics: [cpu(50)], behavior: { scaleUp: { tolerance: "500m" } } };
  const measured = (mcpu: number) => ({ pods, metrics: three(mcpu), nowMillis: now });
  assert.equal(proposeAll(spec, 3, measured(70)).best?.replicas, 3);
  assert.equal(proposeAll(spec, 3, measured(80)).best?.replicas, 5);
});

const rules = (change: HPAScalingRules): HPAScalingRules => ({
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  ...change,
});
const bounds = (
  current: number,
  scaleUp?: HPAScalingRules,
  scaleDown?: HPAScalingRules,
): Bounds => ({
  ...{ current, min: 2, max: 20 },
  behavior:
    scaleUp || scaleDown
      ? { scaleUp: scaleUp ?? rules({}), scaleDown: scaleDown ?? rules({}) }
      : undefined,
});
const byPods = (value: number, periodSeconds = 60) => [{ type: "Pods", value, periodSeconds }];

type Decided = readonly [string, Bounds, number, number, string, string];
const decisions: readonly Decided[] = [
  ["as proposed", bounds(5), 7, 7, "ReadyForNewScale", "DesiredWithinRange"],
  ["no more than twice as many", bounds(5), 15, 10, "ReadyForNewScale", "ScaleUpLimit"],
  ["four at once in any case", bounds(2), 9, 4, "ReadyForNewScale", "ScaleUpLimit"],
  ["no more than the most", bounds(15), 25, 20, "ReadyForNewScale", "TooManyReplicas"],
  ["no fewer than the fewest", bounds(5), 1, 2, "ReadyForNewScale", "TooFewReplicas"],
  [
    "policy: so many pods",
    bounds(5, rules({ policies: byPods(2) })),
    15,
    7,
    "ReadyForNewScale",
    "ScaleUpLimit",
  ],
  [
    "policy: a share",
    bounds(5, rules({ policies: [{ type: "Percent", value: 10, periodSeconds: 60 }] })),
    15,
    6,
    "ReadyForNewScale",
    "ScaleUpLimit",
  ],
  [
    "policy: the larger of two",
    bounds(5, rules({ policies: [...byPods(2), { type: "Percent", value: 100 }] })),
    15,
    10,
    "ReadyForNewScale",
    "ScaleUpLimit",
  ],
  [
    "policy: the smaller of two",
    bounds(
      5,
      rules({ selectPolicy: "Min", policies: [...byPods(2), { type: "Percent", value: 100 }] }),
    ),
    15,
    7,
    "ReadyForNewScale",
    "ScaleUpLimit",
  ],
  [
    "policy: not upwards",
    bounds(5, rules({ selectPolicy: "Disabled" })),
    15,
    5,
    "ReadyForNewScale",
    "ScaleUpLimit",
  ],
  [
    "policy: so many pods fewer",
    bounds(10, undefined, rules({ policies: byPods(2) })),
    3,
    8,
    "ReadyForNewScale",
    "ScaleDownLimit",
  ],
  [
    "policy: a share fewer",
    bounds(10, undefined, rules({ policies: [{ type: "Percent", value: 25, periodSeconds: 60 }] })),
    3,
    7,
    "ReadyForNewScale",
    "ScaleDownLimit",
  ],
  [
    "policy: not downwards",
    bounds(10, undefined, rules({ selectPolicy: "Disabled" })),
    3,
    10,
    "ReadyForNewScale",
    "ScaleDownLimit",
  ],
];
for (const [title, given, proposed, expected, able, limited] of decisions) {
  test(`decision: ${title}`, () => {
    const decision = decide(proposed, given, new History(), now);
    assert.deepEqual(
      [decision.replicas, decision.able.reason, decision.limited.reason],
      [expected, able, limited],
    );
  });
}

test("decision: for five minutes the highest proposal holds", () => {
  const history = new History();
  history.propose(8, now);
  const later = (minutes: number) => decide(3, bounds(8), history, now + minutes * 60_000);
  assert.equal(later(1).replicas, 8);
  assert.equal(later(1).able.reason, "ScaleDownStabilized");
  assert.equal(later(4.9).replicas, 8);
  assert.equal(later(5.1).replicas, 3);
});

test("decision: upwards, the lowest proposal of the window holds", () => {
  const history = new History();
  history.propose(6, now);
  const given = bounds(5, rules({ stabilizationWindowSeconds: 60 }));
  const decision = decide(10, given, history, now + 30_000);
  assert.equal(decision.replicas, 6);
  assert.equal(decision.able.reason, "ScaleUpStabilized");
  assert.equal(decide(10, given, history, now + 61_000).replicas, 10);
});

test("decision: what has been added in the period counts", () => {
  const history = new History();
  history.changed(2, now);
  const given = bounds(7, rules({ policies: byPods(4) }));
  assert.equal(decide(20, given, history, now + 30_000).replicas, 9);
  assert.equal(decide(20, given, history, now + 61_000).replicas, 11);
});

const scaler = (spec: HorizontalPodAutoscalerSpec = {}) => ({
  metadata: { name: "web", namespace: "default" },
  spec: {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
    minReplicas: 1,
    maxReplicas: 10,
    ...spec,
  },
});
const conditions = (api: RealApi) =>
  (api.get("HorizontalPodAutoscaler", "default/web")?.status?.conditions ?? []).map(
    ({ type, status, reason }) => `${type} ${status} ${reason}`,
  );

test("a deployment grows with its load, and says so", async () => {
  let load = 80;
  const metrics = async () => [{ ...used("a", load), timestamp: new Date().toISOString() }];
  const { api, client, clock, end } = await harness(
    horizontalPodAutoscalerController({ workers: 1, metrics }),
  );
  await client.deployments.create(deployment(1));
  const old = new Date(clock.wallMillis() - 3_600_000).toISOString();
  await putPod(client, {
    ...pod("a", 100),
    status: {
      phase: "Running",
      startTime: old,
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: old }],
    },
  });
  await client.horizontalPodAutoscalers.create(scaler());
  await clock.advance(100);
  assert.deepEqual(conditions(api), [
    "AbleToScale True ReadyForNewScale",
    "ScalingActive True ValidMetricFound",
    "ScalingLimited False DesiredWithinRange",
  ]);
  const { status } = api.get("HorizontalPodAutoscaler", "default/web") ?? {};
  assert.deepEqual(status?.currentMetrics?.[0]?.resource?.current, {
    averageValue: "80m",
    averageUtilization: 80,
  });
  load = 240;
  await clock.advance(15_000);
  assert.equal(api.get("Deployment", "default/web")?.spec?.replicas, 3);
  const event = api.all("Event").find(({ reason }) => reason === "SuccessfulRescale");
  const why = "cpu resource utilization (percentage of request) above target";
  assert.equal(event?.message, `New size: 3; reason: ${why}`);
  assert.equal(conditions(api)[0], "AbleToScale True SucceededRescale");
  await end();
});

test("targets that are not there, have no scale, or are out of bounds", async () => {
  const { api, client, clock, end } = await harness(
    horizontalPodAutoscalerController({ workers: 1, metrics: async () => [] }),
  );
  await client.horizontalPodAutoscalers.create(scaler());
  await clock.advance(100);
  assert.deepEqual(conditions(api), ["AbleToScale False FailedGetScale"]);
  const [event] = api.all("Event");
  assert.equal(event?.message, 'deployments.apps "web" not found');
  await client.deployments.create(deployment(0));
  await clock.advance(15_000);
  assert.ok(conditions(api).includes("ScalingActive False ScalingDisabled"));
  await api.change("Deployment", "default/web", (each) => {
    each.spec!.replicas = 12;
  });
  await clock.advance(15_000);
  assert.equal(api.get("Deployment", "default/web")?.spec?.replicas, 10);
  await api.change("HorizontalPodAutoscaler", "default/web", (each) => {
    each.spec!.scaleTargetRef = { apiVersion: "batch/v1", kind: "Job", name: "web" };
  });
  await clock.advance(100);
  assert.ok(conditions(api).includes("AbleToScale False FailedGetScale"));
  await client.replicaSets.create(replicaSet(1));
  await api.change("HorizontalPodAutoscaler", "default/web", (each) => {
    each.spec = { ...each.spec, minReplicas: 2 };
    each.spec.scaleTargetRef = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web" };
  });
  await clock.advance(100);
  assert.equal(api.get("ReplicaSet", "default/web")?.spec?.replicas, 2);
  await end();
});
