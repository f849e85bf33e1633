import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  deadlineAnnotation,
  on,
  type Plugin,
  type Refusal,
  refuse,
} from "../../services/scheduler/mod.ts";
import { settle } from "../client/fake-clock.ts";
import { critical, node, pod, start } from "./harness.ts";

test("pods are bound, and an event says where", async () => {
  const { api, client, begin, end, nodeOf } = await start();
  begin();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("a"));
  await settle();
  assert.equal(nodeOf("a"), "n1");
  const [event] = api.all("Event");
  assert.equal(event?.reason, "Scheduled");
  assert.equal(event?.message, "Successfully assigned default/a to n1");
  await end();
});

test("a pod that fits nowhere says why once, and is bound when a node makes room", async () => {
  const { api, clock, client, begin, end, nodeOf, conditionOf } = await start();
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("big", "1500m"));
  await settle();
  const condition = conditionOf("big");
  assert.equal(condition?.status, "False");
  assert.equal(condition?.reason, "Unschedulable");
  assert.equal(condition?.message, "0/1 nodes are available: 1 Insufficient cpu.");
  await clock.advance(600_000);
  const written = api.written.filter(({ verb, kind }) => verb === "updateStatus" && kind === "Pod");
  assert.equal(written.length, 1);
  assert.equal(api.all("Event").length, 1);
  await client.nodes.create(node("n2", "2"));
  await clock.until(() => nodeOf("big") === "n2", "the pod is bound", 20_000);
  await end();
});

test("pods that come where there is no node cost one status and one event each", async () => {
  const { api, clock, client, begin, end, conditionOf } = await start();
  begin();
  const names = Array.from({ length: 30 }, (_, index) => `p${index}`);
  for (let at = 0; at < names.length; at += 10) {
    await Promise.all(names.slice(at, at + 10).map((name) => client.pods.create(pod(name))));
    await clock.advance(100);
  }
  await clock.advance(600_000);
  for (const name of names) {
    assert.equal(conditionOf(name)?.message, "no nodes available to schedule pods");
  }
  const count = (verb: string, kind: string) =>
    api.written.filter((write) => write.verb === verb && write.kind === kind).length;
  assert.deepEqual([count("updateStatus", "Pod"), count("create", "Event")], [30, 30]);
  assert.equal(count("patch", "Event"), 0);
  await end();
});

test("what cannot help does not wake an unschedulable pod", async () => {
  const { api, clock, client, begin, end, nodeOf, remove } = await start();
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("a", "800m"));
  await settle();
  await client.pods.create(pod("b", "800m"));
  await settle();
  assert.equal(nodeOf("b"), undefined);
  // A heartbeat changes the node, but nothing that scheduling looks at.
  await api.change("Node", "n1", (each) => {
    each.status!.conditions = [{ type: "Ready", status: "True" }];
  });
  await clock.advance(60_000);
  assert.equal(nodeOf("b"), undefined);
  await remove("a");
  await clock.until(() => nodeOf("b") === "n1", "room was made");
  await end();
});

test("higher priority first, then the earlier deadline, then the longer wait", async () => {
  const { api, client, begin, end } = await start();
  await client.nodes.create(node("n1"));
  const deadline = (time: string) => ({ annotations: { [deadlineAnnotation]: time } });
  const late = { ...deadline("2030-01-01T00:00:00Z"), name: "late", namespace: "default" };
  const soon = { ...deadline("2026-06-01T00:00:00Z"), name: "soon", namespace: "default" };
  await client.pods.create(pod("first"));
  await client.pods.create(pod("second"));
  await client.pods.create(pod("late", "100m", { metadata: late }));
  await client.pods.create(pod("soon", "100m", { metadata: soon }));
  await client.pods.create(pod("important", "100m", { spec: critical }));
  await settle();
  begin();
  await settle();
  const bound = api.written.filter(({ verb }) => verb === "bind").map(({ object }) => object);
  assert.deepEqual(
    bound.map((each) => each?.metadata?.name),
    ["important", "soon", "late", "first", "second"],
  );
  await end();
});

test("a binding that fails gives the room back, and is repeated", async () => {
  const { api, clock, client, begin, end, nodeOf } = await start();
  begin();
  await client.nodes.create(node("n1", "1"));
  let failures = 2;
  api.intercept = (verb) => {
    if (verb === "bind" && failures-- > 0) throw new StatusError(Code.unavailable, "no leader");
  };
  await client.pods.create(pod("a", "800m"));
  await clock.until(() => nodeOf("a") === "n1", "the third attempt");
  assert.equal(failures, -1);
  await end();
});

test("pods of other schedulers, gated and ending ones are left alone", async () => {
  const { clock, client, begin, end, nodeOf, api } = await start();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("other", "1m", { spec: { schedulerName: "mine" } }));
  await client.pods.create(pod("gated", "1m", { spec: { schedulingGates: [{ name: "g" }] } }));
  const done = await client.pods.create(pod("done", "1m"));
  await client.pods.updateStatus({ ...done, status: { ...done.status, phase: "Succeeded" } });
  await settle();
  begin();
  await clock.advance(10_000);
  assert.deepEqual(["other", "gated", "done"].map(nodeOf), [undefined, undefined, undefined]);
  await api.change("Pod", "default/gated", (each) => {
    each.spec!.schedulingGates = [];
  });
  await settle();
  assert.equal(nodeOf("gated"), "n1");
  await end();
});

test("a pod with resource claims is not bound, and told why", async () => {
  const { api, clock, client, begin, end, nodeOf } = await start();
  begin();
  await client.nodes.create(node("n1"));
  const claims = { resourceClaims: [{ name: "gpu", resourceClaimName: "c" }] };
  await client.pods.create(pod("claiming", "1m", { spec: claims }));
  await client.pods.create(pod("plain", "1m"));
  const told = () => api.all("Event").find(({ reason }) => reason === "FailedScheduling");
  await clock.until(() => nodeOf("plain") === "n1" && told() !== undefined, "the event");
  await clock.advance(60_000);
  assert.equal(nodeOf("claiming"), undefined);
  const why =
    "0/1 nodes are available: cannot allocate all claims: devices are not allocated in this " +
    "cluster, the pod waits with its resource claims gpu";
  assert.match(told()?.message ?? "", new RegExp(`^${why}`));
  assert.equal(told()?.involvedObject?.name, "claiming");
  const conditions = api.get("Pod", "default/claiming")?.status?.conditions ?? [];
  const { status, reason } = conditions.find(({ type }) => type === "PodScheduled") ?? {};
  assert.deepEqual([status, reason], ["False", "Unschedulable"]);
  await end();
});

test("many pods at once never overcommit a node", async () => {
  const { api, clock, client, begin, end } = await start();
  for (const name of ["n1", "n2", "n3"]) await client.nodes.create(node(name, "1"));
  for (let index = 0; index < 40; index++) await client.pods.create(pod(`p${index}`, "100m"));
  begin();
  await clock.advance(30_000);
  const perNode = Map.groupBy(api.all("Pod"), ({ spec }) => spec?.nodeName);
  assert.deepEqual(
    ["n1", "n2", "n3", undefined].map((name) => perNode.get(name)?.length),
    [10, 10, 10, 10],
  );
  await end();
});

test("a deposed scheduler cannot bind, and goes on where it was once it leads again", async () => {
  const fence = { lease: "kube-system/kube-scheduler", token: "1" };
  const { api, clock, client, begin, end, nodeOf, pause } = await start(fence);
  begin();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("a"));
  await settle();
  assert.equal(nodeOf("a"), undefined);
  assert.equal(api.written.filter(({ verb }) => verb === "bind").length, 0);
  await pause();
  const lease = await client.leases.create({
    metadata: { name: "kube-scheduler", namespace: "kube-system" },
    spec: { holderIdentity: "b" },
  });
  fence.token = lease.metadata?.resourceVersion ?? "";
  begin();
  await clock.until(() => nodeOf("a") === "n1", "the pod is bound", 5_000);
  const bound = api.written.find(({ verb }) => verb === "bind");
  assert.equal(bound?.fence, `kube-system/kube-scheduler=${fence.token}`);
  await end();
});

test("the best waiting pod gets a freed slot, even while it is in its backoff", async () => {
  const { clock, client, begin, end, nodeOf, remove } = await start();
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("holder", "800m"));
  await settle();
  const deadline = { annotations: { [deadlineAnnotation]: "2026-06-01T00:00:00Z" } };
  await client.pods.create(pod("old", "800m"));
  await client.pods.create(
    pod("urgent", "800m", { metadata: { name: "urgent", namespace: "default", ...deadline } }),
  );
  await settle();
  // The backoffs of these two are over; that of the most important one has only begun.
  await clock.advance(5_000);
  await client.pods.create(pod("important", "800m", { spec: critical }));
  await settle();
  const expected = ["important", "urgent", "old"];
  for (const [index, name] of expected.entries()) {
    await remove(index === 0 ? "holder" : (expected[index - 1] ?? ""));
    await settle();
    await clock.advance(15_000);
    assert.deepEqual(expected.filter((each) => nodeOf(each) === "n1").at(-1), name);
  }
  await end();
});

test("a gated pod costs no attempt and goes on once its gates are gone", async () => {
  const { api, client, begin, end, conditionOf, nodeOf } = await start();
  begin();
  await client.pods.create(pod("gated", "1m", { spec: { schedulingGates: [{ name: "g" }] } }));
  await client.nodes.create(node("n1"));
  await settle();
  assert.equal(nodeOf("gated"), undefined);
  // The apiserver says so when it creates the pod; the scheduler adds nothing.
  assert.equal(conditionOf("gated")?.reason, "SchedulingGated");
  assert.equal(api.written.filter(({ verb }) => verb === "updateStatus").length, 0);
  assert.equal(api.all("Event").length, 0);
  await api.change("Pod", "default/gated", (each) => {
    each.spec!.schedulingGates = [];
  });
  await settle();
  assert.equal(nodeOf("gated"), "n1");
  await end();
});

test("postFilter makes room, and the pod's status names the node", async () => {
  const asked: string[] = [];
  const evicting: Plugin = {
    name: "Evicting",
    async postFilter(_cycle, diagnosis) {
      asked.push(...[...diagnosis].map(([{ name }, { plugin }]) => `${name} ${plugin}`));
      await remove("victim");
      return { nominatedNode: "n1" };
    },
  };
  const { api, clock, client, begin, end, nodeOf, remove } = await start(undefined, () => [
    evicting,
  ]);
  begin();
  await client.nodes.create(node("n1", "1"));
  await client.pods.create(pod("victim", "800m"));
  await settle();
  await client.pods.create(pod("important", "800m", { spec: critical }));
  await clock.until(() => nodeOf("important") === "n1", "the pod is bound");
  assert.deepEqual(asked, ["n1 NodeResourcesFit"]);
  const [event] = api.all("Event").filter(({ reason }) => reason === "FailedScheduling");
  assert.equal(event?.message, "0/1 nodes are available: 1 Insufficient cpu.");
  assert.equal(api.get("Pod", "default/important")?.status?.nominatedNodeName, "n1");
  await end();
});

test("permit lets a pod wait while others are bound; allowed, refused or out of time", async () => {
  const verdicts = new Map<string, (refusal?: Refusal) => void>();
  const undone: string[] = [];
  const gang: Plugin = {
    name: "Gang",
    permit({ pod: { pod } }) {
      const name = pod.metadata?.name ?? "";
      if (!name.startsWith("gang")) return undefined;
      const until = new Promise<Refusal | undefined>((resolve) => verdicts.set(name, resolve));
      return { until, timeoutMillis: 20_000 };
    },
    unreserve: ({ pod }) => void undone.push(pod.key),
  };
  const { clock, client, begin, end, nodeOf, conditionOf } = await start(undefined, () => [gang]);
  begin();
  await client.nodes.create(node("n1", "1"));
  for (const name of ["gang-a", "gang-b", "gang-c", "free"]) await client.pods.create(pod(name));
  await settle();
  assert.equal(nodeOf("free"), "n1");
  assert.equal(nodeOf("gang-a"), undefined);
  // What waits for its permit holds its room already.
  await client.pods.create(pod("big", "700m"));
  await settle();
  assert.equal(conditionOf("big")?.message, "0/1 nodes are available: 1 Insufficient cpu.");
  verdicts.get("gang-a")?.();
  verdicts.get("gang-b")?.(refuse("the others did not come"));
  await settle();
  assert.equal(nodeOf("gang-a"), "n1");
  assert.equal(conditionOf("gang-b")?.message, "the others did not come");
  await clock.advance(20_000);
  assert.equal(
    conditionOf("gang-c")?.message,
    "rejected due to timeout after waiting 20s at plugin Gang",
  );
  assert.deepEqual(undone, ["default/gang-b", "default/gang-c"]);
  await end();
});

test("a pod that waits for a permit when leadership ends is tried again by the next leader", async () => {
  let asked = 0;
  const once: Plugin = {
    name: "Once",
    permit() {
      const until = new Promise<Refusal | undefined>(() => undefined);
      return asked++ === 0 ? { until, timeoutMillis: 600_000 } : undefined;
    },
  };
  const { client, begin, pause, end, nodeOf, conditionOf } = await start(undefined, () => [once]);
  begin();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("a"));
  await settle();
  assert.equal(nodeOf("a"), undefined);
  await pause();
  assert.equal(conditionOf("a"), undefined, "the end of leadership is no refusal");
  begin();
  await settle();
  assert.equal(nodeOf("a"), "n1");
  await end();
});

test("preBind may refuse, a bind plugin may bind, and postBind is told", async () => {
  const told: string[] = [];
  let attached = false;
  const volumes: Plugin = {
    name: "Volumes",
    events: [on("ConfigMap", ["added"], (_pod, { next }) => next?.metadata?.name === "attach")],
    async preBind() {
      return attached ? undefined : refuse("the volume is not attached");
    },
    async bind({ pod }, { name }, { bind }) {
      told.push(`bind ${pod.key} ${name}`);
      await bind();
      return "bound";
    },
    postBind({ pod }) {
      told.push(`bound ${pod.key}`);
      throw new Error("what postBind throws changes nothing");
    },
  };
  const { clock, client, begin, end, nodeOf, conditionOf } = await start(undefined, () => [
    volumes,
  ]);
  begin();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("a"));
  await settle();
  assert.equal(conditionOf("a")?.message, "the volume is not attached");
  attached = true;
  await clock.advance(30_000);
  assert.equal(nodeOf("a"), undefined, "only the plugin's own event helps");
  await client.configMaps.create({ metadata: { name: "other", namespace: "default" } });
  await clock.advance(30_000);
  assert.equal(nodeOf("a"), undefined, "and only if its hint says so");
  await client.configMaps.create({ metadata: { name: "attach", namespace: "default" } });
  await clock.until(() => nodeOf("a") === "n1", "the pod is bound");
  assert.deepEqual(told, ["bind default/a n1", "bound default/a"]);
  await end();
});

test("a plugin that throws fails one attempt, not the scheduler", async () => {
  let faulty = true;
  const broken: Plugin = {
    name: "Broken",
    filter({ pod }) {
      if (faulty && pod.pod.metadata?.name === "a") throw new TypeError("a bug");
      return undefined;
    },
  };
  const { clock, client, begin, end, nodeOf, conditionOf } = await start(undefined, () => [broken]);
  begin();
  await client.nodes.create(node("n1"));
  await client.pods.create(pod("a"));
  await client.pods.create(pod("b"));
  await settle();
  assert.equal(nodeOf("b"), "n1");
  assert.deepEqual(
    [conditionOf("a")?.reason, conditionOf("a")?.message],
    ["SchedulerError", "a bug"],
  );
  faulty = false;
  await clock.until(() => nodeOf("a") === "n1", "the pod is bound");
  await end();
});
