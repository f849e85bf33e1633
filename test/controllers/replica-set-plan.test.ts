/** Which pods of a ReplicaSet go first, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { compareForDeletion, isAvailable, type Ranking } from "../../services/controllers/pods.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();

interface Look {
  readonly node?: string;
  readonly phase?: string;
  /** Seconds; absent: not ready. */
  readonly readyFor?: number;
  readonly cost?: string;
  readonly restarts?: number;
  readonly sidecarRestarts?: number;
  readonly age?: number;
  readonly uid?: string;
}
function podOf(name: string, look: Look): Pod {
  const { node = "n1", phase = "Running", readyFor, cost, restarts, sidecarRestarts } = look;
  const { age = 1000, uid = name } = look;
  const readyTime = readyFor === undefined ? {} : { lastTransitionTime: ago(readyFor) };
  return {
    metadata: {
      ...{ name, uid, creationTimestamp: ago(age) },
      ...(cost !== undefined && {
        annotations: { "controller.kubernetes.io/pod-deletion-cost": cost },
      }),
    },
    spec: {
      ...(node !== "" && { nodeName: node }),
      initContainers: [{ name: "side", restartPolicy: "Always" }, { name: "init" }],
    },
    status: {
      phase,
      conditions: [
        { type: "Ready", status: readyFor === undefined ? "False" : "True", ...readyTime },
      ],
      containerStatuses: [{ name: "c", restartCount: restarts ?? 0 }],
      initContainerStatuses: [
        { name: "side", restartCount: sidecarRestarts ?? 0 },
        { name: "init", restartCount: 50 },
      ],
    },
  };
}

const day = 86_400;
/** Of a and b, b goes first. */
const rows: readonly [string, a: Look, b: Look, crowding?: Record<string, number>][] = [
  ["without a node", { readyFor: 5 }, { node: "", readyFor: 500 }],
  ["pending before unknown", { phase: "Unknown" }, { phase: "Pending" }],
  ["unknown before running", { phase: "Running" }, { phase: "Unknown" }],
  ["not ready", { readyFor: 5 }, {}],
  ["of lower cost", { readyFor: 5 }, { readyFor: day, cost: "-1" }],
  ["of lower cost, both above nothing", { readyFor: 5, cost: "20" }, { readyFor: day, cost: "10" }],
  ["cost counts after readiness", { readyFor: 5, cost: "-9" }, { cost: "9" }],
  ["a cost that is no number is none", { readyFor: 5, cost: "1e9" }, { readyFor: day, cost: "-1" }],
  ["nor one with a sign too many", { readyFor: 5, cost: "+9" }, { readyFor: day, cost: "-1" }],
  [
    "on a crowded node",
    { node: "n1", readyFor: 5 },
    { node: "n2", readyFor: day },
    { n1: 1, n2: 2 },
  ],
  ["ready for much shorter", { readyFor: day }, { readyFor: 60 }],
  ["ready just now", { readyFor: 1 }, { readyFor: 0 }],
  ["about as long: by uid", { readyFor: 3_000, uid: "b" }, { readyFor: 4_000, uid: "a" }],
  ["restarted more", { readyFor: 60, restarts: 1 }, { readyFor: 60, restarts: 3 }],
  [
    "whose sidecar restarted more",
    { readyFor: 60, sidecarRestarts: 1 },
    { readyFor: 60, sidecarRestarts: 2 },
  ],
  [
    "containers count before sidecars",
    { readyFor: 60, sidecarRestarts: 9 },
    { readyFor: 60, restarts: 1 },
  ],
  ["much younger", { readyFor: 60, age: day }, { readyFor: 60, age: 90 }],
  ["about as old: by uid", { age: 900, uid: "b" }, { age: 1_000, uid: "a" }],
];
for (const [title, a, b, crowding = {}] of rows) {
  test(`replica set, first goes the pod ${title}`, () => {
    const ranking: Ranking = { crowding: new Map(Object.entries(crowding)), nowMillis: now };
    const pods = [podOf("a", a), podOf("b", b)];
    const names = (order: readonly Pod[]) => order.map(({ metadata }) => metadata?.name).join(" ");
    assert.equal(names([...pods].sort(compareForDeletion(ranking))), "b a");
    assert.equal(names([...pods].reverse().sort(compareForDeletion(ranking))), "b a");
  });
}

/** Jobs look at no costs and no nodes, and take times as they are. */
const jobRows: readonly [string, Look, Look][] = [
  ["ready for a little shorter", { readyFor: 4_000, uid: "a" }, { readyFor: 3_000, uid: "b" }],
  ["whatever the cost", { readyFor: day, cost: "-5" }, { readyFor: 5 }],
  ["a little younger", { age: 1_000 }, { age: 999 }],
];
for (const [title, a, b] of jobRows) {
  test(`job, first goes the pod ${title}`, () => {
    const pods = [podOf("a", a), podOf("b", b)].sort(compareForDeletion());
    assert.deepEqual(
      pods.map(({ metadata }) => metadata?.name),
      ["b", "a"],
    );
  });
}

const availableRows: readonly [string, Look, number, boolean][] = [
  ["not ready", {}, 0, false],
  ["ready", { readyFor: 0 }, 0, true],
  ["ready too short", { readyFor: 9 }, 10, false],
  ["ready long enough", { readyFor: 10 }, 10, true],
];
for (const [title, look, minReady, expected] of availableRows) {
  test(`pod available with ${minReady} s: ${title}`, () => {
    assert.equal(isAvailable(podOf("a", look), minReady, now), expected);
  });
}
