/** How many pods a budget lets go, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetSpec } from "../../proto/gen/policy.ts";
import {
  expectationOf,
  type Owner,
  statusOf,
  survivors,
} from "../../services/controllers/disruption/plan.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();

/** `r`eady or `u`nready, `x`: being deleted; then its workload, `-`: none. */
function podFrom(text: string, index: number): Pod {
  const [, state, going, owner = ""] = /^([ru])(x?)([\w-])$/.exec(text) ?? [];
  return {
    metadata: {
      name: `p${index}`,
      ...(going && { deletionTimestamp: ago(5) }),
      ...(owner !== "-" && { ownerReferences: [{ controller: true, uid: owner }] }),
    },
    status: { conditions: [{ type: "Ready", status: state === "r" ? "True" : "False" }] },
  };
}
const owners = new Map<string, Owner>([
  ["a", { uid: "a", size: 4 }],
  ["b", { uid: "b", size: 6 }],
  // Two sets of one Deployment.
  ["c", { uid: "deployment", size: 5 }],
  ["d", { uid: "deployment", size: 5 }],
  ["z", { problem: "daemonsets.apps does not implement the scale subresource" }],
]);

const rows: readonly [string, PodDisruptionBudgetSpec, string, string][] = [
  [
    "a number that must stay",
    { minAvailable: 2 },
    "ra ra ra ra",
    "2 of 4, 2 needed, True SufficientPods",
  ],
  [
    "as many as are there",
    { minAvailable: 4 },
    "ra ra ra ra",
    "0 of 4, 4 needed, False InsufficientPods",
  ],
  ["more than there are", { minAvailable: 9 }, "ra ra", "0 of 2, 9 needed, False InsufficientPods"],
  [
    "a number needs no workload",
    { minAvailable: 1 },
    "r- r-",
    "1 of 2, 1 needed, True SufficientPods",
  ],
  ["none need stay", { minAvailable: 0 }, "ra ra", "2 of 2, 0 needed, True SufficientPods"],
  ["no pods at all", { minAvailable: 0 }, "", "0 of 0, 0 needed, False InsufficientPods"],
  [
    "pods that are not ready do not count",
    { minAvailable: 2 },
    "ra ra ua ua",
    "0 of 4, 2 needed, False InsufficientPods",
  ],
  [
    "nor do those that go",
    { minAvailable: 1 },
    "ra rxa",
    "0 of 2, 1 needed, False InsufficientPods",
  ],
  [
    "a share, rounded up",
    { minAvailable: "30%" },
    "ra ra ra ra",
    "2 of 4, 2 needed, True SufficientPods",
  ],
  [
    "all of them",
    { minAvailable: "100%" },
    "ra ra ra ra",
    "0 of 4, 4 needed, False InsufficientPods",
  ],
  ["none of them", { minAvailable: "0%" }, "ra ra", "2 of 4, 0 needed, True SufficientPods"],
  [
    "so many may be missing",
    { maxUnavailable: 1 },
    "ra ra ra ra",
    "1 of 4, 3 needed, True SufficientPods",
  ],
  [
    "one is missing already",
    { maxUnavailable: 1 },
    "ra ra ra",
    "0 of 4, 3 needed, False InsufficientPods",
  ],
  [
    "none may be missing",
    { maxUnavailable: 0 },
    "ra ra ra ra",
    "0 of 4, 4 needed, False InsufficientPods",
  ],
  [
    "a share that may be missing, rounded up",
    { maxUnavailable: "30%" },
    "ra ra ra ra",
    "2 of 4, 2 needed, True SufficientPods",
  ],
  [
    "more may be missing than there are",
    { maxUnavailable: 9 },
    "ra ra ra ra",
    "4 of 4, 0 needed, True SufficientPods",
  ],
  [
    "of two workloads",
    { maxUnavailable: "50%" },
    "ra ra ra ra rb rb rb",
    "2 of 10, 5 needed, True SufficientPods",
  ],
  [
    "two sets of one Deployment are one workload",
    { maxUnavailable: 1 },
    "rc rc rd rd rd",
    "1 of 5, 4 needed, True SufficientPods",
  ],
  [
    "pods without a workload do not make it larger",
    { maxUnavailable: 1 },
    "ra ra ra ra r-",
    "2 of 4, 3 needed, True SufficientPods",
  ],
  [
    "a workload without a size",
    { maxUnavailable: 1 },
    "ra rz",
    "0 of 0, 0 needed, False SyncFailed",
  ],
];
for (const [title, spec, pods, expected] of rows) {
  test(`disruption budget: ${title}`, () => {
    const budget: PodDisruptionBudget = { metadata: { generation: 1 }, spec };
    const found = pods === "" ? [] : pods.split(" ").map(podFrom);
    const status = statusOf(budget, found, expectationOf(budget, found, owners), now);
    const [condition] = status.conditions ?? [];
    assert.equal(
      `${status.disruptionsAllowed} of ${status.expectedPods}, ${status.desiredHealthy} needed, ` +
        `${condition?.status} ${condition?.reason}`,
      expected,
    );
  });
}

test("disruption budget: an evicted pod counts as gone for two minutes", () => {
  const pods = ["ra", "ra", "ra", "ra"].map(podFrom);
  const look = (seconds: number) => {
    const budget = {
      spec: { maxUnavailable: 1 },
      status: { disruptedPods: { p1: ago(seconds), gone: ago(1) } },
    };
    const status = statusOf(budget, pods, expectationOf(budget, pods, owners), now);
    const late = survivors(budget, pods, now).map(({ metadata }) => metadata?.name);
    return [status.disruptionsAllowed, Object.keys(status.disruptedPods ?? {}), late];
  };
  assert.deepEqual(look(119), [0, ["p1"], []]);
  assert.deepEqual(look(120), [1, [], ["p1"]]);
});
