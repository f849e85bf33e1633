import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { nodeLifecycleController } from "../../services/controllers/node-lifecycle/controller.ts";
import { EvictionPace, evictionRate } from "../../services/controllers/node-lifecycle/pace.ts";
import { evictionTime } from "../../services/controllers/node-lifecycle/taints.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import { FakeClock } from "../client/fake-clock.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, harness, node, putPod, replicaSet } from "./harness.ts";

const options = {
  graceMillis: 20_000,
  periodMillis: 5_000,
  rate: 0.1,
  secondaryRate: 0.01,
  unhealthyThreshold: 0.55,
  largeZone: 50,
};
const unreachable = "node.kubernetes.io/unreachable";

async function cluster(names: readonly string[]) {
  const all = await harness(nodeLifecycleController(options), replicaSetController(1));
  const { api, client, clock } = all;
  for (const name of names) await client.nodes.create(node(name));
  await client.nodeLivenesses.create({ metadata: { name: "apiserver-0" }, nodes: {} });
  const beating = new Set(names);
  /** Time passes with heartbeats of the nodes that live. */
  const live = async (seconds: number) => {
    for (let passed = 0; passed < seconds; passed += 5) {
      await clock.advance(5_000);
      await api.change("NodeLiveness", "apiserver-0", (liveness) => {
        for (const name of beating) {
          const lastHeartbeatTime = new Date(clock.wallMillis()).toISOString();
          liveness.nodes = { ...liveness.nodes, [name]: { lastHeartbeatTime } };
        }
      });
    }
    await clock.advance(0);
  };
  return { ...all, beating, live };
}

const taintsOf = (api: RealApi, name: string) =>
  (api.get("Node", name)?.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).sort();
const readyOf = (api: RealApi, name: string) =>
  api.get("Node", name)?.status?.conditions?.find(({ type }) => type === "Ready");

test("a silent node is marked, tainted and emptied; its pods are replaced; it recovers", async () => {
  const { api, client, beating, live, end } = await cluster(["n1", "n2", "n3"]);
  await client.replicaSets.create(replicaSet(2));
  await live(5);
  const names = active(api).map(({ metadata }) => `default/${metadata?.name}`);
  for (const [index, key] of names.entries()) {
    await api.change("Pod", key, (pod) => {
      pod.spec!.nodeName = `n${index + 1}`;
      pod.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    });
  }
  await live(15);
  assert.deepEqual(taintsOf(api, "n1"), []);
  beating.delete("n1");
  await live(15);
  assert.equal(readyOf(api, "n1")?.status, "True");
  await live(15);
  assert.equal(readyOf(api, "n1")?.status, "Unknown");
  assert.equal(readyOf(api, "n1")?.message, "Kubelet stopped posting node status.");
  assert.deepEqual(taintsOf(api, "n1"), [`${unreachable}:NoExecute`, `${unreachable}:NoSchedule`]);
  const lost = api.get("Pod", names[0] ?? "");
  assert.ok(lost?.metadata?.deletionTimestamp, "evicted gracefully");
  assert.equal(lost?.status?.conditions?.[0]?.status, "False");
  assert.equal(active(api).length, 2, "replaced");
  assert.ok(!api.get("Pod", names[1] ?? "")?.metadata?.deletionTimestamp, "others stay");
  // The kubelet is back and says so.
  beating.add("n1");
  await api.change("Node", "n1", (each) => {
    each.status = node("n1").status;
  });
  await live(10);
  assert.deepEqual(taintsOf(api, "n1"), []);
  await end();
});

test("a node is given up as soon as its grace is over, between two looks at it", async () => {
  const { api, client, clock, beating, live, end } = await cluster(["n1", "n2"]);
  await putPod(client, {
    metadata: { name: "a", namespace: "default" },
    spec: { nodeName: "n1" },
    status: { phase: "Running" },
  });
  await live(10);
  beating.delete("n1");
  // Its last sign of life comes two seconds after a look.
  await clock.advance(2_000);
  await api.change("NodeLiveness", "apiserver-0", (liveness) => {
    const lastHeartbeatTime = new Date(clock.wallMillis()).toISOString();
    liveness.nodes = { ...liveness.nodes, n1: { lastHeartbeatTime } };
  });
  await live(15);
  await clock.advance(4_900);
  assert.equal(readyOf(api, "n1")?.status, "True");
  await clock.advance(200);
  assert.equal(readyOf(api, "n1")?.status, "Unknown");
  assert.ok(api.get("Pod", "default/a")?.metadata?.deletionTimestamp, "its pod goes at once");
  await end();
});

test("what a node's conditions say keeps pods away, for as long as they say it", async () => {
  const { api, live, end } = await cluster(["n1"]);
  const own = { key: "own", value: "x", effect: "NoSchedule" };
  const evicting = { key: "node.kubernetes.io/memory-pressure", effect: "NoExecute" };
  await api.change("Node", "n1", (each) => {
    each.spec = { unschedulable: true, taints: [own, evicting] };
    each.status?.conditions?.push(
      { type: "MemoryPressure", status: "True" },
      { type: "DiskPressure", status: "True" },
      { type: "PIDPressure", status: "True" },
      { type: "NetworkUnavailable", status: "True" },
    );
  });
  await live(5);
  const added = ["disk-pressure", "memory-pressure", "network-unavailable", "pid-pressure"];
  const names = [...added, "unschedulable"].map((name) => `node.kubernetes.io/${name}:NoSchedule`);
  const kept = ["node.kubernetes.io/memory-pressure:NoExecute", "own:NoSchedule"];
  assert.deepEqual(taintsOf(api, "n1"), [...names, ...kept].sort());
  const times = api.get("Node", "n1")?.spec?.taints?.filter(({ timeAdded }) => timeAdded);
  assert.equal(times?.length, names.length);
  await api.change("Node", "n1", (each) => {
    each.spec = { ...each.spec, unschedulable: undefined };
    each.status = node("n1").status;
  });
  await live(5);
  assert.deepEqual(taintsOf(api, "n1"), kept);
  await end();
});

test("a controller that has just started gives every node its full grace", async () => {
  const { api, live, beating, end } = await cluster(["n1", "n2"]);
  beating.clear();
  await live(15);
  assert.equal(readyOf(api, "n1")?.status, "True");
  await live(10);
  assert.equal(readyOf(api, "n1")?.status, "Unknown");
  await end();
});

test("when every node falls silent nothing is evicted", async () => {
  const { api, client, live, beating, end } = await cluster(["n1", "n2", "n3"]);
  await putPod(client, {
    metadata: { name: "p", namespace: "default" },
    spec: { nodeName: "n2" },
  });
  await live(10);
  beating.clear();
  // All at once, as when this controller is the one cut off.
  await live(120);
  const evicting = ["n1", "n2", "n3"].filter((name) =>
    taintsOf(api, name).includes(`${unreachable}:NoExecute`),
  );
  assert.deepEqual(evicting, []);
  await end();
});

test("nodes that nobody could hear begin their grace anew when one is heard again", async () => {
  const { api, live, beating, end } = await cluster(["n1", "n2", "n3"]);
  await live(10);
  const all = [...beating];
  beating.clear();
  // No apiserver takes heartbeats for less than the grace, then one does, of one node first.
  await live(15);
  beating.add("n1");
  await live(15);
  assert.deepEqual(
    ["n1", "n2", "n3"].map((name) => readyOf(api, name)?.status),
    ["True", "True", "True"],
  );
  for (const name of all) beating.add(name);
  await live(30);
  assert.equal(readyOf(api, "n3")?.status, "True");
  await end();
});

const pace = { rate: 0.1, secondaryRate: 0.01, unhealthyThreshold: 0.55, largeZone: 50 };
const rates: readonly [string, [number, number], [number, number], number][] = [
  ["one node of many", [1, 5], [1, 5], 0.1],
  ["half of a zone", [2, 4], [2, 4], 0.1],
  ["most of a small zone", [3, 5], [3, 5], 0],
  ["most of a zone of fifty", [40, 50], [40, 50], 0],
  ["most of a large zone", [40, 51], [40, 51], 0.01],
  ["just less than most of it", [56, 102], [56, 102], 0.1],
  ["two of three: too few to tell", [2, 3], [2, 3], 0.1],
  ["one of two", [1, 2], [1, 2], 0.1],
  ["a whole zone, while another lives", [3, 3], [3, 6], 0.1],
  ["every node", [3, 3], [3, 3], 0],
  ["every node of two zones", [3, 3], [6, 6], 0],
  ["the only node", [1, 1], [1, 1], 0.1],
  ["most of a small zone, few of all", [3, 5], [3, 500], 0],
  ["most of a large zone, few of all", [60, 100], [60, 500], 0.01],
];
for (const [title, zone, all, expected] of rates) {
  test(`nodes emptied per second: ${title}`, () => {
    const count = ([unready, total]: [number, number]) => ({ unready, total });
    assert.equal(evictionRate(pace, count(zone), count(all)), expected);
  });
}

test("pods leave when their toleration runs out, not before", async () => {
  const { api, client, live, beating, end } = await cluster(["n1", "n2", "n3"]);
  const make = (name: string, tolerationSeconds?: number): Pod => ({
    metadata: { name, namespace: "default" },
    spec: {
      nodeName: "n1",
      tolerations: [
        { key: unreachable, operator: "Exists", effect: "NoExecute", tolerationSeconds },
      ],
    },
  });
  await putPod(client, make("minute", 60));
  await putPod(client, make("forever"));
  const going = (name: string) =>
    api.get("Pod", `default/${name}`)?.metadata?.deletionTimestamp !== undefined;
  await live(10);
  beating.delete("n1");
  await live(60);
  assert.deepEqual(["minute", "forever"].map(going), [false, false]);
  await live(40);
  assert.deepEqual(["minute", "forever"].map(going), [true, false]);
  await end();
});

test("eviction time: the first matching toleration of every NoExecute taint", () => {
  const since = Date.UTC(2026, 0, 1);
  const taint = { key: "k", effect: "NoExecute" };
  const sinceOf = () => since;
  const tolerating = (...tolerations: NonNullable<NonNullable<Pod["spec"]>["tolerations"]>) => ({
    spec: { tolerations },
  });
  const rows: [Pod, number | undefined][] = [
    [{}, since],
    [tolerating({ key: "k", operator: "Exists" }), undefined],
    [tolerating({ key: "other", operator: "Exists" }), since],
    [tolerating({ operator: "Exists", tolerationSeconds: 30 }), since + 30_000],
    [
      tolerating(
        { key: "k", operator: "Exists", tolerationSeconds: 30 },
        { key: "k", operator: "Exists", tolerationSeconds: 10 },
      ),
      since + 30_000,
    ],
    [
      tolerating({ operator: "Exists" }, { key: "k", operator: "Exists", tolerationSeconds: 10 }),
      undefined,
    ],
    [tolerating({ key: "k", operator: "Exists", effect: "NoSchedule" }), since],
    [tolerating({ key: "k", operator: "Equal", value: "v" }), since],
    [tolerating({ key: "k", operator: "Exists", tolerationSeconds: -5 }), since],
  ];
  for (const [pod, expected] of rows) {
    assert.equal(evictionTime(pod, [taint], sinceOf), expected, JSON.stringify(pod));
  }
  assert.equal(evictionTime({}, [{ ...taint, effect: "NoSchedule" }], sinceOf), undefined);
});

test("a taint without timeAdded counts from when it was first seen, and anew when it returns", async () => {
  const { api, client, clock, live, end } = await cluster(["n1", "n2"]);
  const make = (name: string, tolerationSeconds?: number): Pod => ({
    metadata: { name, namespace: "default" },
    spec: {
      nodeName: "n1",
      tolerations:
        name === "none"
          ? []
          : [{ key: "evict", operator: "Exists", effect: "NoExecute", tolerationSeconds }],
    },
  });
  await live(10);
  const going = (name: string) =>
    api.get("Pod", `default/${name}`)?.metadata?.deletionTimestamp !== undefined;
  const taint = (...effects: string[]) =>
    api.change("Node", "n1", (each) => {
      each.spec = { ...each.spec, taints: effects.map((effect) => ({ key: "evict", effect })) };
    });
  await putPod(client, make("six", 6));
  await taint("NoExecute");
  await clock.advance(4_000);
  assert.equal(going("six"), false);
  await taint();
  await clock.advance(1_000);
  await taint("NoExecute", "NoSchedule");
  for (const [name, seconds] of Object.entries({ forever: undefined, zero: 0, negative: -5 })) {
    await putPod(client, make(name, seconds));
  }
  await putPod(client, make("none"));
  await clock.advance(5_000);
  const names = ["none", "zero", "negative", "six", "forever"];
  assert.deepEqual(names.map(going), [true, true, true, false, false]);
  await clock.advance(1_000);
  assert.deepEqual(names.map(going), [true, true, true, true, false]);
  await end();
});

test("the pods of one node are evicted several at a time, and one failure stops no other", async () => {
  const { api, client, clock, live, end } = await cluster(["n1", "n2"]);
  for (let index = 0; index < 40; index++) {
    const name = `p${index}`;
    await putPod(client, {
      metadata: { name, namespace: "default" },
      spec: { nodeName: "n1" },
    });
  }
  await live(10);
  api.intercept = (verb, kind, object) => {
    if (verb === "delete" && kind === "Pod" && object.metadata?.name === "p0") {
      throw new StatusError(Code.unavailable, "not now");
    }
  };
  await api.change("Node", "n1", (each) => {
    each.spec = { ...each.spec, taints: [{ key: "evict", effect: "NoExecute" }] };
  });
  await clock.advance(100);
  assert.deepEqual(
    active(api).map(({ metadata }) => metadata?.name),
    ["p0"],
  );
  api.intercept = undefined;
  await clock.until(() => active(api).length === 0, "the last one goes");
  await end();
});

test("the pace: one node in ten seconds, slower in a large disruption, none in a total one", () => {
  const clock = new FakeClock();
  const pace = new EvictionPace(options, clock);
  const take = (unready: number, total: number) =>
    pace.take({ unready, total }, { unready, total });
  assert.equal(take(1, 10), true);
  assert.equal(take(2, 10), false);
  clock.jump(10_000);
  assert.equal(take(2, 10), true);
  clock.jump(10_000);
  assert.equal(take(60, 100), false);
  clock.jump(90_001);
  assert.equal(take(60, 100), true);
  clock.jump(1_000_000);
  assert.equal(take(10, 10), false);
});
