/** What is remembered for pods alike must be what would be said anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { Cycle, Framework, type Plugin, refuse } from "../../services/scheduler/framework/mod.ts";
import { prioritySort } from "../../services/scheduler/plugins/priority-sort.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import type { Snapshot } from "../../services/scheduler/snapshot.ts";
import { seeded } from "../http2/wire.ts";
import { cpu, frameworkOf, hostname, node, pod, snapshotOf, zone } from "./world.ts";

function placed(framework: Framework, snapshot: Snapshot, wanted: Pod): string {
  const placement = framework.schedule(new Cycle(podInfo(wanted), snapshot));
  return "node" in placement ? placement.node.name : placement.refusal.message;
}

const sorts: readonly (() => Pod)[] = [
  () => pod({ app: "a" }, cpu("100m")),
  () => pod({ app: "a" }, cpu("1500m")),
  () => pod({ app: "b" }, { ...cpu("50m"), tolerations: [{ key: "k", operator: "Exists" }] }),
  () => pod({ app: "b" }, { ...cpu("50m"), nodeSelector: { disk: "fast" } }),
  () => pod({ app: "c" }, { containers: [{ name: "c", ports: [{ hostPort: 80 }] }] }),
  () => pod({ app: "d" }, spread),
  () => pod({ app: "e" }, apart),
];
const of = (app: string) => ({ labelSelector: { matchLabels: { app } } });
const spread = {
  ...cpu("200m"),
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: zone, whenUnsatisfiable: "DoNotSchedule", ...of("d") },
  ],
};
const apart = {
  ...cpu("200m"),
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: hostname, ...of("e") }],
    },
  },
};

test("a scheduler that has seen a cluster change places pods as one that has just begun", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed);
    const below = (count: number) => Math.floor(random() * count);
    const nodes = Array.from({ length: 9 }, (_, i) => node(`n${i}`, { [zone]: `z${i % 3}` }));
    const snapshot = snapshotOf({ nodes });
    const old = frameworkOf();
    for (let step = 0; step < 120; step++) {
      const info = nodes[below(nodes.length)]!;
      const { images, node: object } = info;
      const change = below(8);
      if (change === 0) {
        const taints = random() < 0.5 ? [] : [{ key: "k", effect: "NoSchedule" }];
        info.setNode({ ...object, spec: { unschedulable: random() < 0.3, taints } });
      } else if (change === 1) {
        const metadata = object?.metadata;
        const labels = { ...metadata?.labels, disk: random() < 0.5 ? "fast" : "slow" };
        info.setNode({ ...object, metadata: { ...metadata, labels } });
      } else if (change === 2) info.usage = { cpu: 4_000 * random(), memory: 2 ** 32 * random() };
      else if (change === 3) {
        for (const each of [...info.pods.values()].slice(0, 2)) {
          snapshot.podMoved(each, info, -1);
          info.removePod(each.key);
        }
      } else if (change === 4) {
        const awaited = podInfo(pod({}, { ...cpu("3"), priority: 5 }));
        if (random() < 0.5) snapshot.nominations.set(awaited, info.name);
      } else if (change === 5 && info.pods.size === 0) {
        // The last node takes its place, and it comes back as the last.
        info.setNode(undefined);
        snapshot.changed(info, images);
        info.setNode(object);
      }
      snapshot.changed(info, images);
      const wanted = sorts[below(sorts.length)]!();
      const where = placed(old, snapshot, wanted);
      assert.equal(where, placed(frameworkOf(), snapshot, wanted), `seed ${seed}, step ${step}`);
      const chosen = snapshot.node(where);
      chosen?.addPod(podInfo(wanted));
      if (chosen) snapshot.podMoved(podInfo(wanted), chosen, 1);
    }
  }
});

function asked(plugin: Omit<Plugin, "name">): { framework: Framework; calls: string[] } {
  const calls: string[] = [];
  const framework = new Framework({
    plugins: [
      prioritySort,
      {
        name: "Asked",
        ...plugin,
        filter(_, { name }) {
          calls.push(name);
          return name === "a" ? refuse("not a") : undefined;
        },
        score: { weight: 1, points: (_, { pods }) => 100 - pods.size },
      },
    ],
    random: () => 0.99,
    after: () => () => {},
  });
  return { framework, calls };
}

test("a plugin is asked again of a node that has changed, and by pods that are not alike", () => {
  const { framework, calls } = asked({ alike: ({ labels }) => labels["app"] ?? "" });
  const nodes = [node("a"), node("b"), node("c")];
  const snapshot = snapshotOf({ nodes });
  const place = (app: string) => placed(framework, snapshot, pod({ app }));
  assert.equal(place("x"), "b");
  assert.deepEqual(calls.splice(0), ["a", "b", "c"]);
  nodes[1]?.addPod(podInfo(pod()));
  assert.equal(place("x"), "c", "its points are counted anew");
  assert.deepEqual(calls.splice(0), ["b"]);
  assert.equal(place("y"), "c");
  assert.deepEqual(calls.splice(0), ["a", "b", "c"]);
});

test("a plugin that does not say which pods are alike is always asked", () => {
  const { framework, calls } = asked({});
  const snapshot = snapshotOf({ nodes: [node("a"), node("b")] });
  for (const _ of [1, 2]) assert.equal(placed(framework, snapshot, pod()), "b");
  assert.deepEqual(calls, ["a", "b", "a", "b"]);
});
