/** Pure plans of the workload controllers, as upstream documents them: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaSet, StatefulSet, StatefulSetSpec } from "../../proto/gen/apps.ts";
import type { CronJob, Job, JobSpec } from "../../proto/gen/batch.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { dueOf, utcText, zonedTime } from "../../services/controllers/cron-job/times.ts";
import {
  boundsOf,
  newReplicas,
  proportional,
  shrinkOld,
} from "../../services/controllers/deployment/arithmetic.ts";
import { remainingMillis } from "../../services/controllers/job/backoff.ts";
import { firstPending, indexesOf, textOf } from "../../services/controllers/job/indexes.ts";
import { successOf, verdictOn } from "../../services/controllers/job/policies.ts";
import { actionsOf } from "../../services/controllers/stateful-set/plan.ts";

const at = (text: string) => Date.parse(text);

interface Due {
  readonly schedule: string;
  readonly timeZone?: string;
  readonly last?: string;
  readonly deadline?: number;
  readonly now: string;
}
const dues: readonly [string, Due, string][] = [
  ["not yet", { schedule: "0 * * * *", now: "2026-03-01T10:30:00Z" }, "next 11:00"],
  [
    "just now",
    { schedule: "0 * * * *", last: "2026-03-01T10:00:00Z", now: "2026-03-01T11:00:00Z" },
    "11:00, next 12:00",
  ],
  [
    "served already",
    { schedule: "0 * * * *", last: "2026-03-01T11:00:00Z", now: "2026-03-01T11:30:00Z" },
    "next 12:00",
  ],
  [
    "several missed: the latest",
    { schedule: "0 * * * *", last: "2026-03-01T07:00:00Z", now: "2026-03-01T11:30:00Z" },
    "11:00, next 12:00",
  ],
  [
    "missed within the deadline",
    {
      schedule: "0 * * * *",
      last: "2026-03-01T10:00:00Z",
      deadline: 600,
      now: "2026-03-01T11:05:00Z",
    },
    "11:00, next 12:00",
  ],
  [
    "missed beyond the deadline",
    {
      schedule: "0 * * * *",
      last: "2026-03-01T10:00:00Z",
      deadline: 60,
      now: "2026-03-01T11:05:00Z",
    },
    "next 12:00",
  ],
  [
    "more than a hundred missed",
    { schedule: "* * * * *", last: "2026-03-01T08:00:00Z", now: "2026-03-01T11:00:30Z" },
    "11:00, next 11:01, too many",
  ],
  [
    "a deadline keeps them few",
    {
      schedule: "* * * * *",
      last: "2026-03-01T08:00:00Z",
      deadline: 200,
      now: "2026-03-01T11:00:30Z",
    },
    "11:00, next 11:01",
  ],
  [
    "in a zone",
    {
      schedule: "0 9 * * *",
      timeZone: "Europe/Berlin",
      last: "2026-02-28T08:00:00Z",
      now: "2026-03-01T08:00:00Z",
    },
    "08:00, next 08:00",
  ],
  [
    "in a zone, when its clocks have gone forward",
    {
      schedule: "0 9 * * *",
      timeZone: "Europe/Berlin",
      last: "2026-03-28T08:00:00Z",
      now: "2026-03-29T07:00:00Z",
    },
    "07:00, next 07:00",
  ],
  ["a day that never comes", { schedule: "0 0 31 2 *", now: "2026-03-01T08:00:00Z" }, "never"],
  [
    "every so often, by its macro",
    { schedule: "@hourly", last: "2026-03-01T10:00:00Z", now: "2026-03-01T11:00:00Z" },
    "11:00, next 12:00",
  ],
];
for (const [title, { schedule, timeZone, last, deadline, now }, expected] of dues) {
  test(`cron job: ${title}`, () => {
    const cronJob: CronJob = {
      metadata: { creationTimestamp: "2026-03-01T10:10:00Z" },
      spec: {
        schedule,
        ...(timeZone !== undefined && { timeZone }),
        ...(deadline !== undefined && { startingDeadlineSeconds: deadline }),
      },
      ...(last !== undefined && { status: { lastScheduleTime: last } }),
    };
    const due = dueOf(cronJob, at(now));
    const clock = (millis: number) => new Date(millis).toISOString().slice(11, 16);
    const shown =
      typeof due === "string"
        ? "never"
        : [
            ...(due.scheduledMillis === undefined ? [] : [clock(due.scheduledMillis)]),
            ...(due.nextMillis === undefined ? [] : [`next ${clock(due.nextMillis)}`]),
            ...(due.tooManyMissed ? ["too many"] : []),
          ].join(", ");
    assert.equal(shown, expected);
  });
}

test("cron job: times as people read them", () => {
  const time = at("2026-07-01T07:00:00Z");
  assert.equal(zonedTime(time, "Europe/Berlin"), "2026-07-01T09:00:00+02:00");
  assert.equal(zonedTime(time, "Etc/UTC"), "2026-07-01T07:00:00Z");
  assert.equal(utcText(time), "Wed, 01 Jul 2026 07:00:00 +0000");
});

const set = (name: string, replicas: number, available = replicas): ReplicaSet => ({
  metadata: { name },
  spec: { replicas },
  status: { availableReplicas: available },
});
type Rolling = { maxSurge?: number | string; maxUnavailable?: number | string };
const bounds = (replicas: number, rollingUpdate: Rolling = {}) =>
  boundsOf({ spec: { replicas, strategy: { type: "RollingUpdate", rollingUpdate } } });

const boundRows: readonly [number, Rolling, number, number][] = [
  [10, {}, 3, 2],
  [4, {}, 1, 1],
  [1, {}, 1, 0],
  [10, { maxSurge: "30%", maxUnavailable: "30%" }, 3, 3],
  [10, { maxSurge: 0, maxUnavailable: "5%" }, 0, 1],
  [10, { maxSurge: 5, maxUnavailable: 0 }, 5, 0],
  [2, { maxSurge: 1, maxUnavailable: 5 }, 1, 2],
];
for (const [replicas, rolling, surge, unavailable] of boundRows) {
  test(`deployment of ${replicas}, ${JSON.stringify(rolling)}: +${surge} −${unavailable}`, () => {
    const found = bounds(replicas, rolling);
    assert.deepEqual([found.maxSurge, found.maxUnavailable], [surge, unavailable]);
  });
}

const growRows: readonly [string, number, Rolling, ReplicaSet[], number][] = [
  ["alone it gets everything", 10, {}, [set("new", 0)], 10],
  ["beside an old one, the surge", 10, {}, [set("new", 0), set("old", 10)], 3],
  ["as the old one shrinks, it grows", 10, {}, [set("new", 3), set("old", 8)], 5],
  ["without surge it waits", 10, { maxSurge: 0 }, [set("new", 0), set("old", 10)], 0],
  ["never beyond what is wanted", 10, {}, [set("new", 9), set("old", 0)], 10],
  ["it shrinks at once", 5, {}, [set("new", 9)], 5],
];
for (const [title, replicas, rolling, sets, expected] of growRows) {
  test(`deployment, the new set: ${title}`, () => {
    assert.equal(newReplicas(bounds(replicas, rolling), sets, sets[0]!), expected);
  });
}

const shrinkRows: readonly [string, number, Rolling, ReplicaSet, ReplicaSet[], number[]][] = [
  [
    "none while the new one is not there",
    10,
    { maxUnavailable: 0 },
    set("n", 3, 0),
    [set("o", 10)],
    [10],
  ],
  ["as many as may be missing", 10, { maxUnavailable: 2 }, set("n", 3, 0), [set("o", 10)], [8]],
  [
    "as the new one becomes available",
    10,
    { maxUnavailable: 0 },
    set("n", 3, 3),
    [set("o", 10)],
    [7],
  ],
  ["the unhealthy ones first", 10, { maxUnavailable: 0 }, set("n", 3, 0), [set("o", 10, 7)], [10]],
  [
    "the unhealthy ones, as the bound allows",
    10,
    { maxUnavailable: 4 },
    set("n", 3, 0),
    [set("o", 10, 7)],
    [6],
  ],
  ["all when the new one is whole", 4, {}, set("n", 4), [set("a", 2), set("b", 1)], [0, 0]],
];
for (const [title, replicas, rolling, fresh, old, expected] of shrinkRows) {
  test(`deployment, the old sets: ${title}`, () => {
    const targets = shrinkOld(bounds(replicas, rolling), [fresh, ...old], old, fresh);
    assert.deepEqual(
      targets.map((each) => each.replicas),
      expected,
    );
  });
}

const spreadRows: readonly [number, number[], number[]][] = [
  [13, [8, 5], [8, 5]],
  [26, [8, 5], [16, 10]],
  [20, [10, 5], [13, 7]],
  [5, [6, 4], [3, 2]],
  [0, [6, 4], [0, 0]],
];
for (const [allowed, sizes, expected] of spreadRows) {
  test(`deployment, ${allowed} spread over ${sizes.join(" and ")}`, () => {
    const targets = proportional(
      { wanted: allowed, maxSurge: 0, maxUnavailable: 0 },
      sizes.map((size, index) => set(`s${index}`, size)),
      sizes.reduce((total, size) => total + size, 0),
    );
    assert.deepEqual(
      targets.map((each) => each.replicas),
      expected,
    );
  });
}

const now = at("2026-03-01T12:00:00Z");
const revision = (name: string) => ({ metadata: { name } });
const member = (ordinal: number, hash = "new", phase = "Running", ready = true): Pod => ({
  metadata: {
    name: `db-${ordinal}`,
    labels: { "controller-revision-hash": hash },
    creationTimestamp: "2026-03-01T11:00:00Z",
  },
  status: {
    phase,
    conditions: [
      {
        type: "Ready",
        status: ready ? "True" : "False",
        lastTransitionTime: "2026-03-01T11:00:00Z",
      },
    ],
  },
});
const going = (pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, deletionTimestamp: "2026-03-01T11:59:00Z" },
});
const rolling = (rollingUpdate: object): StatefulSetSpec => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate },
});
const parallel: StatefulSetSpec = { podManagementPolicy: "Parallel" };

function steps(spec: StatefulSetSpec, pods: readonly Pod[]): string {
  const stateful: StatefulSet = {
    metadata: { name: "db", namespace: "default" },
    spec: {
      replicas: 3,
      podManagementPolicy: "OrderedReady",
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      ...spec,
    },
    status: { currentReplicas: 3 },
  };
  const current = revision("old");
  const update = revision("new");
  return actionsOf({ set: stateful, pods, current, update, now })
    .filter(({ verb }) => verb !== "identify" && verb !== "claim")
    .map((action) => {
      if (action.verb === "create") {
        return `create ${action.ordinal} ${action.revision.metadata?.name}`;
      }
      return "pod" in action ? `${action.verb} ${action.pod.metadata?.name}` : action.verb;
    })
    .join(", ");
}

const all = [0, 1, 2];
const statefulRows: readonly [string, StatefulSetSpec, Pod[], string][] = [
  ["the first one", {}, [], "create 0 new"],
  ["the next when the one before is ready", {}, [member(0)], "create 1 new"],
  ["not while the one before is not ready", {}, [member(0, "new", "Running", false)], ""],
  ["not while the one before is pending", {}, [member(0, "new", "Pending", false)], ""],
  ["not while one before goes", {}, [going(member(0)), member(1)], ""],
  ["a gap is filled first", {}, [member(0), member(2)], "create 1 new"],
  ["one that failed comes again", {}, [member(0, "new", "Failed", false)], "recreate db-0"],
  ["all at once", parallel, [], "create 0 new, create 1 new, create 2 new"],
  [
    "all at once, whatever their state",
    parallel,
    [member(0, "new", "Pending", false)],
    "create 1 new, create 2 new",
  ],
  ["the last one goes first", { replicas: 1 }, all.map((n) => member(n)), "delete db-2"],
  ["one after the other", { replicas: 1 }, [member(0), member(1), going(member(2))], ""],
  [
    "not while one that stays is not ready",
    { replicas: 1 },
    [member(0, "new", "Running", false), member(1), member(2)],
    "",
  ],
  [
    "all that are too many at once",
    { ...parallel, replicas: 1 },
    all.map((n) => member(n)),
    "delete db-2, delete db-1",
  ],
  ["a rollout begins at the end", {}, all.map((n) => member(n, "old")), "delete db-2"],
  [
    "and goes on when that one is ready",
    {},
    [member(0, "old"), member(1, "old"), member(2)],
    "delete db-1",
  ],
  [
    "but not before",
    {},
    [member(0, "old"), member(1, "old"), member(2, "new", "Running", false)],
    "",
  ],
  [
    "as far as the partition",
    rolling({ partition: 2 }),
    [member(0, "old"), member(1, "old"), member(2)],
    "",
  ],
  ["a partition beyond all: none", rolling({ partition: 5 }), all.map((n) => member(n, "old")), ""],
  [
    "on deletion only",
    { updateStrategy: { type: "OnDelete" } },
    all.map((n) => member(n, "old")),
    "",
  ],
  ["below the partition as it was", rolling({ partition: 2 }), [], "create 0 old"],
  ["above it as it shall be", rolling({ partition: 1 }), [member(0, "old")], "create 1 new"],
  [
    "several at once where so many may be missing",
    { ...parallel, ...rolling({ maxUnavailable: 2 }) },
    all.map((n) => member(n, "old")),
    "delete db-2, delete db-1",
  ],
  ["numbers that begin elsewhere", { ordinals: { start: 5 } }, [], "create 5 new"],
  ["none", { replicas: 0 }, [], ""],
];
for (const [title, spec, pods, expected] of statefulRows) {
  test(`stateful set: ${title}`, () => assert.equal(steps(spec, pods), expected));
}

const indexRows: readonly [string, number, number[]][] = [
  ["", 5, []],
  ["0", 5, [0]],
  ["1,3-5", 10, [1, 3, 4, 5]],
  ["1,3-5", 4, [1, 3]],
];
for (const [text, completions, expected] of indexRows) {
  test(`job: the indexes "${text}" of ${completions}`, () => {
    assert.deepEqual([...indexesOf(text, completions)], expected);
  });
}
const textRows: readonly [number[], string][] = [
  [[], ""],
  [[3], "3"],
  [[1, 2], "1,2"],
  [[1, 2, 3], "1-3"],
  [[5, 1, 3, 4], "1,3-5"],
];
for (const [indexes, expected] of textRows) {
  test(`job: the text of ${JSON.stringify(indexes)}`, () => {
    assert.equal(textOf(new Set(indexes)), expected);
  });
}

test("job: the next indexes are the lowest that are free", () => {
  assert.deepEqual(firstPending(2, 6, new Set([0, 2]), new Set([3])), [1, 4]);
  assert.deepEqual(firstPending(9, 3, new Set([1])), [0, 2]);
});

const pauses: readonly [number, number][] = [
  [0, 0],
  [1, 10_000],
  [2, 20_000],
  [3, 40_000],
  [7, 600_000],
  [50, 600_000],
];
for (const [failures, expected] of pauses) {
  test(`job: the pause after ${failures} failures`, () => {
    assert.equal(remainingMillis(failures, now, now), expected);
  });
}

const failed = (exitCode: number, container = "main", conditions: object[] = []): Pod => ({
  metadata: { name: "p", namespace: "default" },
  status: {
    phase: "Failed",
    conditions,
    containerStatuses: [{ name: container, state: { terminated: { exitCode } } }],
  },
});
const ruled = (rules: NonNullable<JobSpec["podFailurePolicy"]>["rules"]): Job => ({
  spec: { podFailurePolicy: { rules } },
});
const exit = (action: string, operator: string, values: number[], containerName?: string) => ({
  action,
  onExitCodes: { operator, values, ...(containerName !== undefined && { containerName }) },
});
const disrupted = { type: "DisruptionTarget", status: "True" };
const verdicts: readonly [string, Job, Pod, string][] = [
  ["no policy", {}, failed(1), "Count"],
  ["a code that is named", ruled([exit("FailJob", "In", [42])]), failed(42), "FailJob"],
  ["a code that is not", ruled([exit("FailJob", "In", [42])]), failed(1), "Count"],
  ["all codes but one", ruled([exit("Ignore", "NotIn", [42])]), failed(1), "Ignore"],
  ["success is never a match", ruled([exit("Ignore", "NotIn", [42])]), failed(0), "Count"],
  ["another container", ruled([exit("FailJob", "In", [42], "side")]), failed(42), "Count"],
  ["its container", ruled([exit("FailJob", "In", [42], "side")]), failed(42, "side"), "FailJob"],
  [
    "a disruption",
    ruled([{ action: "Ignore", onPodConditions: [disrupted] }]),
    failed(137, "main", [disrupted]),
    "Ignore",
  ],
  [
    "the first rule that matches",
    ruled([exit("FailIndex", "In", [1, 42]), exit("FailJob", "In", [42])]),
    failed(42),
    "FailIndex",
  ],
  [
    "a pod that still runs",
    ruled([exit("FailJob", "In", [42])]),
    { ...failed(42), status: { ...failed(42).status, phase: "Running" } },
    "Count",
  ],
];
for (const [title, job, pod, expected] of verdicts) {
  test(`job, a failed pod: ${title}`, () => assert.equal(verdictOn(job, pod).action, expected));
}

test("job, a failed pod: the rule and the reason are told", () => {
  assert.equal(
    verdictOn(ruled([exit("FailJob", "In", [42])]), failed(42)).message,
    "Container main for pod default/p failed with exit code 42 matching FailJob rule at index 0",
  );
});

const successes: readonly [string, object[], number[], string | undefined][] = [
  ["no rule", [], [0, 1], undefined],
  ["so many", [{ succeededCount: 2 }], [0, 3], "Matched rules at index 0"],
  ["too few", [{ succeededCount: 2 }], [0], undefined],
  ["all that are named", [{ succeededIndexes: "0-1" }], [0, 1], "Matched rules at index 0"],
  ["not all that are named", [{ succeededIndexes: "0-1" }], [0, 2], undefined],
  [
    "some of those that are named",
    [{ succeededIndexes: "0-3", succeededCount: 1 }],
    [2],
    "Matched rules at index 0",
  ],
  [
    "the second rule",
    [{ succeededIndexes: "4" }, { succeededCount: 1 }],
    [2],
    "Matched rules at index 1",
  ],
];
for (const [title, rules, succeeded, expected] of successes) {
  test(`job, success: ${title}`, () => {
    const job: Job = { spec: { completions: 5, successPolicy: { rules } } };
    assert.equal(successOf(job, new Set(succeeded)), expected);
  });
}
