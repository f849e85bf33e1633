/** Topology spread: what upstream documents, as tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, PodSpec, TopologySpreadConstraint } from "../../proto/gen/core.ts";
import type { Labels } from "../../services/scheduler/pod-terms.ts";
import { hostname, node, place, pod, points, verdicts, type World, zone } from "./world.ts";

const uneven = "node(s) didn't match pod topology spread constraints";
const noLabel = `${uneven} (missing required label)`;
const fits = "fits";

const web: Labels = { app: "web" };
const hard = (change: Partial<TopologySpreadConstraint> = {}): TopologySpreadConstraint => ({
  maxSkew: 1,
  topologyKey: zone,
  whenUnsatisfiable: "DoNotSchedule",
  labelSelector: { matchLabels: { app: "web" } },
  nodeAffinityPolicy: "Honor",
  nodeTaintsPolicy: "Ignore",
  ...change,
});
const soft = (change: Partial<TopologySpreadConstraint> = {}) =>
  hard({ whenUnsatisfiable: "ScheduleAnyway", ...change });
const spread = (...topologySpreadConstraints: TopologySpreadConstraint[]): PodSpec => ({
  topologySpreadConstraints,
});
const webs = (count: number, labels = web) => Array.from({ length: count }, () => pod(labels));
const other = (namespace: string, each: Pod): Pod => ({
  ...each,
  metadata: { ...each.metadata, namespace },
});
const ending = (each: Pod): Pod => ({
  ...each,
  metadata: { ...each.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
});

/** a and b are in one zone, c in another, d in none. */
const nodes = () => [
  node("a", { [zone]: "z1" }),
  node("b", { [zone]: "z1" }),
  node("c", { [zone]: "z2" }),
  node("d"),
];
const withZones = () => nodes().slice(0, 3);
const tainted = { spec: { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] } };

type Row = readonly [what: string, wanted: Pod, world: World, expected: readonly string[]];

const filterRows: readonly Row[] = [
  ["empty zones", pod(web, spread(hard())), { nodes: nodes() }, [fits, fits, fits, noLabel]],
  [
    "one zone is ahead",
    pod(web, spread(hard())),
    { nodes: nodes(), pods: { a: webs(1) } },
    [uneven, uneven, fits, noLabel],
  ],
  [
    "within a skew of two",
    pod(web, spread(hard({ maxSkew: 2 }))),
    { nodes: nodes(), pods: { a: webs(1) } },
    [fits, fits, fits, noLabel],
  ],
  [
    "beyond a skew of two",
    pod(web, spread(hard({ maxSkew: 2 }))),
    { nodes: nodes(), pods: { a: webs(1), b: webs(1) } },
    [uneven, uneven, fits, noLabel],
  ],
  [
    "level again",
    pod(web, spread(hard())),
    { nodes: nodes(), pods: { b: webs(1), c: webs(1) } },
    [fits, fits, fits, noLabel],
  ],
  [
    "a pod that does not count itself",
    pod({ app: "x" }, spread(hard())),
    { nodes: nodes(), pods: { a: webs(1) } },
    [fits, fits, fits, noLabel],
  ],
  [
    "a pod that does not count itself, beyond the skew",
    pod({ app: "x" }, spread(hard())),
    { nodes: nodes(), pods: { a: webs(2) } },
    [uneven, uneven, fits, noLabel],
  ],
  [
    "pods of other namespaces do not count",
    pod(web, spread(hard())),
    { nodes: withZones(), pods: { a: [other("x", pod(web))] } },
    [fits, fits, fits],
  ],
  [
    "pods that end do not count",
    pod(web, spread(hard())),
    { nodes: withZones(), pods: { a: [ending(pod(web))] } },
    [fits, fits, fits],
  ],
  [
    "pods with other labels do not count",
    pod(web, spread(hard())),
    { nodes: withZones(), pods: { a: webs(3, { app: "db" }) } },
    [fits, fits, fits],
  ],
  [
    "pods on nodes without the label do not count",
    pod(web, spread(hard())),
    { nodes: nodes(), pods: { d: webs(3) } },
    [fits, fits, fits, noLabel],
  ],
  [
    "by node",
    pod(web, spread(hard({ topologyKey: hostname }))),
    { nodes: nodes(), pods: { a: webs(1), c: webs(1) } },
    [uneven, fits, uneven, fits],
  ],
  [
    "by zone and by node",
    pod(web, spread(hard(), hard({ topologyKey: hostname }))),
    { nodes: withZones(), pods: { a: webs(1), c: webs(1) } },
    [uneven, fits, uneven],
  ],
  [
    "nodes without one of two labels count for neither",
    pod(web, spread(hard(), hard({ topologyKey: hostname }))),
    { nodes: nodes(), pods: { d: webs(5) } },
    [fits, fits, fits, noLabel],
  ],
  [
    "two constraints with different selectors",
    pod(
      { app: "web", tier: "front" },
      spread(
        hard(),
        hard({ topologyKey: hostname, labelSelector: { matchLabels: { tier: "front" } } }),
      ),
    ),
    { nodes: withZones(), pods: { a: [pod({ tier: "front" })], c: webs(1) } },
    [uneven, fits, uneven],
  ],
  [
    "no selector counts nothing, not even itself",
    pod(web, spread({ ...hard(), labelSelector: undefined })),
    { nodes: withZones(), pods: { a: webs(5) } },
    [fits, fits, fits],
  ],
  [
    "the empty selector counts no pods",
    pod(web, spread(hard({ labelSelector: {} }))),
    { nodes: withZones(), pods: { a: webs(5) } },
    [fits, fits, fits],
  ],
  [
    "minDomains: enough domains",
    pod(web, spread(hard({ minDomains: 2 }))),
    { nodes: withZones(), pods: { a: webs(1), c: webs(1) } },
    [fits, fits, fits],
  ],
  [
    "minDomains: a missing domain counts as empty",
    pod(web, spread(hard({ minDomains: 3 }))),
    { nodes: withZones(), pods: { a: webs(1), c: webs(1) } },
    [uneven, uneven, uneven],
  ],
  [
    "minDomains: an empty domain takes the first pod",
    pod(web, spread(hard({ minDomains: 3 }))),
    { nodes: withZones(), pods: { a: webs(1) } },
    [uneven, uneven, fits],
  ],
  [
    "minDomains: with room in the skew",
    pod(web, spread(hard({ minDomains: 3, maxSkew: 2 }))),
    { nodes: withZones(), pods: { a: webs(1), c: webs(1) } },
    [fits, fits, fits],
  ],
  [
    "matchLabelKeys: only pods of the same revision count",
    pod({ ...web, rev: "2" }, spread(hard({ matchLabelKeys: ["rev"] }))),
    { nodes: withZones(), pods: { a: webs(3, { ...web, rev: "1" }) } },
    [fits, fits, fits],
  ],
  [
    "matchLabelKeys: those of this revision do",
    pod({ ...web, rev: "2" }, spread(hard({ matchLabelKeys: ["rev"] }))),
    { nodes: withZones(), pods: { a: webs(1, { ...web, rev: "2" }) } },
    [uneven, uneven, fits],
  ],
  [
    "matchLabelKeys: a key that the pod has not is left out",
    pod(web, spread(hard({ matchLabelKeys: ["rev"] }))),
    { nodes: withZones(), pods: { a: webs(1, { ...web, rev: "2" }) } },
    [uneven, uneven, fits],
  ],
  [
    "nodeAffinityPolicy Honor: zones that the pod does not select do not count",
    pod(web, { ...spread(hard()), nodeSelector: { [zone]: "z1" } }),
    { nodes: withZones(), pods: { a: webs(5) } },
    [fits, fits, "node(s) didn't match Pod's node affinity/selector"],
  ],
  [
    "nodeAffinityPolicy Ignore: they do",
    pod(web, { ...spread(hard({ nodeAffinityPolicy: "Ignore" })), nodeSelector: { [zone]: "z1" } }),
    { nodes: withZones(), pods: { a: webs(5) } },
    [uneven, uneven, "node(s) didn't match Pod's node affinity/selector"],
  ],
  [
    "nodeAffinityPolicy Honor: pods on nodes that are not selected do not count",
    pod(web, { ...spread(hard()), nodeSelector: { [hostname]: "a" } }),
    { nodes: withZones(), pods: { b: webs(5) } },
    [
      fits,
      "node(s) didn't match Pod's node affinity/selector",
      "node(s) didn't match Pod's node affinity/selector",
    ],
  ],
  [
    "nodeTaintsPolicy Ignore: a tainted zone is one that stays empty",
    pod(web, spread(hard())),
    {
      nodes: [node("a", { [zone]: "z1" }), node("t", { [zone]: "z2" }, tainted)],
      pods: { a: webs(1) },
    },
    [uneven, "node(s) had untolerated taint {k: v}"],
  ],
  [
    "nodeTaintsPolicy Honor: it does not count",
    pod(web, spread(hard({ nodeTaintsPolicy: "Honor" }))),
    {
      nodes: [node("a", { [zone]: "z1" }), node("t", { [zone]: "z2" }, tainted)],
      pods: { a: webs(1) },
    },
    [fits, "node(s) had untolerated taint {k: v}"],
  ],
  [
    "nodeTaintsPolicy Honor: unless it is tolerated",
    pod(web, {
      ...spread(hard({ nodeTaintsPolicy: "Honor" })),
      tolerations: [{ operator: "Exists" }],
    }),
    {
      nodes: [node("a", { [zone]: "z1" }), node("t", { [zone]: "z2" }, tainted)],
      pods: { a: webs(1) },
    },
    [uneven, fits],
  ],
  [
    "ScheduleAnyway keeps no pod away",
    pod(web, spread(soft())),
    { nodes: nodes(), pods: { a: webs(9) } },
    [fits, fits, fits, fits],
  ],
  [
    "three zones: only the emptiest",
    pod(web, spread(hard())),
    {
      nodes: [...withZones(), node("e", { [zone]: "z3" })],
      pods: { a: webs(2), c: webs(1), e: webs(2) },
    },
    [uneven, uneven, fits, uneven],
  ],
];

test("filter: within the skew, or not", () => {
  for (const [what, wanted, world, expected] of filterRows) {
    assert.deepEqual(verdicts(wanted, world), expected, what);
  }
});

test("the messages are upstream's", () => {
  const world = { nodes: nodes(), pods: { a: webs(1), c: webs(1) } };
  const wanted = pod(web, spread(hard({ minDomains: 5 })));
  assert.equal(
    place(wanted, world),
    "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing " +
      "required label), 3 node(s) didn't match pod topology spread constraints.",
  );
});

const owned = (change: Partial<Pod> = {}): Pod =>
  pod(
    web,
    {},
    {
      ...change,
      metadata: {
        ownerReferences: [{ kind: "ReplicaSet", name: "rs", uid: "rs", controller: true }],
      },
    },
  );
const owner: World["workloads"] = {
  ownerSelector: (kind, name) =>
    kind === "ReplicaSet" && name === "rs" ? { matchLabels: web } : undefined,
};
const service: World["workloads"] = {
  services: (namespace) => (namespace === "default" ? [{ spec: { selector: web } }] : []),
};

type ScoreRow = readonly [what: string, wanted: Pod, world: World, expected: readonly number[]];

const scoreRows: readonly ScoreRow[] = [
  ["nothing to spread", pod(web), { nodes: nodes(), pods: { a: webs(3) } }, [0, 0, 0, 0]],
  ["all zones empty", pod(web, spread(soft())), { nodes: withZones() }, [100, 100, 100]],
  [
    "a fuller zone gets less",
    pod(web, spread(soft())),
    { nodes: withZones(), pods: { a: webs(1) } },
    [0, 0, 100],
  ],
  [
    "in proportion",
    pod(web, spread(soft())),
    { nodes: withZones(), pods: { a: webs(4), c: webs(2) } },
    [50, 50, 100],
  ],
  [
    "a node without the label gets nothing",
    pod(web, spread(soft())),
    { nodes: nodes(), pods: { a: webs(1) } },
    [0, 0, 100, 0],
  ],
  [
    "by node",
    pod(web, spread(soft({ topologyKey: hostname }))),
    { nodes: withZones(), pods: { a: webs(2), b: webs(1) } },
    [0, 33, 100],
  ],
  [
    "pods that end do not count",
    pod(web, spread(soft())),
    { nodes: withZones(), pods: { a: [ending(pod(web))] } },
    [100, 100, 100],
  ],
  [
    "pods of other namespaces do not count",
    pod(web, spread(soft())),
    { nodes: withZones(), pods: { a: [other("x", pod(web))] } },
    [100, 100, 100],
  ],
  [
    "a larger skew makes differences smaller",
    pod(web, spread(soft({ maxSkew: 5 }))),
    { nodes: withZones(), pods: { a: webs(1) } },
    [80, 80, 100],
  ],
  [
    "the replicas of an owner, by the constraints of the system",
    owned(),
    { nodes: withZones(), pods: { a: webs(1) }, workloads: owner },
    [66, 88, 100],
  ],
  [
    "the pods of a service, too",
    pod(web),
    { nodes: withZones(), pods: { a: webs(1) }, workloads: service },
    [66, 88, 100],
  ],
  [
    "no zones: by node alone",
    owned(),
    { nodes: [node("a"), node("b")], pods: { a: webs(1) }, workloads: owner },
    [66, 100],
  ],
  [
    "what the pod states replaces the system's constraints",
    { ...owned(), spec: spread(hard({ maxSkew: 9 })) },
    { nodes: withZones(), pods: { a: webs(1) }, workloads: owner },
    [0, 0, 0],
  ],
  [
    "a service that selects other pods does not matter",
    pod({ app: "x" }),
    { nodes: withZones(), pods: { a: webs(1) }, workloads: service },
    [0, 0, 0],
  ],
];

test("score: the emptier the domain, the more points", () => {
  for (const [what, wanted, world, expected] of scoreRows) {
    assert.deepEqual(points(wanted, world, "PodTopologySpread"), expected, what);
  }
});
