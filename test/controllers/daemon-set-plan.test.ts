/** Where the pods of a DaemonSet come and go, as upstream documents it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet, DaemonSetSpec } from "../../proto/gen/apps.ts";
import type { Node, Pod, PodSpec, Taint } from "../../proto/gen/core.ts";
import { daemonPod, fitness } from "../../services/controllers/daemon-set/daemon-pod.ts";
import {
  coverage,
  nodesOf,
  rollOut,
  type Situation,
  statusOf,
} from "../../services/controllers/daemon-set/plan.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
const hash = "controller-revision-hash";

const taint = (key: string, effect: string): Taint => ({ key, effect });
const affinity = (labels: Record<string, string>): PodSpec => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchExpressions: Object.entries(labels).map(([key, value]) => ({
              ...{ key, operator: "In", values: [value] },
            })),
          },
        ],
      },
    },
  },
});
const ours = (name: string) => `node.kubernetes.io/${name}`;

const fitRows: readonly [string, PodSpec, Node, string][] = [
  ["any node", {}, {}, "run"],
  [
    "one that is cordoned",
    {},
    { spec: { taints: [taint(ours("unschedulable"), "NoSchedule")] } },
    "run",
  ],
  [
    "one that is silent",
    {},
    { spec: { taints: [taint(ours("unreachable"), "NoExecute")] } },
    "run",
  ],
  [
    "one that is not ready",
    {},
    { spec: { taints: [taint(ours("not-ready"), "NoExecute")] } },
    "run",
  ],
  [
    "one under memory pressure",
    {},
    { spec: { taints: [taint(ours("memory-pressure"), "NoSchedule")] } },
    "run",
  ],
  [
    "one under disk pressure",
    {},
    { spec: { taints: [taint(ours("disk-pressure"), "NoSchedule")] } },
    "run",
  ],
  [
    "one short of process ids",
    {},
    { spec: { taints: [taint(ours("pid-pressure"), "NoSchedule")] } },
    "run",
  ],
  [
    "one without a network",
    {},
    { spec: { taints: [taint(ours("network-unavailable"), "NoSchedule")] } },
    "stay",
  ],
  [
    "one without a network, on the host's",
    { hostNetwork: true },
    { spec: { taints: [taint(ours("network-unavailable"), "NoSchedule")] } },
    "run",
  ],
  [
    "another taint keeps new ones away",
    {},
    { spec: { taints: [taint("gpu", "NoSchedule")] } },
    "stay",
  ],
  [
    "one that is tolerated does not",
    { tolerations: [{ key: "gpu", operator: "Exists" }] },
    { spec: { taints: [taint("gpu", "NoSchedule")] } },
    "run",
  ],
  ["a taint that drives out", {}, { spec: { taints: [taint("gpu", "NoExecute")] } }, "go"],
  ["a mere preference", {}, { spec: { taints: [taint("gpu", "PreferNoSchedule")] } }, "run"],
  ["selected", { nodeSelector: { disk: "ssd" } }, { metadata: { labels: { disk: "ssd" } } }, "run"],
  [
    "not selected",
    { nodeSelector: { disk: "ssd" } },
    { metadata: { labels: { disk: "hdd" } } },
    "go",
  ],
  ["drawn to", affinity({ zone: "a" }), { metadata: { labels: { zone: "a" } } }, "run"],
  ["not drawn to", affinity({ zone: "a" }), { metadata: { labels: { zone: "b" } } }, "go"],
  ["named", { nodeName: "n1" }, { metadata: { name: "n1" } }, "run"],
  ["not named", { nodeName: "n2" }, { metadata: { name: "n1" } }, "go"],
];
for (const [title, spec, node, expected] of fitRows) {
  test(`daemon set, a node: ${title}`, () => {
    const { run, stay } = fitness({ spec: { template: { spec } } }, node);
    assert.equal(run ? "run" : stay ? "stay" : "go", expected);
  });
}

/**
 * `a:n*`: on node a, of the `n`ew or the `o`ld template, then how it is: `*` available, `.` ready only
 * just now, `-` not ready, `f` failed, `s` succeeded; `x`: being deleted; `?`: not bound yet.
 */
function podFrom(text: string, index: number): Pod {
  const [, node, of, state, going, waiting] = /^(\w+):([no])([*.\-fs])(x?)(\??)$/.exec(text) ?? [];
  const phases: Record<string, string> = { f: "Failed", s: "Succeeded" };
  const ready = state === "*" || state === ".";
  const base = daemonPod({}, { spec: {} }, of === "n" ? "new" : "old", node ?? "");
  return {
    metadata: {
      name: text,
      labels: { [hash]: of === "n" ? "new" : "old" },
      // The first in the list is the oldest.
      creationTimestamp: ago(3_600 - index),
      ...(going && { deletionTimestamp: ago(5) }),
    },
    spec: { ...base.spec, ...(!waiting && { nodeName: node }) },
    status: {
      phase: phases[state ?? ""] ?? "Running",
      conditions: [
        {
          ...{ type: "Ready", status: ready ? "True" : "False" },
          lastTransitionTime: ago(state === "." ? 1 : 1_800),
        },
      ],
    },
  };
}

function situationOf(spec: DaemonSetSpec, nodeNames: string, pods: string): Situation {
  const set: DaemonSet = {
    metadata: { name: "agent", namespace: "default" },
    spec: { template: { spec: {} }, ...spec },
  };
  const nodes = nodeNames.split("").map((name): Node => {
    // A capital letter: only what is there already may stay.
    const full = name === name.toUpperCase();
    const taints = full ? [taint("full", "NoSchedule")] : [];
    return { metadata: { name: name.toLowerCase() }, spec: { taints } };
  });
  const found = pods === "" ? [] : pods.split(" ").map(podFrom);
  return { set, hash: "new", nodes: nodesOf(set, nodes, found), now };
}

const surge = (maxSurge: number | string): DaemonSetSpec => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable: 0 } },
});
const missing = (maxUnavailable: number | string): DaemonSetSpec => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable } },
});
const patient: DaemonSetSpec = { minReadySeconds: 10 };

const coverRows: readonly [string, DaemonSetSpec, string, string, string][] = [
  ["every node gets one", {}, "abc", "a:n*", "+b +c"],
  ["none where none may begin", {}, "aB", "", "+a"],
  ["what is there may stay", {}, "aB", "b:n*", "+a"],
  ["two are one too many", {}, "a", "a:n* a:n-", "-a:n-"],
  ["the bound one stays, though younger", {}, "a", "a:n-? a:n*", "-a:n-?"],
  ["one that goes holds its place", {}, "a", "a:n*x", ""],
  ["unless it has ended", {}, "a", "a:nfx", "+a"],
  ["a failed one goes", {}, "a", "a:nf", "~a:nf"],
  ["a succeeded one goes", {}, "a", "a:ns", "~a:ns"],
  ["of a lost node only those that wait", {}, "a", "a:n* z:n*", ""],
  ["they go", {}, "a", "a:n* z:n-?", "-z:n-?"],
  ["while it surges, old and new side by side", { ...surge(1), ...patient }, "a", "a:o* a:n.", ""],
  ["the new one is available: the old one goes", surge(1), "a", "a:o* a:n*", "-a:o*"],
  [
    "an old one that is not ready goes at once",
    { ...surge(1), ...patient },
    "a",
    "a:o- a:n.",
    "-a:o-",
  ],
  ["a second new one goes", surge(1), "a", "a:n- a:n-", "-a:n-"],
  ["a second old one goes", surge(1), "a", "a:o* a:o-", "-a:o-"],
];
for (const [title, spec, nodes, pods, expected] of coverRows) {
  test(`daemon set: ${title}`, () => {
    const { create, delete: gone, ended } = coverage(situationOf(spec, nodes, pods));
    const shown = [
      ...create.map((node) => `+${node}`),
      ...gone.map(({ metadata }) => `-${metadata?.name}`),
      ...ended.map(({ metadata }) => `~${metadata?.name}`),
    ];
    assert.equal(shown.join(" "), expected);
  });
}

const rollRows: readonly [string, DaemonSetSpec, string, string, string][] = [
  ["one at a time", {}, "abc", "a:o* b:o* c:o*", "-a:o*"],
  ["not while a new one is not there", {}, "abc", "a:n- b:o* c:o*", ""],
  ["not while a node has none", {}, "abc", "b:o* c:o*", ""],
  ["what does not serve goes at once", {}, "abc", "a:n- b:o- c:o*", "-b:o-"],
  ["as many as may be missing", missing(2), "abcd", "a:o* b:o* c:o* d:o*", "-a:o* -b:o*"],
  ["a share, rounded up", missing("30%"), "abcd", "a:o* b:o* c:o* d:o*", "-a:o* -b:o*"],
  ["of the nodes that want one", missing("50%"), "abCD", "a:o* b:o* c:o* d:o*", "-a:o*"],
  ["a new one counts once it is available", { ...missing(1), ...patient }, "ab", "a:n. b:o*", ""],
  ["all are new", {}, "ab", "a:n* b:n*", ""],
  ["a surge", surge(1), "ab", "a:o* b:o*", "+a"],
  ["a surge of all", surge("100%"), "ab", "a:o* b:o*", "+a +b"],
  ["not beyond the surge", surge(1), "ab", "a:o* a:n- b:o*", ""],
  ["beside one that does not serve, always", surge(1), "abc", "a:o* a:n- b:o- c:o*", "+b"],
  ["a share of the surge, rounded up", surge("10%"), "abc", "a:o* b:o* c:o*", "+a"],
];
for (const [title, spec, nodes, pods, expected] of rollRows) {
  test(`daemon set, rolling: ${title}`, () => {
    const { create, delete: gone } = rollOut(situationOf(spec, nodes, pods));
    const shown = [
      ...create.map((node) => `+${node}`),
      ...gone.map(({ metadata }) => `-${metadata?.name}`),
    ];
    assert.equal(shown.join(" "), expected);
  });
}

const statusRows: readonly [string, DaemonSetSpec, string, string, string][] = [
  [
    "all is well",
    {},
    "ab",
    "a:n* b:n*",
    "desired 2 current 2 ready 2 updated 2 available 2 missing 0 wrong 0",
  ],
  [
    "nothing yet",
    {},
    "ab",
    "",
    "desired 2 current 0 ready 0 updated 0 available 0 missing 2 wrong 0",
  ],
  [
    "on a node that does not want it",
    {},
    "aB",
    "a:n* b:n*",
    "desired 1 current 1 ready 1 updated 1 available 1 missing 0 wrong 1",
  ],
  [
    "ready, not available yet",
    patient,
    "a",
    "a:n.",
    "desired 1 current 1 ready 1 updated 1 available 0 missing 1 wrong 0",
  ],
  [
    "in a rollout",
    {},
    "ab",
    "a:n- b:o*",
    "desired 2 current 2 ready 1 updated 1 available 1 missing 1 wrong 0",
  ],
  [
    "side by side the old one counts",
    surge(1),
    "a",
    "a:o* a:n-",
    "desired 1 current 1 ready 1 updated 0 available 1 missing 0 wrong 0",
  ],
];
for (const [title, spec, nodes, pods, expected] of statusRows) {
  test(`daemon set, status: ${title}`, () => {
    const found = statusOf(situationOf(spec, nodes, pods), 0);
    const shown =
      `desired ${found.desiredNumberScheduled} current ${found.currentNumberScheduled} ` +
      `ready ${found.numberReady} updated ${found.updatedNumberScheduled ?? 0} ` +
      `available ${found.numberAvailable ?? 0} missing ${found.numberUnavailable ?? 0} ` +
      `wrong ${found.numberMisscheduled}`;
    assert.equal(shown, expected);
  });
}
