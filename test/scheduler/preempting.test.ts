/** Preemption through the API: nomination, conditions, events, and who gets the room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { minMemberAnnotation, podGroupLabel } from "../../services/scheduler/plugins/pod-groups.ts";
import { preemption } from "../../services/scheduler/preemption/plugin.ts";
import { settle } from "../client/fake-clock.ts";
import { quietLog } from "../client/quiet-log.ts";
import { critical, node, pod, start } from "./harness.ts";

const preempting = () =>
  start(undefined, (context) => [preemption({ ...context, log: quietLog, random: () => 0 })]);

/** Once running, a pod is ended by its kubelet only. */
async function run({ api }: Awaited<ReturnType<typeof preempting>>, name: string) {
  await api.change("Pod", `default/${name}`, (each) => {
    each.status = { ...each.status, phase: "Running" };
  });
}

test("a victim is told, deleted, and its place kept for whom it went", async () => {
  const world = await preempting();
  const { api, clock, client, begin, end, nodeOf, conditionOf } = world;
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("low", "800m"));
  await settle();
  await run(world, "low");
  await client.pods.create(pod("urgent", "800m", { spec: critical }));
  await settle();
  const victim = api.get("Pod", "default/low");
  assert.ok(victim?.metadata?.deletionTimestamp);
  const told = victim?.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  assert.equal(told?.status, "True");
  assert.equal(told?.reason, "PreemptionByScheduler");
  assert.equal(told?.message, "default-scheduler: preempting to accommodate a higher priority pod");
  assert.equal(api.get("Pod", "default/urgent")?.status?.nominatedNodeName, "n1");
  assert.equal(conditionOf("urgent")?.message, "0/1 nodes are available: 1 Insufficient cpu.");
  // Another one that would fit must not take the room meanwhile.
  await client.pods.create(pod("small", "500m"));
  await settle();
  await api.finishPod("default/low");
  await clock.until(() => nodeOf("urgent") === "n1", "the pod is bound", 20_000);
  await clock.advance(30_000);
  assert.equal(nodeOf("small"), undefined);
  const preempted = api.all("Event").find(({ reason }) => reason === "Preempted");
  const uid = api.get("Pod", "default/urgent")?.metadata?.uid;
  assert.equal(preempted?.message, `Preempted by pod ${uid} on node n1`);
  assert.equal(preempted?.involvedObject?.name, "low");
  await end();
});

test("where nothing can go, the message says so after the reasons", async () => {
  const world = await preempting();
  const { client, begin, end, conditionOf } = world;
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.nodes.create({ ...node("n2", "2"), spec: { unschedulable: true } });
  await client.pods.create(pod("a", "800m"));
  await settle();
  await client.pods.create(pod("b", "800m"));
  await settle();
  assert.equal(
    conditionOf("b")?.message,
    "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 " +
      "nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not " +
      "helpful for scheduling.",
  );
  await end();
});

test("while its victims end, it takes no others", async () => {
  const world = await preempting();
  const { api, clock, client, begin, end, nodeOf } = world;
  begin();
  for (const name of ["n1", "n2"]) await client.nodes.create(node(name, "1"));
  for (const name of ["x", "y"]) {
    await client.pods.create(pod(name, "800m"));
    await settle();
    await run(world, name);
  }
  await client.pods.create(pod("urgent", "800m", { spec: critical }));
  await settle();
  await clock.advance(60_000);
  const ending = api.all("Pod").filter(({ metadata }) => metadata?.deletionTimestamp);
  assert.equal(ending.length, 1);
  await api.finishPod(`default/${ending[0]?.metadata?.name}`);
  await clock.until(() => nodeOf("urgent") !== undefined, "the pod is bound", 20_000);
  assert.equal(api.all("Pod").length, 2);
  await end();
});

/** Of a group of three that go together. */
const member = (name: string) =>
  pod(name, "800m", {
    metadata: {
      ...{ name, namespace: "default", labels: { [podGroupLabel]: "g" } },
      annotations: { [minMemberAnnotation]: "3" },
    },
    spec: critical,
  });

test("a group preempts what all of it needs, and gets its nodes together", async () => {
  const world = await preempting();
  const { api, clock, client, begin, end, nodeOf, conditionOf } = world;
  begin();
  for (const name of ["n1", "n2"]) await client.nodes.create(node(name, "1"));
  for (const name of ["x", "y"]) {
    await client.pods.create(pod(name, "800m"));
    await settle();
    await run(world, name);
  }
  await client.nodes.create(node("n3", "1"));
  const names = ["a", "b", "c"];
  for (const name of names) await client.pods.create(member(name));
  const ending = () => api.all("Pod").filter(({ metadata }) => metadata?.deletionTimestamp);
  await clock.until(() => ending().length === 2, "both victims are told to end", 30_000);
  await settle();
  const nominated = names.map((name) => api.get("Pod", `default/${name}`)?.status);
  assert.deepEqual(nominated.map((status) => status?.nominatedNodeName).sort(), ["n1", "n2", "n3"]);
  assert.match(
    conditionOf("a")?.message ?? "",
    /^pod group "g": the 3 pods that need nodes at once wait for 2 of lower priority to go$/,
  );
  // The room that is there already is kept for the group, and half of the room is not enough.
  await client.pods.create(pod("small", "500m"));
  await api.finishPod("default/x");
  await clock.advance(60_000);
  assert.deepEqual([...names, "small"].map(nodeOf), [undefined, undefined, undefined, undefined]);
  assert.equal(ending().length, 1);
  await api.finishPod("default/y");
  const all = () => names.every((name) => nodeOf(name) !== undefined);
  await clock.until(all, "the group is bound", 30_000);
  await end();
});

test("a group for which there is not enough room preempts nobody", async () => {
  const world = await preempting();
  const { api, clock, client, begin, end, nodeOf, conditionOf } = world;
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("low", "800m"));
  await settle();
  await run(world, "low");
  await client.nodes.create(node("n2", "1"));
  await client.pods.create(pod("high", "800m", { spec: critical }));
  await settle();
  await run(world, "high");
  await client.nodes.create(node("n3", "1"));
  const names = ["a", "b", "c"];
  for (const name of names) await client.pods.create(member(name));
  await clock.advance(30_000);
  assert.deepEqual(names.map(nodeOf), [undefined, undefined, undefined]);
  assert.deepEqual(
    api.all("Pod").filter(({ metadata }) => metadata?.deletionTimestamp),
    [],
  );
  const told = names.map((name) => conditionOf(name)?.message ?? "");
  assert.ok(told.some((text) => /^pod group "g": 1 of the 3 pods .* find one$/.test(text)));
  // What was supposed gone counts again.
  await client.pods.create(pod("small", "500m"));
  await clock.until(() => nodeOf("small") === "n3", "the free node is taken", 20_000);
  await end();
});
