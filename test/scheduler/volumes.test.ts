/** What claims and volumes ask of a node, in upstream's words: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeSpec,
  Pod,
  Volume,
} from "../../proto/gen/core.ts";
import type { CSINode, StorageClass } from "../../proto/gen/storage.ts";
import { Cycle, Framework, type Plugin } from "../../services/scheduler/framework/mod.ts";
import { NodeInfo } from "../../services/scheduler/node-info.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { Snapshot } from "../../services/scheduler/snapshot.ts";
import { noVolumes, type VolumeLookup } from "../../services/scheduler/volume-lookup.ts";

interface World {
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly csiNodes?: readonly CSINode[];
  /** Pods that are on node n already. */
  readonly pods?: readonly Pod[];
  readonly labels?: Record<string, string>;
}

const named = <T extends { metadata?: { name?: string | undefined } | undefined }>(
  all: readonly T[] | undefined,
  name: string,
) => all?.find(({ metadata }) => metadata?.name === name);

function lookup({ claims, volumes, classes, csiNodes }: World): VolumeLookup {
  return {
    ...noVolumes,
    claim: (name) => named(claims, name),
    volume: (name) => named(volumes, name),
    volumes: () => volumes ?? [],
    storageClass: (name) => named(classes, name),
    csiNode: (name) => named(csiNodes, name),
  };
}

/** The name of the node, or why there is none. */
function place(pod: Pod, world: World): string {
  const node = new NodeInfo("n");
  node.setNode({
    metadata: { name: "n", labels: { "kubernetes.io/hostname": "n", ...world.labels } },
    status: { allocatable: { cpu: "2", memory: "4Gi", pods: "10" } },
  });
  for (const each of world.pods ?? []) node.addPod(podInfo(each));
  const snapshot = new Snapshot(lookup(world));
  snapshot.changed(node, new Map());
  const framework = new Framework({
    plugins: defaultPlugins,
    random: () => 0,
    after: () => () => {},
  });
  const placement = framework.schedule(new Cycle(podInfo(pod), snapshot));
  if ("node" in placement) return placement.node.name;
  return placement.refusal.message.replace(/^0\/1 nodes are available: /, "");
}

const pod = (volumes: Volume[], name = "p"): Pod => ({
  metadata: { name, namespace: "default" },
  spec: { volumes },
});
const using = (claimName: string, name?: string) =>
  pod([{ name: "v", persistentVolumeClaim: { claimName } }], name);
const claim = (
  name: string,
  spec: PersistentVolumeClaim["spec"] = {},
  bound = true,
): PersistentVolumeClaim => ({
  metadata: {
    name,
    namespace: "default",
    uid: `uid-${name}`,
    ...(bound && { annotations: { "pv.kubernetes.io/bind-completed": "yes" } }),
  },
  spec: {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    ...(bound && { volumeName: `pv-${name}` }),
    ...spec,
  },
  status: { phase: bound ? "Bound" : "Pending" },
});
const volume = (
  name: string,
  spec: PersistentVolumeSpec = {},
  labels: Record<string, string> = {},
): PersistentVolume => ({
  metadata: { name, labels },
  spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], ...spec },
  status: { phase: "Available" },
});
const onHost = (host: string): PersistentVolumeSpec => ({
  nodeAffinity: {
    required: {
      nodeSelectorTerms: [
        {
          matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [host] }],
        },
      ],
    },
  },
});
const late = (change: StorageClass = {}): StorageClass => ({
  metadata: { name: "late" },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "WaitForFirstConsumer",
  ...change,
});
const zone = "topology.kubernetes.io/zone";
const waiting = (name: string, annotations?: Record<string, string>) => {
  const one = claim(name, { storageClassName: "late" }, false);
  return { ...one, metadata: { ...one.metadata, ...(annotations && { annotations }) } };
};
const inClass = { storageClassName: "late" };
const noneFree = "1 node(s) didn't find available persistent volumes to bind.";
const single = { accessModes: ["ReadWriteOncePod"] };
const csi = (name: string) => volume(`pv-${name}`, { csi: { driver: "d", volumeHandle: name } });
const csiNode = (count: number): CSINode => ({
  metadata: { name: "n" },
  spec: { drivers: [{ name: "d", nodeID: "n", allocatable: { count } }] },
});

const cases: readonly [string, Pod, World, string][] = [
  ["no volumes", pod([]), {}, "n"],
  ["no claims", pod([{ name: "v", emptyDir: {} }]), {}, "n"],
  ["a missing claim", using("a"), {}, 'persistentvolumeclaim "a" not found.'],
  [
    "an ephemeral volume before its claim is made",
    pod([{ name: "v", ephemeral: {} }]),
    {},
    'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v".',
  ],
  [
    "an ephemeral volume whose claim is another's",
    pod([{ name: "v", ephemeral: {} }]),
    { claims: [claim("p-v")] },
    "PVC default/p-v was not created for pod default/p (pod is not owner).",
  ],
  [
    "a claim that goes",
    using("a"),
    {
      claims: [
        { ...claim("a"), metadata: { name: "a", deletionTimestamp: "2026-01-01T00:00:00Z" } },
      ],
    },
    'persistentvolumeclaim "a" is being deleted.',
  ],
  [
    "a claim that has lost its volume",
    using("a"),
    { claims: [{ ...claim("a"), status: { phase: "Lost" } }] },
    'persistentvolumeclaim "a" bound to non-existent persistentvolume "pv-a".',
  ],
  [
    "a claim that is not bound yet",
    using("a"),
    { claims: [claim("a", {}, false)] },
    "pod has unbound immediate PersistentVolumeClaims.",
  ],
  ["a bound claim", using("a"), { claims: [claim("a")], volumes: [volume("pv-a")] }, "n"],
  [
    "a bound claim without its volume",
    using("a"),
    { claims: [claim("a")] },
    "1 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
  ],
  [
    "a volume of this node",
    using("a"),
    { claims: [claim("a")], volumes: [volume("pv-a", onHost("n"))] },
    "n",
  ],
  [
    "a volume of another node",
    using("a"),
    { claims: [claim("a")], volumes: [volume("pv-a", onHost("m"))] },
    "1 node(s) had volume node affinity conflict.",
  ],
  [
    "a waiting claim and a free volume",
    using("a"),
    { claims: [waiting("a")], classes: [late()], volumes: [volume("x", inClass)] },
    "n",
  ],
  ["a waiting claim and none", using("a"), { claims: [waiting("a")], classes: [late()] }, noneFree],
  [
    "a waiting claim and a free volume of another node",
    using("a"),
    {
      claims: [waiting("a")],
      classes: [late()],
      volumes: [volume("x", { ...inClass, ...onHost("m") })],
    },
    noneFree,
  ],
  [
    "a waiting claim and a free volume of another class",
    using("a"),
    { claims: [waiting("a")], classes: [late()], volumes: [volume("x")] },
    noneFree,
  ],
  [
    "a waiting claim and a free volume that is too small",
    using("a"),
    {
      claims: [waiting("a")],
      classes: [late()],
      volumes: [volume("x", { ...inClass, capacity: { storage: "1Mi" } })],
    },
    noneFree,
  ],
  [
    "two waiting claims and one free volume",
    pod([
      { name: "v", persistentVolumeClaim: { claimName: "a" } },
      { name: "w", persistentVolumeClaim: { claimName: "b" } },
    ]),
    { claims: [waiting("a"), waiting("b")], classes: [late()], volumes: [volume("x", inClass)] },
    noneFree,
  ],
  [
    "two waiting claims and two free volumes",
    pod([
      { name: "v", persistentVolumeClaim: { claimName: "a" } },
      { name: "w", persistentVolumeClaim: { claimName: "b" } },
    ]),
    {
      claims: [waiting("a"), waiting("b")],
      classes: [late()],
      volumes: [volume("x", inClass), volume("y", inClass)],
    },
    "n",
  ],
  [
    "a volume can be made",
    using("a"),
    { claims: [waiting("a")], classes: [late({ provisioner: "trireme.io/host-path" })] },
    "n",
  ],
  [
    "a volume is being made on another node",
    using("a"),
    {
      claims: [waiting("a", { "volume.kubernetes.io/selected-node": "m" })],
      classes: [late({ provisioner: "trireme.io/host-path" })],
    },
    noneFree,
  ],
  [
    "volumes can be made in another zone only",
    using("a"),
    {
      claims: [waiting("a")],
      labels: { [zone]: "east" },
      classes: [
        late({
          provisioner: "trireme.io/host-path",
          allowedTopologies: [{ matchLabelExpressions: [{ key: zone, values: ["west"] }] }],
        }),
      ],
    },
    noneFree,
  ],
  [
    "a volume of this zone",
    using("a"),
    {
      claims: [claim("a")],
      volumes: [volume("pv-a", {}, { [zone]: "west__east" })],
      labels: { [zone]: "east" },
    },
    "n",
  ],
  [
    "a volume of another zone",
    using("a"),
    {
      claims: [claim("a")],
      volumes: [volume("pv-a", {}, { [zone]: "west" })],
      labels: { [zone]: "east" },
    },
    "1 node(s) had no available volume zone.",
  ],
  [
    "a volume of a zone where nodes have none",
    using("a"),
    { claims: [claim("a")], volumes: [volume("pv-a", {}, { [zone]: "west" })] },
    "n",
  ],
  [
    "a volume with the older label of its zone",
    using("a"),
    {
      claims: [claim("a")],
      volumes: [volume("pv-a", {}, { "failure-domain.beta.kubernetes.io/zone": "east" })],
      labels: { [zone]: "east" },
    },
    "n",
  ],
  [
    "a claim of a single pod, unused",
    using("a"),
    { claims: [claim("a", single)], volumes: [volume("pv-a")] },
    "n",
  ],
  [
    "a claim of a single pod, used",
    using("a"),
    { claims: [claim("a", single)], volumes: [volume("pv-a")], pods: [using("a", "q")] },
    "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already " +
      "in-use by another pod.",
  ],
  [
    "a claim of a single node, used there",
    using("a"),
    { claims: [claim("a")], volumes: [volume("pv-a")], pods: [using("a", "q")] },
    "n",
  ],
  [
    "a disk that another pod writes",
    pod([{ name: "v", gcePersistentDisk: { pdName: "d" } }]),
    { pods: [pod([{ name: "v", gcePersistentDisk: { pdName: "d" } }], "q")] },
    "1 node(s) had no available disk.",
  ],
  [
    "a disk that both only read",
    pod([{ name: "v", gcePersistentDisk: { pdName: "d", readOnly: true } }]),
    { pods: [pod([{ name: "v", gcePersistentDisk: { pdName: "d", readOnly: true } }], "q")] },
    "n",
  ],
  [
    "an EBS volume is never shared",
    pod([{ name: "v", awsElasticBlockStore: { volumeID: "d", readOnly: true } }]),
    { pods: [pod([{ name: "v", awsElasticBlockStore: { volumeID: "d", readOnly: true } }], "q")] },
    "1 node(s) had no available disk.",
  ],
  [
    "fewer volumes than the driver takes",
    using("a"),
    {
      claims: [claim("a"), claim("b")],
      volumes: [csi("a"), csi("b")],
      csiNodes: [csiNode(2)],
      pods: [using("b", "q")],
    },
    "n",
  ],
  [
    "as many volumes as the driver takes",
    using("a"),
    {
      claims: [claim("a"), claim("b")],
      volumes: [csi("a"), csi("b")],
      csiNodes: [csiNode(1)],
      pods: [using("b", "q")],
    },
    "1 node(s) exceed max volume count.",
  ],
  [
    "a volume that is attached already counts once",
    using("b"),
    {
      claims: [claim("b")],
      volumes: [csi("b")],
      csiNodes: [csiNode(1)],
      pods: [using("b", "q")],
    },
    "n",
  ],
];

for (const [title, given, world, expected] of cases) {
  test(`volumes: ${title}`, () => assert.equal(place(given, world), expected));
}

test("of free volumes the one that the claim fills most draws the pod", () => {
  const world: World = {
    claims: [waiting("a")],
    classes: [late()],
    volumes: [
      volume("tight", { ...inClass, ...onHost("tight"), capacity: { storage: "2Gi" } }),
      volume("wide", { ...inClass, ...onHost("wide"), capacity: { storage: "10Gi" } }),
    ],
  };
  const snapshot = new Snapshot(lookup(world));
  for (const name of ["wide", "tight", "none"]) {
    const info = new NodeInfo(name);
    info.setNode({
      metadata: { name, labels: { "kubernetes.io/hostname": name } },
      status: { allocatable: { cpu: "2", memory: "4Gi", pods: "10" } },
    });
    snapshot.changed(info, new Map());
  }
  const framework = new Framework({
    plugins: defaultPlugins,
    random: () => 0,
    after: () => () => {},
  });
  const { nodes } = framework.explain(new Cycle(podInfo(using("a")), snapshot));
  const points = nodes.map(({ node, refusals, scores }) => [
    node,
    refusals[0]?.reasons[0] ??
      Math.round(scores.find(({ plugin }) => plugin === "VolumeBinding")?.points ?? 0),
  ]);
  assert.deepEqual(points, [
    ["wide", 10],
    ["tight", 50],
    ["none", "node(s) didn't find available persistent volumes to bind"],
  ]);
});

test("a claim for a single pod is free when its pod would be gone", async () => {
  const only = claim("a", { accessModes: ["ReadWriteOncePod"] });
  const world: World = { claims: [only], volumes: [volume("pv-a")] };
  const snapshot = new Snapshot(lookup(world));
  const info = new NodeInfo("n");
  info.setNode({
    metadata: { name: "n" },
    status: { allocatable: { cpu: "2", memory: "4Gi", pods: "10" } },
  });
  const user = podInfo(using("a", "user"));
  info.addPod(user);
  snapshot.changed(info, new Map());
  const tried: (string | undefined)[] = [];
  const trying: Plugin = {
    name: "Trying",
    postFilter(_cycle, _diagnosis, { verdict, takeOff, putOn }) {
      takeOff(user, info);
      tried.push(verdict(info)?.reasons[0]);
      putOn(user, info);
      tried.push(verdict(info)?.reasons[0]);
      return undefined;
    },
  };
  const plugins = [...defaultPlugins, trying];
  const framework = new Framework({ plugins, random: () => 0, after: () => () => {} });
  const cycle = new Cycle(podInfo(using("a", "other")), snapshot);
  const placement = framework.schedule(cycle);
  assert.ok("refusal" in placement);
  const { signal } = new AbortController();
  const { diagnosis } = placement.refusal;
  await framework.postFilter(cycle, diagnosis, { signal, fence: undefined });
  assert.deepEqual(tried, [
    undefined,
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already " +
      "in-use by another pod",
  ]);
});
