import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, PodSpec } from "../../proto/gen/core.ts";
import { matchesTerm } from "../../services/kinds/mod.ts";
import { Cycle, Framework, type Plugin } from "../../services/scheduler/framework/mod.ts";
import { NodeInfo } from "../../services/scheduler/node-info.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { prioritySort } from "../../services/scheduler/plugins/priority-sort.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { Snapshot } from "../../services/scheduler/snapshot.ts";
import { noWorkloads } from "../../services/scheduler/workload-lookup.ts";

function node(name: string, change: Partial<Node> = {}, pods: Pod[] = []): NodeInfo {
  const info = new NodeInfo(name);
  info.setNode({
    metadata: { name, labels: { "kubernetes.io/hostname": name }, ...change.metadata },
    spec: change.spec,
    status: {
      allocatable: { cpu: "2", memory: "4Gi", pods: "10", "ephemeral-storage": "10Gi" },
      ...change.status,
    },
  });
  for (const each of pods) info.addPod(podInfo(each));
  return info;
}

function pod(spec: PodSpec = {}, name = "p", owner?: string): Pod {
  if (owner === undefined) return { metadata: { name, namespace: "default" }, spec };
  const ownerReferences = [{ kind: "ReplicaSet", name: owner, uid: owner, controller: true }];
  return { metadata: { name, namespace: "default", labels: { owner }, ownerReferences }, spec };
}

const requesting = (requests: Record<string, string>): PodSpec => ({
  containers: [{ name: "c", resources: { requests } }],
});

/** Every owner's pods have its name as their label. */
const ownerSelector = (_kind: string, name: string) => ({ matchLabels: { owner: name } });

function place(wanted: Pod, nodes: NodeInfo[], plugins: readonly Plugin[] = defaultPlugins) {
  const sorted = plugins.includes(prioritySort) ? plugins : [prioritySort, ...plugins];
  const framework = new Framework({ plugins: sorted, random: () => 0.99, after: () => () => {} });
  const snapshot = new Snapshot(undefined, { ...noWorkloads, ownerSelector });
  for (const each of nodes) snapshot.changed(each, new Map());
  const placement = framework.schedule(new Cycle(podInfo(wanted), snapshot));
  return "node" in placement ? placement.node.name : placement.refusal.message;
}

const tainted = (effect: string, value = "db"): Partial<Node> => ({
  spec: { taints: [{ key: "dedicated", value, effect }] },
});
const inTerm = (operator: string, values: string[] = [], key = "disk") => ({
  matchExpressions: [{ key, operator, values }],
});
const required = (...nodeSelectorTerms: ReturnType<typeof inTerm>[]): PodSpec => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  },
});
const hostPort = (port: number, hostIP?: string): PodSpec => ({
  containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: port, hostIP }] }],
});

test("filters: one node, one pod, and upstream's words for what does not fit", () => {
  const rows: [string, Pod, NodeInfo, string][] = [
    ["anything fits", pod(), node("a"), "a"],
    [
      "cordoned",
      pod(),
      node("a", { spec: { unschedulable: true } }),
      "0/1 nodes are available: 1 node(s) were unschedulable.",
    ],
    [
      "cordoned, tolerated",
      pod({ tolerations: [{ operator: "Exists" }] }),
      node("a", { spec: { unschedulable: true } }),
      "a",
    ],
    [
      "taint",
      pod(),
      node("a", tainted("NoSchedule")),
      "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}.",
    ],
    [
      "taint with equal toleration",
      pod({ tolerations: [{ key: "dedicated", value: "db" }] }),
      node("a", tainted("NoExecute")),
      "a",
    ],
    [
      "toleration of another effect",
      pod({ tolerations: [{ key: "dedicated", operator: "Exists", effect: "NoExecute" }] }),
      node("a", tainted("NoSchedule")),
      "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}.",
    ],
    ["a preference is no refusal", pod(), node("a", tainted("PreferNoSchedule")), "a"],
    [
      "nodeSelector",
      pod({ nodeSelector: { disk: "ssd" } }),
      node("a"),
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ],
    [
      "one of several terms",
      pod(required(inTerm("In", ["ssd"]), inTerm("DoesNotExist"))),
      node("a"),
      "a",
    ],
    [
      "cpu",
      pod(requesting({ cpu: "2100m" })),
      node("a"),
      "0/1 nodes are available: 1 Insufficient cpu.",
    ],
    [
      "cpu and memory",
      pod(requesting({ cpu: "3", memory: "5Gi" })),
      node("a"),
      "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
    ],
    ["exactly full", pod(requesting({ cpu: "2", memory: "4Gi" })), node("a"), "a"],
    [
      "what is there counts",
      pod(requesting({ cpu: "1500m" })),
      node("a", {}, [pod(requesting({ cpu: "600m" }), "q")]),
      "0/1 nodes are available: 1 Insufficient cpu.",
    ],
    [
      "an unknown resource",
      pod(requesting({ "example.com/gpu": "1" })),
      node("a"),
      "0/1 nodes are available: 1 Insufficient example.com/gpu.",
    ],
    [
      "number of pods",
      pod(),
      node("a", { status: { allocatable: { pods: "1" } } }, [pod({}, "q")]),
      "0/1 nodes are available: 1 Too many pods.",
    ],
    [
      "host port",
      pod(hostPort(80)),
      node("a", {}, [pod(hostPort(80, "10.0.0.1"), "q")]),
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    ],
    [
      "host port of a sidecar",
      pod(hostPort(80)),
      node("a", {}, [
        pod({ initContainers: [{ ...hostPort(80).containers![0], restartPolicy: "Always" }] }, "q"),
      ]),
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    ],
    [
      "ephemeral storage of which the node reports too little",
      pod(requesting({ "ephemeral-storage": "11Gi" })),
      node("a"),
      "0/1 nodes are available: 1 Insufficient ephemeral-storage.",
    ],
    [
      "ephemeral storage that is there",
      pod(requesting({ "ephemeral-storage": "10Gi" })),
      node("a"),
      "a",
    ],
    [
      "host ports of two addresses",
      pod(hostPort(80, "10.0.0.2")),
      node("a", {}, [pod(hostPort(80, "10.0.0.1"), "q")]),
      "a",
    ],
    [
      "the largest init container counts",
      pod({ ...requesting({ cpu: "1" }), initContainers: requesting({ cpu: "3" }).containers! }),
      node("a"),
      "0/1 nodes are available: 1 Insufficient cpu.",
    ],
  ];
  for (const [what, wanted, on, expected] of rows) {
    assert.equal(place(wanted, [on]), expected, what);
  }
});

test("the explanation counts nodes by reason, in order", () => {
  const nodes = [
    node("a", {}, [pod(requesting({ cpu: "2" }), "q")]),
    node("b", tainted("NoSchedule")),
    node("c", tainted("NoSchedule")),
  ];
  assert.equal(
    place(pod(requesting({ cpu: "1" })), nodes),
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {dedicated: db}.",
  );
  assert.equal(place(pod(), []), "no nodes available to schedule pods");
});

test("node selector operators", () => {
  const labelled: Node = { metadata: { name: "n", labels: { disk: "ssd", size: "10" } } };
  const rows: [ReturnType<typeof inTerm>, boolean][] = [
    [inTerm("In", ["ssd", "hdd"]), true],
    [inTerm("In", ["hdd"]), false],
    [inTerm("NotIn", ["hdd"]), true],
    [inTerm("NotIn", ["x"], "absent"), true],
    [inTerm("Exists"), true],
    [inTerm("DoesNotExist"), false],
    [inTerm("Gt", ["9"], "size"), true],
    [inTerm("Gt", ["10"], "size"), false],
    [inTerm("Lt", ["11"], "size"), true],
    [inTerm("Gt", ["9"]), false],
  ];
  for (const [term, expected] of rows) {
    assert.equal(matchesTerm(term, labelled), expected, JSON.stringify(term));
  }
  assert.equal(matchesTerm({}, labelled), false);
  const byName = { matchFields: [{ key: "metadata.name", operator: "In", values: ["n"] }] };
  assert.equal(matchesTerm(byName, labelled), true);
});

test("scores: each plugin alone prefers the node it should", () => {
  const big = (name: string, used: string) =>
    node(name, {}, [pod(requesting({ cpu: used }), `on-${name}`)]);
  const measured = (name: string, cpu: number) => {
    const info = node(name);
    info.usage = { cpu, memory: 0 };
    return info;
  };
  const withImage = (name: string, bytes: number) =>
    node(name, {
      status: {
        allocatable: { cpu: "2", memory: "4Gi", pods: "10" },
        images: [{ names: ["web:1"], sizeBytes: bytes }],
      },
    });
  const preferring: PodSpec = {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 10, preference: inTerm("In", ["b"], "kubernetes.io/hostname") },
        ],
      },
    },
  };
  const rows: [string, Pod, NodeInfo[]][] = [
    ["NodeResourcesFit", pod(), [big("a", "1"), big("b", "100m")]],
    ["MeasuredUtilisation", pod(), [measured("a", 1_500), measured("b", 10)]],
    ["TaintToleration", pod(), [node("a", tainted("PreferNoSchedule")), node("b")]],
    ["NodeAffinity", pod(preferring), [node("a"), node("b")]],
    ["PodTopologySpread", pod({}, "p", "rs"), [node("a", {}, [pod({}, "q", "rs")]), node("b")]],
    [
      "ImageLocality",
      pod({ containers: [{ name: "c", image: "web:1" }] }),
      [node("a"), withImage("b", 800 * 1024 * 1024)],
    ],
  ];
  for (const [name, wanted, nodes] of rows) {
    const plugins = defaultPlugins.filter((plugin) => plugin.name === name);
    assert.equal(plugins.length, 1, name);
    assert.equal(place(wanted, nodes, plugins), "b", name);
    assert.equal(place(wanted, [...nodes].reverse(), plugins), "b", name);
  }
});

test("replicas of one owner land on one node each, even where requests fill the nodes unevenly", () => {
  const load = pod(requesting({ cpu: "1800m", memory: "3Gi" }), "load");
  const nodes = [node("a"), node("b", {}, [load]), node("c")];
  const landed = ["0", "1", "2"].map((name) => {
    const replica = pod(requesting({ cpu: "10m" }), name, "rs");
    const on = place(replica, nodes);
    nodes.find((each) => each.name === on)?.addPod(podInfo(replica));
    return on;
  });
  assert.deepEqual(landed.sort(), ["a", "b", "c"]);
});
