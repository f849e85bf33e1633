/** What a StatefulSet does next, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatefulSet, StatefulSetSpec } from "../../proto/gen/apps.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { claimsOf, ordinalOf, podOf } from "../../services/controllers/stateful-set/identity.ts";
import { actionsOf } from "../../services/controllers/stateful-set/plan.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
const revision = (name: string) => ({ metadata: { name }, data: { spec: { template: {} } } });

/**
 * `0o*`: ordinal, `n`ew or `o`ld revision, then how it is: `*` well, `.` ready only just now, `-` not
 * ready, `p` pending, `f` failed, `s` succeeded; `x` at the end: being deleted.
 */
function podFrom(text: string): Pod {
  const [, ordinal = "", hash, state = "*", going] =
    /^(\d+)([no])([*.\-pfs])(x?)$/.exec(text) ?? [];
  const phases: Record<string, string> = { p: "Pending", f: "Failed", s: "Succeeded" };
  const ready = state === "*" || state === ".";
  return {
    metadata: {
      name: `db-${ordinal}`,
      labels: { "controller-revision-hash": hash === "n" ? "new" : "old" },
      creationTimestamp: ago(3_600),
      ...(going && { deletionTimestamp: ago(5) }),
    },
    status: {
      phase: phases[state] ?? "Running",
      conditions: [
        {
          ...{ type: "Ready", status: ready ? "True" : "False" },
          lastTransitionTime: ago(state === "." ? 1 : 1_800),
        },
      ],
    },
  };
}

const parallel: StatefulSetSpec = { podManagementPolicy: "Parallel" };
const rolling = (rollingUpdate: object): StatefulSetSpec => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate },
});
const patient: StatefulSetSpec = { minReadySeconds: 10 };

const rows: readonly [string, StatefulSetSpec, string, string][] = [
  ["one that is ready, but not for long enough, holds the next back", patient, "0n* 1n.", ""],
  ["without such a time it does not", {}, "0n* 1n.", "create 2 new"],
  ["one that succeeded comes again", {}, "0n* 1ns 2n*", "recreate db-1"],
  ["one that failed and goes already is waited for", {}, "0n* 1nfx 2n*", ""],
  ["a lower gap before a higher failure", {}, "1nf 2n*", "create 0 new"],
  ["in parallel each failure comes again", parallel, "0nf 1n* 2ns", "recreate db-0, recreate db-2"],
  [
    "in parallel gaps and failures at once",
    parallel,
    "0nf",
    "recreate db-0, create 1 new, create 2 new",
  ],
  ["in parallel one that goes holds nothing up", parallel, "0n*x", "create 1 new, create 2 new"],
  ["shrinking waits for the one that goes", { replicas: 1 }, "0n* 1n* 2n*x", ""],
  ["the last one goes while a lower one goes too", { replicas: 1 }, "0n* 1n*x 2n*", "delete db-2"],
  ["the last one is not well, nor is a lower one", { replicas: 1 }, "0n* 1n- 2n-", ""],
  ["only the last one is not well", { replicas: 1 }, "0n* 1n* 2n-", "delete db-2"],
  [
    "a surplus one that is not well holds no well one",
    { replicas: 1 },
    "0n* 1n- 2n*",
    "delete db-2",
  ],
  [
    "a surplus one is not available yet, nor is a lower one",
    { ...patient, replicas: 1 },
    "0n* 1n. 2n.",
    "",
  ],
  ["to nothing", { replicas: 0 }, "0n* 1n*", "delete db-1"],
  ["to nothing in parallel", { ...parallel, replicas: 0 }, "0n* 1n-", "delete db-1, delete db-0"],
  ["shrinking comes before a rollout", { replicas: 2 }, "0o* 1o* 2o*", "delete db-2"],
  ["nothing rolls while a pod is missing", {}, "0o* 2o*", "create 1 new"],
  ["a rollout replaces what is not well, too", parallel, "0o* 1o* 2o-", "delete db-2"],
  ["a new one that is not well holds the rollout", parallel, "0o* 1o* 2n-", ""],
  ["a new one not available yet holds it", { ...parallel, ...patient }, "0o* 1o* 2n.", ""],
  ["an old one that goes holds it", parallel, "0o* 1o* 2o*x", ""],
  [
    "two may be missing: the next goes",
    { ...parallel, ...rolling({ maxUnavailable: 2 }) },
    "0o* 1o* 2n-",
    "delete db-1",
  ],
  [
    "two are missing: none goes",
    { ...parallel, ...rolling({ maxUnavailable: 2 }), replicas: 4 },
    "0o* 1o* 2n- 3n-",
    "",
  ],
  [
    "what is not well goes all the same",
    { ...parallel, ...rolling({ maxUnavailable: 2 }), replicas: 4 },
    "0o* 1o- 2n- 3n-",
    "delete db-1",
  ],
  [
    "a share is rounded down",
    { ...parallel, ...rolling({ maxUnavailable: "60%" }), replicas: 4 },
    "0o* 1o* 2o* 3o*",
    "delete db-3, delete db-2",
  ],
  [
    "but to one at least",
    { ...parallel, ...rolling({ maxUnavailable: "10%" }) },
    "0o* 1o* 2o*",
    "delete db-2",
  ],
  [
    "as far as the partition, several at once",
    { ...parallel, ...rolling({ maxUnavailable: 3, partition: 1 }) },
    "0o* 1o* 2o*",
    "delete db-2, delete db-1",
  ],
  [
    "a partition counts from the first number",
    { ordinals: { start: 5 }, ...rolling({ partition: 1 }) },
    "5o* 6o* 7n*",
    "delete db-6",
  ],
  [
    "below the partition the old one comes back",
    { ordinals: { start: 5 }, ...rolling({ partition: 1 }) },
    "6n* 7n*",
    "create 5 old",
  ],
  [
    "numbers before the first are too many",
    { ordinals: { start: 1 }, replicas: 2 },
    "0n* 1n* 2n*",
    "delete db-0",
  ],
  ["numbers move up", { ordinals: { start: 2 }, replicas: 2 }, "0n* 1n*", "create 2 new"],
  [
    "on deletion only, as it shall be",
    { updateStrategy: { type: "OnDelete" } },
    "0o* 1o*",
    "create 2 new",
  ],
];
for (const [title, spec, pods, expected] of rows) {
  test(`stateful set: ${title}`, () => {
    const set: StatefulSet = {
      metadata: { name: "db", namespace: "default" },
      spec: {
        replicas: 3,
        podManagementPolicy: "OrderedReady",
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
        ...spec,
      },
    };
    const [current, update] = [revision("old"), revision("new")];
    const found = pods.split(" ").map(podFrom);
    const actions = actionsOf({ set, pods: found, current, update, now })
      .filter(({ verb }) => verb !== "identify" && verb !== "claim")
      .map((action) => {
        if (action.verb === "create") {
          return `create ${action.ordinal} ${action.revision.metadata?.name}`;
        }
        return "pod" in action ? `${action.verb} ${action.pod.metadata?.name}` : action.verb;
      });
    assert.equal(actions.join(", "), expected);
  });
}

const nameRows: readonly [string, number | undefined][] = [
  ["db-0", 0],
  ["db-12", 12],
  ["db-01", undefined],
  ["db-", undefined],
  ["db-x", undefined],
  ["db-1-2", undefined],
  ["other-1", undefined],
];
for (const [name, expected] of nameRows) {
  test(`stateful set, the number of ${name}`, () => {
    assert.equal(ordinalOf({ metadata: { name: "db" } }, { metadata: { name } }), expected);
  });
}

test("stateful set: a pod has its names, labels and claims from its number", () => {
  const set: StatefulSet = {
    metadata: { name: "db", namespace: "default" },
    spec: {
      serviceName: "peers",
      selector: { matchLabels: { app: "db" } },
      volumeClaimTemplates: [{ metadata: { name: "data", labels: { of: "db" } } }],
    },
  };
  const pod = podOf(set, revision("new"), 2);
  assert.equal(pod.metadata?.name, "db-2");
  assert.equal(pod.spec?.hostname, "db-2");
  assert.equal(pod.spec?.subdomain, "peers");
  assert.deepEqual(pod.metadata?.labels, {
    "controller-revision-hash": "new",
    "statefulset.kubernetes.io/pod-name": "db-2",
    "apps.kubernetes.io/pod-index": "2",
  });
  assert.deepEqual(pod.spec?.volumes, [
    { name: "data", persistentVolumeClaim: { claimName: "data-db-2", readOnly: false } },
  ]);
  const [first] = claimsOf(set, 2);
  assert.equal(first?.claim.metadata?.name, "data-db-2");
  assert.deepEqual(first?.claim.metadata?.labels, { of: "db", app: "db" });
});
