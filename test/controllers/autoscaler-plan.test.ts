/** How far an autoscaler follows what is proposed, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HorizontalPodAutoscalerBehavior } from "../../proto/gen/autoscaling_v2.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { decide, History } from "../../services/controllers/horizontal-pod-autoscaler/behavior.ts";
import { PodClaims } from "../../services/controllers/horizontal-pod-autoscaler/pod-claims.ts";
import { proposeReplicas } from "../../services/controllers/horizontal-pod-autoscaler/replicas.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();

interface Case {
  readonly current: number;
  readonly proposed: number;
  /** Proposals and changes of size, and how many seconds ago they were. */
  readonly proposals?: readonly (readonly [replicas: number, ago: number])[];
  readonly changes?: readonly (readonly [by: number, ago: number])[];
  readonly behavior?: HorizontalPodAutoscalerBehavior;
  readonly min?: number;
  readonly max?: number;
}
const pods = (value: number, periodSeconds = 60) => ({ type: "Pods", value, periodSeconds });
const percent = (value: number, periodSeconds = 60) => ({ type: "Percent", value, periodSeconds });
const up = (...policies: object[]) => ({
  scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies },
  scaleDown: { stabilizationWindowSeconds: 300, selectPolicy: "Max", policies: [percent(100)] },
});
const down = (...policies: object[]) => ({
  scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [pods(4)] },
  scaleDown: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies },
});
const windows = (upSeconds: number, downSeconds: number) => ({
  scaleUp: { stabilizationWindowSeconds: upSeconds, policies: [pods(100)] },
  scaleDown: { stabilizationWindowSeconds: downSeconds, policies: [percent(100)] },
});

const rows: readonly [string, Case, string][] = [
  ["as it is", { current: 3, proposed: 3 }, "3 ReadyForNewScale, False DesiredWithinRange"],
  [
    "twice as many at once",
    { current: 10, proposed: 50 },
    "20 ReadyForNewScale, True ScaleUpLimit",
  ],
  ["four at least", { current: 1, proposed: 50 }, "4 ReadyForNewScale, True ScaleUpLimit"],
  [
    "no more than the most",
    { current: 8, proposed: 50, max: 12 },
    "12 ReadyForNewScale, True TooManyReplicas",
  ],
  [
    "no fewer than the least",
    { current: 5, proposed: 1, min: 2, proposals: [] },
    "2 ReadyForNewScale, True TooFewReplicas",
  ],
  [
    "without a behavior the highest of five minutes holds",
    {
      current: 5,
      proposed: 2,
      proposals: [
        [4, 299],
        [9, 301],
      ],
    },
    "4 ScaleDownStabilized, False DesiredWithinRange",
  ],
  [
    "it holds upwards, too",
    { current: 5, proposed: 6, proposals: [[8, 100]] },
    "8 ScaleDownStabilized, False DesiredWithinRange",
  ],
  [
    "growing, the lowest of the window holds",
    {
      current: 5,
      proposed: 9,
      behavior: windows(60, 300),
      proposals: [
        [7, 59],
        [6, 61],
      ],
    },
    "7 ScaleUpStabilized, False DesiredWithinRange",
  ],
  [
    "but it does not shrink for it",
    { current: 5, proposed: 9, behavior: windows(60, 300), proposals: [[3, 30]] },
    "5 ScaleUpStabilized, False DesiredWithinRange",
  ],
  [
    "shrinking, the highest of the window holds",
    {
      current: 9,
      proposed: 2,
      behavior: windows(0, 60),
      proposals: [
        [6, 59],
        [8, 61],
      ],
    },
    "6 ScaleDownStabilized, False DesiredWithinRange",
  ],
  [
    "but it does not grow for it",
    { current: 5, proposed: 2, behavior: windows(0, 60), proposals: [[8, 30]] },
    "5 ScaleDownStabilized, False DesiredWithinRange",
  ],
  [
    "so many pods a minute",
    { current: 5, proposed: 20, behavior: up(pods(2)) },
    "7 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "less what was added in the minute",
    {
      current: 5,
      proposed: 20,
      behavior: up(pods(2)),
      changes: [
        [1, 59],
        [9, 61],
      ],
    },
    "6 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "what was taken away meanwhile comes on top",
    { current: 5, proposed: 20, behavior: up(pods(2)), changes: [[-3, 30]] },
    "10 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "never less than there is",
    { current: 9, proposed: 20, behavior: up(pods(2)), changes: [[6, 30]] },
    "9 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "a share, rounded up",
    { current: 5, proposed: 20, behavior: up(percent(10)) },
    "6 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "the policy that allows the most",
    { current: 5, proposed: 50, behavior: up(pods(2), percent(200)) },
    "15 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "the policy that allows the least",
    {
      current: 5,
      proposed: 50,
      behavior: { scaleUp: { selectPolicy: "Min", policies: [pods(2), percent(200)] } },
    },
    "7 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "it may not grow",
    { current: 5, proposed: 50, behavior: { scaleUp: { selectPolicy: "Disabled" } } },
    "5 ReadyForNewScale, True ScaleUpLimit",
  ],
  [
    "the most comes before the policy",
    { current: 5, proposed: 50, max: 6, behavior: up(pods(2)) },
    "6 ReadyForNewScale, True TooManyReplicas",
  ],
  [
    "so many fewer a minute",
    { current: 9, proposed: 1, behavior: down(pods(2)) },
    "7 ReadyForNewScale, True ScaleDownLimit",
  ],
  [
    "a smaller share, rounded down",
    { current: 9, proposed: 1, behavior: down(percent(25)) },
    "6 ReadyForNewScale, True ScaleDownLimit",
  ],
  [
    "less what was taken away in the minute",
    { current: 9, proposed: 1, behavior: down(pods(4)), changes: [[-3, 30]] },
    "8 ReadyForNewScale, True ScaleDownLimit",
  ],
  [
    "it may not shrink",
    {
      current: 9,
      proposed: 1,
      behavior: { scaleDown: { stabilizationWindowSeconds: 0, selectPolicy: "Disabled" } },
    },
    "9 ReadyForNewScale, True ScaleDownLimit",
  ],
  [
    "the least comes before the policy",
    { current: 9, proposed: 1, min: 8, behavior: down(pods(4)) },
    "8 ReadyForNewScale, True TooFewReplicas",
  ],
];
for (const [title, given, expected] of rows) {
  test(`autoscaler: ${title}`, () => {
    const { current, proposed, behavior, min = 1, max = 100 } = given;
    const history = new History();
    for (const [replicas, seconds] of given.proposals ?? []) {
      history.propose(replicas, now - seconds * 1_000);
    }
    for (const [by, seconds] of given.changes ?? []) history.changed(by, now - seconds * 1_000);
    const { replicas, able, limited } = decide(
      proposed,
      { current, min, max, behavior },
      history,
      now,
    );
    assert.equal(`${replicas} ${able.reason}, ${limited.status} ${limited.reason}`, expected);
  });
}

const podOf = (name: string, labels = {}): Pod => ({
  metadata: { name, labels },
  spec: { containers: [{ name: "c", resources: { requests: { cpu: "100m" } } }] },
  status: {
    phase: "Running",
    startTime: ago(3_600),
    conditions: [{ type: "Ready", status: "True", lastTransitionTime: ago(3_500) }],
  },
});
/** Of four pods so many are measured, at so many millicores each. */
const missingRows: readonly [string, utilization: number, known: number, use: number, number][] = [
  ["all are measured", 50, 4, 100, 8],
  ["growing, an unmeasured one uses nothing", 50, 3, 100, 6],
  ["shrinking, it uses all it asks for", 80, 3, 40, 3],
  ["or what is aimed at, where that is more", 150, 3, 60, 3],
  ["which turns the decision: nothing changes", 50, 2, 40, 4],
];
for (const [title, utilization, known, use, expected] of missingRows) {
  test(`autoscaler, missing measurements: ${title}`, () => {
    const names = ["a", "b", "c", "d"];
    const metrics = names.slice(0, known).map((name) => ({
      metadata: { name },
      timestamp: ago(0),
      window: "15s",
      containers: [{ name: "c", usage: { cpu: `${use}m` } }],
    }));
    const target = { resource: "cpu", utilization, tolerance: { up: 0.1, down: 0.1 } };
    const pods = names.map((name) => podOf(name));
    assert.equal(proposeReplicas(4, target, pods, metrics, now).replicas, expected);
  });
}

test("autoscaler: those that select the same pods are told of each other", () => {
  const claims = new PodClaims();
  const web = [podOf("a", { app: "web" })];
  const selects = (app: string) => (labels: Readonly<Record<string, string>> | undefined) =>
    labels?.["app"] === app;
  assert.deepEqual(claims.note("default/one", selects("web"), web), ["default/one"]);
  assert.deepEqual(claims.note("other/two", selects("web"), web), ["other/two"]);
  assert.deepEqual(claims.note("default/three", selects("db"), []), ["default/three"]);
  const both = ["default/four", "default/one"];
  assert.deepEqual(claims.note("default/four", selects("web"), web), both);
  assert.deepEqual(claims.note("default/one", selects("web"), web), both);
  claims.forget("default/four");
  assert.deepEqual(claims.note("default/one", selects("web"), web), ["default/one"]);
});
