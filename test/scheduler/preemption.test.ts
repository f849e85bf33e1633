/** Preemption: which pods end for which, as tables from what upstream documents. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, PodSpec } from "../../proto/gen/core.ts";
import type { PodDisruptionBudget } from "../../proto/gen/policy.ts";
import { Cycle, type Plugin } from "../../services/scheduler/framework/mod.ts";
import { defaultPlugins } from "../../services/scheduler/plugins/mod.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { searchRoom } from "../../services/scheduler/preemption/search.ts";
import { cpu, frameworkOf, hostname, node, pod, snapshotOf, type World, zone } from "./world.ts";

const named = (name: string, priority: number, amount: string, change: Partial<Pod> = {}): Pod =>
  pod(
    change.metadata?.labels ?? {},
    { ...cpu(amount), priority, ...change.spec },
    { ...change, metadata: { name, uid: name, ...change.metadata } },
  );
const started = (startTime: string): Partial<Pod> => ({ status: { startTime } });
const labelled = (app: string): Partial<Pod> => ({ metadata: { labels: { app } } });
const budget = (
  app: string,
  disruptionsAllowed: number,
  change: Partial<PodDisruptionBudget> = {},
): PodDisruptionBudget => ({
  metadata: { name: app, namespace: "default" },
  spec: { selector: { matchLabels: { app } } },
  status: { disruptionsAllowed },
  ...change,
});
const wants = (amount: string, change: PodSpec = {}, own: Partial<Pod> = {}) =>
  named("new", 100, amount, { ...own, spec: change });

/** "node: victims", or the message. */
async function preempts(wanted: Pod, world: World): Promise<string> {
  let told: string | undefined;
  const plugin: Plugin = {
    name: "Room",
    postFilter(cycle, diagnosis, context) {
      const found = searchRoom(cycle, diagnosis, context, () => 0);
      told =
        "victims" in found
          ? `${found.node.name}: ${found.victims.map(({ pod: { metadata } }) => metadata?.name).join(" ")}`
          : found.message;
      return undefined;
    },
  };
  const framework = frameworkOf([...defaultPlugins, plugin]);
  const snapshot = snapshotOf(world);
  for (const [name, pods] of Object.entries(world.nominated ?? {})) {
    for (const each of pods) snapshot.nominations.set(podInfo(each), name);
  }
  const requested = () =>
    snapshot.nodes.map((info) => Object.entries(info.requested).filter(([, sum]) => sum !== 0));
  const before = requested();
  const cycle = new Cycle(podInfo(wanted), snapshot);
  const placement = framework.schedule(cycle);
  if ("node" in placement) return `fits ${placement.node.name}`;
  const signal = new AbortController().signal;
  await framework.postFilter(cycle, placement.refusal.diagnosis, { signal, fence: undefined });
  assert.deepEqual(requested(), before, "trying leaves nothing behind");
  return told ?? "";
}

const one = () => [node("a")];
const two = () => [node("a"), node("b")];
const nobody = "No preemption victims found for incoming pod";
const useless = "Preemption is not helpful for scheduling";

type Row = readonly [what: string, wanted: Pod, world: World, expected: string];

const rows: readonly Row[] = [
  ["there is room", wants("1"), { nodes: one() }, "fits a"],
  [
    "a pod of lower priority goes",
    wants("3"),
    { nodes: one(), pods: { a: [named("low", 0, "3")] } },
    "a: low",
  ],
  [
    "one of equal priority stays",
    wants("3"),
    { nodes: one(), pods: { a: [named("same", 100, "3")] } },
    `preemption: 0/1 nodes are available: 1 ${nobody}.`,
  ],
  [
    "one of higher priority stays",
    wants("3"),
    { nodes: one(), pods: { a: [named("high", 200, "3")] } },
    `preemption: 0/1 nodes are available: 1 ${nobody}.`,
  ],
  [
    "only as many as must: the less important go",
    wants("2"),
    { nodes: one(), pods: { a: [named("x", 10, "2"), named("y", 20, "2")] } },
    "a: x",
  ],
  [
    "the newer of equals goes",
    wants("2"),
    {
      nodes: one(),
      pods: {
        a: [
          named("old", 10, "2", started("2026-01-01T00:00:00Z")),
          named("young", 10, "2", started("2026-01-02T00:00:00Z")),
        ],
      },
    },
    "a: young",
  ],
  [
    "a small one is spared if what remains is enough",
    wants("2"),
    { nodes: one(), pods: { a: [named("big", 20, "3"), named("small", 10, "500m")] } },
    "a: big",
  ],
  [
    "several go",
    wants("4"),
    { nodes: one(), pods: { a: [named("x", 30, "1"), named("y", 20, "1"), named("z", 10, "1")] } },
    "a: x y z",
  ],
  [
    "it would not fit on the empty node either",
    wants("5"),
    { nodes: one(), pods: { a: [named("low", 0, "3")] } },
    `preemption: 0/1 nodes are available: 1 ${useless}.`,
  ],
  [
    "it would not fit without them, for those of higher priority",
    wants("3"),
    { nodes: one(), pods: { a: [named("low", 0, "1"), named("high", 200, "2")] } },
    "preemption: 0/1 nodes are available: 1 Insufficient cpu.",
  ],
  [
    "no pod of lower priority at all, beside a node that does not suit",
    wants("3", { nodeSelector: { [hostname]: "a" } }),
    { nodes: two(), pods: { a: [named("same", 100, "3")] } },
    `preemption: 0/2 nodes are available: 1 ${nobody}, 1 ${useless}.`,
  ],
  [
    "preemptionPolicy Never",
    wants("3", { preemptionPolicy: "Never" }),
    { nodes: one(), pods: { a: [named("low", 0, "3")] } },
    "preemption: not eligible due to preemptionPolicy=Never.",
  ],
  [
    "preemptionPolicy PreemptLowerPriority",
    wants("3", { preemptionPolicy: "PreemptLowerPriority" }),
    { nodes: one(), pods: { a: [named("low", 0, "3")] } },
    "a: low",
  ],
  [
    "a taint is no matter of room",
    wants("3"),
    {
      nodes: [node("a", {}, { spec: { taints: [{ key: "k", effect: "NoSchedule" }] } })],
      pods: { a: [named("low", 0, "3")] },
    },
    `preemption: 0/1 nodes are available: 1 ${useless}.`,
  ],
  [
    "pods that end for it already: it waits",
    wants("3", {}, { status: { nominatedNodeName: "a" } }),
    {
      nodes: one(),
      pods: {
        a: [
          named("low", 0, "3", {
            metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
            status: {
              conditions: [
                { type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler" },
              ],
            },
          }),
        ],
      },
    },
    "preemption: not eligible due to a terminating pod on the nominated node.",
  ],
  [
    "pods that end for another reason do not make it wait",
    wants("3", {}, { status: { nominatedNodeName: "a" } }),
    {
      nodes: one(),
      pods: {
        a: [named("low", 0, "3", { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } })],
      },
    },
    "a: low",
  ],
  [
    "fewest violated budgets first",
    wants("3"),
    {
      nodes: two(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))], b: [named("free", 50, "3")] },
      budgets: [budget("kept", 0)],
    },
    "b: free",
  ],
  [
    "a budget is violated when nothing else helps",
    wants("3"),
    {
      nodes: one(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))] },
      budgets: [budget("kept", 0)],
    },
    "a: kept",
  ],
  [
    "a budget that allows one",
    wants("3"),
    {
      nodes: two(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))], b: [named("free", 50, "3")] },
      budgets: [budget("kept", 1)],
    },
    "a: kept",
  ],
  [
    "on one node the pods of a budget are spared first",
    wants("2"),
    {
      nodes: one(),
      pods: { a: [named("kept", 0, "2", labelled("kept")), named("free", 50, "2")] },
      budgets: [budget("kept", 0)],
    },
    "a: free",
  ],
  [
    "a budget of another namespace does not matter",
    wants("3"),
    {
      nodes: two(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))], b: [named("free", 50, "3")] },
      budgets: [budget("kept", 0, { metadata: { name: "kept", namespace: "other" } })],
    },
    "a: kept",
  ],
  [
    "a budget with an empty selector protects nothing",
    wants("3"),
    {
      nodes: two(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))], b: [named("free", 50, "3")] },
      budgets: [budget("kept", 0, { spec: { selector: {} } })],
    },
    "a: kept",
  ],
  [
    "a pod that the budget counts as disrupted takes nothing from it",
    wants("3"),
    {
      nodes: two(),
      pods: { a: [named("kept", 0, "3", labelled("kept"))], b: [named("free", 50, "3")] },
      budgets: [
        budget("kept", 0, {
          status: { disruptionsAllowed: 0, disruptedPods: { kept: "2026-01-01T00:00:00Z" } },
        }),
      ],
    },
    "a: kept",
  ],
  [
    "the lower highest priority",
    wants("3"),
    { nodes: two(), pods: { a: [named("mid", 50, "3")], b: [named("low", 10, "3")] } },
    "b: low",
  ],
  [
    "the smaller sum of priorities",
    wants("4"),
    {
      nodes: two(),
      pods: {
        a: [named("x", 50, "2"), named("y", 40, "2")],
        b: [named("v", 50, "2"), named("w", 10, "2")],
      },
    },
    "b: v w",
  ],
  [
    "fewer pods, although the sum of negative priorities is smaller with more",
    wants("4"),
    {
      nodes: two(),
      pods: {
        a: [named("x", -5, "2"), named("y", -5, "2")],
        b: [named("v", -5, "4")],
      },
    },
    "b: v",
  ],
  [
    "the later start of the most important",
    wants("3"),
    {
      nodes: two(),
      pods: {
        a: [named("old", 10, "3", started("2026-01-01T00:00:00Z"))],
        b: [named("young", 10, "3", started("2026-01-02T00:00:00Z"))],
      },
    },
    "b: young",
  ],
  [
    "a host port is freed",
    wants("100m", { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }] }),
    {
      nodes: one(),
      pods: {
        a: [
          named("web", 0, "100m", {
            spec: { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }] },
          }),
          named("other", 0, "100m"),
        ],
      },
    },
    "a: web",
  ],
  [
    "anti-affinity: the pod in the way goes, another stays",
    wants("100m", {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: hostname, labelSelector: { matchLabels: { app: "db" } } },
          ],
        },
      },
    }),
    {
      nodes: one(),
      pods: {
        a: [named("db", 0, "100m", labelled("db")), named("web", 0, "100m", labelled("web"))],
      },
    },
    "a: db",
  ],
  [
    "anti-affinity of the others: the pod that does not want it goes",
    wants("100m", {}, labelled("web")),
    {
      nodes: one(),
      pods: {
        a: [
          named("db", 0, "100m", {
            spec: {
              affinity: {
                podAntiAffinity: {
                  requiredDuringSchedulingIgnoredDuringExecution: [
                    { topologyKey: hostname, labelSelector: { matchLabels: { app: "web" } } },
                  ],
                },
              },
            },
          }),
          named("other", 0, "100m"),
        ],
      },
    },
    "a: db",
  ],
  [
    "affinity: the pod it wants to be near is no use when it is gone",
    wants("4", {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: hostname, labelSelector: { matchLabels: { app: "db" } } },
          ],
        },
      },
    }),
    { nodes: one(), pods: { a: [named("db", 0, "1", labelled("db"))] } },
    "preemption: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
  ],
  [
    "spread: a pod of the fuller zone goes",
    wants(
      "100m",
      {
        topologySpreadConstraints: [
          {
            maxSkew: 2,
            topologyKey: zone,
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "web" } },
            nodeAffinityPolicy: "Ignore",
          },
        ],
        nodeSelector: { [hostname]: "a" },
      },
      labelled("web"),
    ),
    {
      nodes: [node("a", { [zone]: "1" }), node("b", { [zone]: "2" })],
      pods: {
        a: [
          named("w1", 10, "100m", labelled("web")),
          named("w2", 0, "100m", labelled("web")),
          named("db", 0, "100m", labelled("db")),
        ],
      },
    },
    "a: w2",
  ],
  [
    "a nominated pod of higher priority keeps its place",
    wants("2"),
    {
      nodes: one(),
      pods: { a: [named("low", 0, "2")] },
      nominated: { a: [named("first", 200, "4")] },
    },
    "preemption: 0/1 nodes are available: 1 Insufficient cpu.",
  ],
  [
    "a nominated pod of lower priority does not",
    wants("2"),
    { nodes: one(), nominated: { a: [named("first", 50, "4")] } },
    "fits a",
  ],
  [
    "one of equal priority does",
    wants("2"),
    { nodes: one(), nominated: { a: [named("first", 100, "4")] } },
    `preemption: 0/1 nodes are available: 1 ${nobody}.`,
  ],
  [
    "its own nomination does not stand in its way",
    wants("4"),
    { nodes: two(), nominated: { b: [wants("4")] } },
    "fits b",
  ],
];

test("who goes for whom, and where", async () => {
  for (const [what, wanted, world, expected] of rows) {
    assert.equal(await preempts(wanted, world), expected, what);
  }
});
