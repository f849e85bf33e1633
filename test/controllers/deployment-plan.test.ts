/** What a Deployment does and says next, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  Deployment,
  DeploymentSpec,
  DeploymentStatus,
  ReplicaSet,
} from "../../proto/gen/apps.ts";
import { boundsOf, scaled, shrinkOld } from "../../services/controllers/deployment/arithmetic.ts";
import {
  forgettable,
  numberedAnnotations,
} from "../../services/controllers/deployment/revisions.ts";
import { millisToDeadline, statusOf } from "../../services/controllers/deployment/status.ts";

const annotation = (name: string) => `deployment.kubernetes.io/${name}`;
type Rolling = { maxSurge?: number | string; maxUnavailable?: number | string };
const strategy = (rollingUpdate: Rolling) => ({ type: "RollingUpdate", rollingUpdate });

const boundRows: readonly [number, DeploymentSpec["strategy"], string][] = [
  [3, undefined, "+1 -0"],
  [10, strategy({ maxSurge: "25%", maxUnavailable: "25%" }), "+3 -2"],
  [100, strategy({ maxSurge: "1%", maxUnavailable: "1%" }), "+1 -1"],
  [1, strategy({ maxSurge: "1%", maxUnavailable: "99%" }), "+1 -0"],
  [1, strategy({ maxSurge: 0, maxUnavailable: "99%" }), "+0 -1"],
  [10, strategy({ maxSurge: "0%", maxUnavailable: "0%" }), "+0 -1"],
  [10, strategy({ maxSurge: "100%", maxUnavailable: "100%" }), "+10 -10"],
  [4, strategy({ maxSurge: 20, maxUnavailable: 20 }), "+20 -4"],
  [0, strategy({ maxSurge: "25%", maxUnavailable: "25%" }), "+0 -0"],
  [5, { type: "Recreate" }, "+0 -0"],
];
for (const [replicas, way, expected] of boundRows) {
  test(`deployment of ${replicas}, ${JSON.stringify(way)}: ${expected}`, () => {
    const spec = { replicas, ...(way && { strategy: way }) };
    const { maxSurge, maxUnavailable } = boundsOf({ spec });
    assert.equal(`+${maxSurge} -${maxUnavailable}`, expected);
  });
}

/** The higher the version, the newer. */
const version = (
  number: number,
  replicas: number,
  noted = {},
  available = replicas,
): ReplicaSet => ({
  metadata: {
    name: `v${number}`,
    creationTimestamp: `2026-03-01T10:00:0${number}Z`,
    annotations: { [annotation("revision")]: String(number), ...noted },
  },
  spec: { replicas },
  status: { replicas, availableReplicas: available, readyReplicas: available },
});
const sized = (from: number, surge = 0) => ({
  [annotation("desired-replicas")]: String(from),
  [annotation("max-replicas")]: String(from + surge),
});

interface Scaling {
  readonly from: number;
  readonly to: number;
  /** Before and after; absent: 0. */
  readonly surge?: readonly [number, number];
  /** Oldest first; the last one is of the present template, unless told. */
  readonly sizes: readonly number[];
  readonly noFresh?: true;
  readonly spec?: DeploymentSpec;
}
const scaleRows: readonly [string, Scaling, string][] = [
  ["one set grows at once", { from: 10, to: 12, sizes: [10] }, "v1=12"],
  ["one set shrinks at once", { from: 10, to: 5, sizes: [10] }, "v1=5"],
  ["both grow in proportion", { from: 5, to: 10, sizes: [1, 4] }, "v1=2 v2=8"],
  ["both shrink in proportion", { from: 5, to: 3, sizes: [1, 4] }, "v1=1 v2=2"],
  ["the smaller one shrinks away", { from: 9, to: 4, sizes: [1, 8] }, "v1=0 v2=4"],
  ["three of them grow", { from: 7, to: 10, sizes: [2, 3, 2] }, "v1=3 v2=4 v3=3"],
  ["three of them shrink", { from: 13, to: 8, sizes: [8, 3, 2] }, "v1=5 v2=2 v3=1"],
  ["what is left over goes to the newest", { from: 3, to: 4, sizes: [1, 1, 1] }, "v1=1 v2=1 v3=2"],
  ["and then to the next", { from: 3, to: 5, sizes: [1, 1, 1] }, "v1=1 v2=2 v3=2"],
  ["an even share", { from: 3, to: 6, sizes: [1, 1, 1] }, "v1=2 v2=2 v3=2"],
  ["to nothing", { from: 6, to: 0, sizes: [3, 2, 1] }, "v1=0 v2=0 v3=0"],
  ["the surge grows with it", { from: 10, to: 20, surge: [2, 2], sizes: [6, 6] }, "v1=11 v2=11"],
  [
    "size and surge change together",
    { from: 10, to: 50, surge: [3, 6], sizes: [8, 5] },
    "v1=34 v2=22",
  ],
  ["without the present set", { from: 5, to: 10, sizes: [5], noFresh: true }, "v1=10"],
  ["one that has nothing yet", { from: 0, to: 3, sizes: [0, 0] }, "v2=3"],
  ["the newest of the old ones", { from: 0, to: 3, sizes: [0, 0], noFresh: true }, "v2=3"],
  [
    "beside a whole new set the old ones go",
    { from: 4, to: 4, surge: [1, 1], sizes: [1, 4] },
    "v1=0",
  ],
  [
    "Recreate keeps its sizes until one is left",
    { from: 4, to: 6, sizes: [2, 2], spec: { strategy: { type: "Recreate" } } },
    "v1=2 v2=2",
  ],
];
for (const [title, scaling, expected] of scaleRows) {
  test(`deployment, scaled: ${title}`, () => {
    const { from, to, surge: [before, after] = [0, 0], sizes, noFresh, spec } = scaling;
    const sets = sizes.map((size, index) => version(index + 1, size, sized(from, before)));
    const fresh = noFresh ? undefined : sets.pop();
    const rolling = { maxSurge: after, maxUnavailable: 1 };
    const targets = scaled(
      { spec: { replicas: to, strategy: strategy(rolling), ...spec } },
      fresh,
      sets,
    );
    const shown = targets.map(({ set, replicas }) => `${set.metadata?.name}=${replicas}`);
    assert.equal(shown.sort().join(" "), expected);
  });
}

const shrinkRows: readonly [string, number, Rolling, [number, number], number[][], string][] = [
  [
    "what never came up goes first",
    10,
    { maxUnavailable: 0 },
    [10, 7],
    [
      [5, 2],
      [5, 5],
    ],
    "0 3",
  ],
  [
    "the oldest of the healthy first",
    10,
    { maxUnavailable: 2 },
    [3, 3],
    [
      [5, 5],
      [5, 5],
    ],
    "0 5",
  ],
  ["nothing while too few are there", 10, { maxUnavailable: 1 }, [4, 0], [[8, 8]], "8"],
  ["nothing beyond the bound", 10, { maxUnavailable: 2 }, [5, 5], [[3, 3]], "3"],
  [
    "all that never came up",
    4,
    { maxUnavailable: 4 },
    [4, 0],
    [
      [2, 0],
      [2, 0],
    ],
    "0 0",
  ],
];
for (const [title, replicas, rolling, [size, ready], old, expected] of shrinkRows) {
  test(`deployment, old sets: ${title}`, () => {
    const bounds = boundsOf({ spec: { replicas, strategy: strategy(rolling) } });
    const sets = old.map(([of = 0, up = 0], index) => version(index + 1, of, {}, up));
    const fresh = version(9, size, {}, ready);
    const targets = shrinkOld(bounds, [...sets, fresh], sets, fresh);
    assert.equal(targets.map((each) => each.replicas).join(" "), expected);
  });
}

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
interface Look {
  readonly spec?: DeploymentSpec;
  /** The condition Progressing as it was, and how long ago it was written. */
  readonly known?: readonly [status: string, reason: string, secondsAgo: number];
  readonly before?: DeploymentStatus;
  /** Pods and available pods. */
  readonly fresh?: readonly [number, number];
  readonly old?: readonly [number, number];
  readonly created?: true;
  readonly failure?: string;
}
const whole = { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 };
const half = { replicas: 4, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3 };
const deadline = { progressDeadlineSeconds: 60 };
const [over, moving, late] = [
  "NewReplicaSetAvailable",
  "ReplicaSetUpdated",
  "ProgressDeadlineExceeded",
];
const progressRows: readonly [string, Look, string][] = [
  [
    "a new set is made",
    { fresh: [0, 0], created: true },
    'True NewReplicaSetCreated: Created new replica set "v2"',
  ],
  ["a set is found", { fresh: [1, 0] }, 'True FoundNewReplicaSet: Found new replica set "v2"'],
  ["no set yet", {}, 'True ReplicaSetUpdated: Deployment "web" is progressing.'],
  [
    "more new pods",
    {
      known: ["True", "NewReplicaSetCreated", 50],
      before: { ...half, updatedReplicas: 1 },
      fresh: [2, 0],
    },
    'True ReplicaSetUpdated: ReplicaSet "v2" is progressing.',
  ],
  [
    "whole",
    { known: ["True", moving, 5], before: half, fresh: [3, 3] },
    'True NewReplicaSetAvailable: ReplicaSet "v2" has successfully progressed.',
  ],
  [
    "not whole while an old pod is left",
    { known: ["True", moving, 5], before: half, fresh: [3, 3], old: [1, 1] },
    'True ReplicaSetUpdated: ReplicaSet "v2" is progressing.',
  ],
  [
    "a pod of a whole one is lost",
    { known: ["True", over, 500], before: whole, fresh: [3, 2] },
    "True NewReplicaSetAvailable: before",
  ],
  [
    "a whole one grows",
    { spec: { replicas: 5 }, known: ["True", over, 500], before: whole, fresh: [5, 3] },
    "True NewReplicaSetAvailable: before",
  ],
  [
    "a rollback begins",
    { known: ["True", over, 500], before: whole, fresh: [0, 0], old: [3, 3] },
    'True ReplicaSetUpdated: ReplicaSet "v2" is progressing.',
  ],
  [
    "nothing moves, in time",
    { spec: deadline, known: ["True", moving, 59], before: half, fresh: [2, 2], old: [2, 1] },
    "True ReplicaSetUpdated: before",
  ],
  [
    "nothing moves, too late",
    { spec: deadline, known: ["True", moving, 61], before: half, fresh: [2, 2], old: [2, 1] },
    'False ProgressDeadlineExceeded: ReplicaSet "v2" has timed out progressing.',
  ],
  [
    "too late without a set",
    { spec: deadline, known: ["True", moving, 61], before: { replicas: 0 } },
    'False ProgressDeadlineExceeded: Deployment "web" has timed out progressing.',
  ],
  [
    "it moves again after all",
    { spec: deadline, known: ["False", late, 900], before: half, fresh: [3, 2], old: [1, 1] },
    'True ReplicaSetUpdated: ReplicaSet "v2" is progressing.',
  ],
  [
    "it stays too late",
    { spec: deadline, known: ["False", late, 900], before: half, fresh: [2, 2], old: [2, 1] },
    'False ProgressDeadlineExceeded: ReplicaSet "v2" has timed out progressing.',
  ],
  [
    "paused",
    {
      spec: { paused: true },
      known: ["True", moving, 5],
      before: half,
      fresh: [2, 2],
      old: [2, 1],
    },
    "Unknown DeploymentPaused: Deployment is paused",
  ],
  [
    "paused when it was too late already",
    { spec: { paused: true }, known: ["False", late, 5], before: half, fresh: [2, 2] },
    "False ProgressDeadlineExceeded: before",
  ],
  [
    "resumed",
    { known: ["Unknown", "DeploymentPaused", 500], before: half, fresh: [2, 2], old: [2, 1] },
    "Unknown DeploymentResumed: Deployment is resumed",
  ],
  [
    "resumed, and then too late",
    {
      spec: deadline,
      known: ["Unknown", "DeploymentResumed", 61],
      before: half,
      fresh: [2, 2],
      old: [2, 1],
    },
    'False ProgressDeadlineExceeded: ReplicaSet "v2" has timed out progressing.',
  ],
  [
    "the new set cannot be made",
    { known: ["True", over, 500], before: whole, old: [3, 3], failure: "exceeded quota" },
    "False ReplicaSetCreateError: exceeded quota",
  ],
  [
    "no deadline",
    {
      spec: { progressDeadlineSeconds: 2_147_483_647 },
      known: ["True", moving, 900],
      before: half,
    },
    "none",
  ],
];
for (const [title, look, expected] of progressRows) {
  test(`deployment, progress: ${title}`, () => {
    const { deployment, progress } = lookAt(look);
    const status = statusOf(deployment, progress, now);
    const found = status.conditions?.find(({ type }) => type === "Progressing");
    const shown = found ? `${found.status} ${found.reason}: ${found.message}` : "none";
    assert.equal(shown, expected);
  });
}

function lookAt({ spec, known, before = {}, fresh, old, created, failure }: Look) {
  const [state, reason, seconds = 0] = known ?? [];
  const condition = {
    ...{ type: "Progressing", status: state, reason, message: "before" },
    ...{ lastUpdateTime: ago(seconds), lastTransitionTime: ago(seconds) },
  };
  const deployment: Deployment = {
    metadata: { name: "web" },
    spec: { replicas: 3, ...spec },
    status: { ...before, conditions: known ? [condition] : [] },
  };
  const cause = new StatusError(Code.permissionDenied, failure ?? "");
  const progress = {
    fresh: fresh && version(2, fresh[0], {}, fresh[1]),
    old: old ? [version(1, old[0], {}, old[1])] : [],
    created,
    ...(failure !== undefined && { failure: { message: failure, cause } }),
    collisionCount: undefined,
  };
  return { deployment, progress };
}

const waitRows: readonly [string, Look, number | undefined][] = [
  [
    "so much is left",
    { spec: deadline, known: ["True", moving, 20], before: half, fresh: [2, 2], old: [2, 1] },
    40_000,
  ],
  [
    "nothing once it is too late",
    { spec: deadline, known: ["False", late, 20], before: half, fresh: [2, 2], old: [2, 1] },
    undefined,
  ],
  [
    "nothing while it is whole",
    { spec: deadline, known: ["True", over, 20], before: whole, fresh: [3, 2] },
    undefined,
  ],
  [
    "nothing without a deadline",
    { spec: { progressDeadlineSeconds: 2_147_483_647 }, fresh: [2, 2] },
    undefined,
  ],
  [
    "nothing while it is paused",
    { spec: { paused: true }, known: ["True", moving, 20], before: half, fresh: [2, 2] },
    undefined,
  ],
];
for (const [title, look, expected] of waitRows) {
  test(`deployment, the deadline: ${title}`, () => {
    const { deployment, progress } = lookAt(look);
    const status = statusOf(deployment, progress, now);
    assert.equal(millisToDeadline(deployment, status, now), expected);
  });
}

const availableRows: readonly [string, Look, string][] = [
  ["enough", { fresh: [3, 3] }, "True MinimumReplicasAvailable"],
  [
    "one less is none too few",
    { spec: { replicas: 4 }, fresh: [4, 3] },
    "True MinimumReplicasAvailable",
  ],
  ["too few", { fresh: [3, 2] }, "False MinimumReplicasUnavailable"],
  ["none wanted", { spec: { replicas: 0 } }, "True MinimumReplicasAvailable"],
  [
    "Recreate misses none",
    { spec: { replicas: 4, strategy: { type: "Recreate" } }, fresh: [4, 3] },
    "False MinimumReplicasUnavailable",
  ],
];
for (const [title, look, expected] of availableRows) {
  test(`deployment, available: ${title}`, () => {
    const { deployment, progress } = lookAt(look);
    const found = statusOf(deployment, progress, now).conditions?.[0];
    assert.equal(`${found?.status} ${found?.reason}`, expected);
  });
}

const numberRows: readonly [string, Record<string, string>, number, object][] = [
  ["the first", {}, 0, { revision: "1" }],
  ["the newest keeps its own", { revision: "4" }, 3, { revision: "4" }],
  ["a rollback", { revision: "2" }, 3, { revision: "4", "revision-history": "2" }],
  [
    "another one",
    { revision: "4", "revision-history": "2" },
    5,
    { revision: "6", "revision-history": "2,4" },
  ],
];
for (const [title, before, highest, expected] of numberRows) {
  test(`deployment, revisions: ${title}`, () => {
    const noted = Object.entries(before).map(([key, value]) => [annotation(key), value]);
    const set = { metadata: { annotations: Object.fromEntries(noted) } };
    const { annotations } = numberedAnnotations(set, highest);
    const wanted = Object.entries(expected).map(([key, value]) => [annotation(key), value]);
    assert.deepEqual(annotations, Object.fromEntries(wanted));
  });
}

const historyRows: readonly [string, ReplicaSet[], number, string][] = [
  ["the oldest goes", [version(1, 0), version(2, 0), version(3, 0)], 2, "v1"],
  ["all go", [version(1, 0), version(2, 0)], 0, "v1 v2"],
  ["few enough", [version(1, 0), version(2, 0)], 10, ""],
  ["one with pods stays, and counts", [version(1, 2), version(2, 0), version(3, 0)], 1, "v2"],
  [
    "one that goes already does not count",
    [{ ...version(1, 0), metadata: { name: "v1", deletionTimestamp: ago(1) } }, version(2, 0)],
    1,
    "",
  ],
];
for (const [title, sets, limit, expected] of historyRows) {
  test(`deployment, history: ${title}`, () => {
    const names = forgettable(sets, limit).map(({ metadata }) => metadata?.name);
    assert.equal(names.join(" "), expected);
  });
}
