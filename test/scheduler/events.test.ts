/** Which events bring back a pod that a plugin has refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, PodSpec } from "../../proto/gen/core.ts";
import type { KindName } from "../../services/client/mod.ts";
import type { ClusterEvent } from "../../services/scheduler/framework/mod.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { podGroupLabel } from "../../services/scheduler/plugins/pod-groups.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { cpu, hostname, pod, zone } from "./world.ts";

function wakes(name: string, waiting: Pod, event: ClusterEvent): boolean {
  const plugin = defaultPlugins.find((each) => each.name === name);
  assert.ok(plugin, name);
  return (plugin.events ?? []).some(
    ({ resource, actions, hint }) =>
      resource === event.resource &&
      actions.includes(event.action) &&
      (hint === undefined || hint(podInfo(waiting), event)),
  );
}

const event = (
  resource: KindName,
  action: ClusterEvent["action"],
  change: { readonly previous?: object; readonly next?: object },
): ClusterEvent => ({ resource, action, ...change }) as ClusterEvent;
const gone = (previous: Pod) => event("Pod", "deleted", { previous });
const came = (next: Pod) => event("Pod", "added", { next });
const changed = (previous: Pod, next: Pod) => event("Pod", "updated", { previous, next });
const pending = (next: Pod) => event("Pod", "pending", { next });
const newNode = (next: Node) => event("Node", "added", { next });
const nodeChanged = (previous: Node, next: Node) => event("Node", "updated", { previous, next });

const node = (change: Partial<Node> = {}): Node => ({
  metadata: { name: "n", labels: { [hostname]: "n", [zone]: "z1" } },
  status: { allocatable: { cpu: "4", memory: "8Gi", pods: "10" } },
  ...change,
});
const app = (name: string) => ({ app: name });
const anti = (name: string): PodSpec => ({
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: zone, labelSelector: { matchLabels: app(name) } },
      ],
    },
  },
});
const near = (name: string, namespaceSelector?: object): PodSpec => ({
  affinity: {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        {
          topologyKey: zone,
          labelSelector: { matchLabels: app(name) },
          ...(namespaceSelector && { namespaceSelector }),
        },
      ],
    },
  },
});
const spread: PodSpec = {
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: zone,
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: app("web") },
    },
  ],
};
const port = (hostPort: number): PodSpec => ({
  containers: [{ name: "c", ports: [{ containerPort: 80, hostPort }] }],
});
const tainted = node({ spec: { taints: [{ key: "k", effect: "NoSchedule" }] } });
const elsewhere = (each: Pod): Pod => ({
  ...each,
  metadata: { ...each.metadata, namespace: "other" },
});

type Row = readonly [what: string, plugin: string, waiting: Pod, event: ClusterEvent, boolean];

const rows: readonly Row[] = [
  ["a node large enough", "NodeResourcesFit", pod({}, cpu("3")), newNode(node()), true],
  ["a node too small", "NodeResourcesFit", pod({}, cpu("5")), newNode(node()), false],
  ["a pod goes", "NodeResourcesFit", pod({}, cpu("3")), gone(pod()), true],
  [
    "a pod asks for less",
    "NodeResourcesFit",
    pod({}, cpu("3")),
    changed(pod({}, cpu("2")), pod({}, cpu("1"))),
    true,
  ],
  [
    "a pod asks for more",
    "NodeResourcesFit",
    pod({}, cpu("3")),
    changed(pod({}, cpu("1")), pod({}, cpu("2"))),
    false,
  ],
  ["a pod comes", "NodeResourcesFit", pod({}, cpu("3")), came(pod()), false],
  ["a node without the taint", "TaintToleration", pod(), nodeChanged(tainted, node()), true],
  ["a node with the taint", "TaintToleration", pod(), newNode(tainted), false],
  [
    "a node with a taint that is tolerated",
    "TaintToleration",
    pod({}, { tolerations: [{ operator: "Exists" }] }),
    newNode(tainted),
    true,
  ],
  [
    "a node that is uncordoned",
    "NodeUnschedulable",
    pod(),
    nodeChanged(node({ spec: { unschedulable: true } }), node()),
    true,
  ],
  [
    "a node that is cordoned",
    "NodeUnschedulable",
    pod(),
    nodeChanged(node(), node({ spec: { unschedulable: true } })),
    false,
  ],
  [
    "a node with the label",
    "NodeAffinity",
    pod({}, { nodeSelector: { [zone]: "z1" } }),
    newNode(node()),
    true,
  ],
  [
    "a node with another",
    "NodeAffinity",
    pod({}, { nodeSelector: { [zone]: "z2" } }),
    newNode(node()),
    false,
  ],
  ["the port is freed", "NodePorts", pod({}, port(80)), gone(pod({}, port(80))), true],
  ["another port is freed", "NodePorts", pod({}, port(80)), gone(pod({}, port(81))), false],
  ["the pod in the way goes", "InterPodAffinity", pod({}, anti("db")), gone(pod(app("db"))), true],
  ["another goes", "InterPodAffinity", pod({}, anti("db")), gone(pod(app("web"))), false],
  ["the neighbour comes", "InterPodAffinity", pod({}, near("db")), came(pod(app("db"))), true],
  ["another comes", "InterPodAffinity", pod({}, near("db")), came(pod(app("web"))), false],
  [
    "one like the neighbour comes in another namespace",
    "InterPodAffinity",
    pod({}, near("db")),
    came(elsewhere(pod(app("db")))),
    false,
  ],
  [
    "one in a namespace that may be selected",
    "InterPodAffinity",
    pod({}, near("db", { matchLabels: { team: "x" } })),
    came(elsewhere(pod(app("db")))),
    true,
  ],
  [
    "a pod that did not want it goes",
    "InterPodAffinity",
    pod(app("web")),
    gone(pod(app("db"), anti("web"))),
    true,
  ],
  [
    "a pod gets the wanted label",
    "InterPodAffinity",
    pod({}, near("db")),
    changed(pod(app("x")), pod(app("db"))),
    true,
  ],
  [
    "a node gets the topology's label",
    "InterPodAffinity",
    pod({}, near("db")),
    nodeChanged(node({ metadata: { name: "n" } }), node()),
    true,
  ],
  [
    "a node changes otherwise",
    "InterPodAffinity",
    pod({}, near("db")),
    nodeChanged(node(), tainted),
    false,
  ],
  ["a counted pod goes", "PodTopologySpread", pod(app("web"), spread), gone(pod(app("web"))), true],
  ["another pod goes", "PodTopologySpread", pod(app("web"), spread), gone(pod(app("db"))), false],
  [
    "a counted pod comes",
    "PodTopologySpread",
    pod(app("web"), spread),
    came(pod(app("web"))),
    true,
  ],
  [
    "a counted pod of another namespace",
    "PodTopologySpread",
    pod(app("web"), spread),
    gone(elsewhere(pod(app("web")))),
    false,
  ],
  ["a new node of a zone", "PodTopologySpread", pod(app("web"), spread), newNode(node()), true],
  [
    "a new node without zone",
    "PodTopologySpread",
    pod(app("web"), spread),
    newNode(node({ metadata: { name: "n" } })),
    false,
  ],
  [
    "one more of the group",
    "PodGroups",
    pod({ [podGroupLabel]: "g" }),
    pending(pod({ [podGroupLabel]: "g" })),
    true,
  ],
  [
    "one of another group",
    "PodGroups",
    pod({ [podGroupLabel]: "g" }),
    pending(pod({ [podGroupLabel]: "h" })),
    false,
  ],
  ["pods of no group are not one", "PodGroups", pod(), pending(pod()), false],
  ["room for the group", "PodGroups", pod({ [podGroupLabel]: "g" }), gone(pod()), true],
];

test("only what may help brings a pod back", () => {
  for (const [what, plugin, waiting, happened, expected] of rows) {
    assert.equal(wakes(plugin, waiting, happened), expected, `${plugin}: ${what}`);
  }
});
