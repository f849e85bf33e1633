import assert from "node:assert/strict";
import { test } from "node:test";
import { PodOverview } from "../../services/apiserver/nodes/pod-overview.ts";
import { bindAll, documentBody, remove, update } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, kind, make, pod, type World, world } from "./harness.ts";

const caughtUp = async ({ backend }: World) => {
  await backend.cache.waitFor(await backend.store.readRevision());
};

async function bind({ backend }: World, name: string): Promise<void> {
  const metadata = { name, namespace: "default" };
  const items = [{ metadata, target: { kind: "Node", name: "n1" } }];
  await bindAll(backend, adminCall(), kind("pods"), { items });
}

async function runs({ backend }: World, name: string): Promise<void> {
  const document = { ...pod(name), status: { phase: "Running" } };
  await update(backend, adminCall(), kind("pods"), {
    body: documentBody(document),
    subresource: "status",
    typed: false,
  });
}

test("pods are counted by what is shown of them, and the first are named", async () => {
  await using w = await world();
  const overview = new PodOverview(w.backend.cache.of(kind("pods")));
  assert.deepEqual(await overview.first(10), { statuses: {}, pods: [] });
  for (const name of ["b", "a", "c"]) await make(w.backend, pod(name));
  await caughtUp(w);
  const line = (name: string, status: string, more = {}) => ({
    ...{ namespace: "default", name, status },
    ...more,
  });
  assert.deepEqual(await overview.first(2), {
    statuses: { Pending: 3 },
    pods: [line("a", "Pending"), line("b", "Pending")],
  });
  await bind(w, "a");
  await runs(w, "a");
  await remove(w.backend, adminCall(), kind("pods"), { namespace: "default", name: "c" });
  await caughtUp(w);
  assert.deepEqual(await overview.first(10), {
    statuses: { Running: 1, Pending: 1 },
    pods: [line("a", "Running", { node: "n1" }), line("b", "Pending")],
  });
  assert.deepEqual((await overview.first(0)).pods, []);
});

test("those who ask at the same time, or while nothing changes, are told the same", async () => {
  await using w = await world();
  const overview = new PodOverview(w.backend.cache.of(kind("pods")));
  await make(w.backend, pod("a"));
  await caughtUp(w);
  const [one, other] = await Promise.all([overview.first(1), overview.first(1)]);
  assert.equal(one.pods?.[0], other.pods?.[0]);
  assert.equal((await overview.first(1)).pods?.[0], one.pods?.[0]);
});

const ready = { type: "Ready", status: "True" };
const container = (state: object, more = {}) => ({
  containerStatuses: [{ name: "main", state, ...more }],
});
const init = (state: object) => ({ initContainerStatuses: [{ name: "i", state }] });

test("what is counted is what get pods shows", async () => {
  await using w = await world();
  const overview = new PodOverview(w.backend.cache.of(kind("pods")));
  const statuses: readonly [expected: string, status: object][] = [
    ["Pending", { phase: "Pending" }],
    ["Running", { phase: "Running", conditions: [ready], ...container({ running: {} }) }],
    ["Succeeded", { phase: "Succeeded" }],
    ["Unknown", { message: "lost", phase: "Unknown" }],
    ["Pending", { qosClass: "BestEffort" }],
    ["Evicted", { phase: "Failed", reason: "Evicted" }],
    [
      "CrashLoopBackOff",
      { phase: "Running", ...container({ waiting: { reason: "CrashLoopBackOff" } }) },
    ],
    ["ExitCode:3", { phase: "Failed", ...container({ terminated: { exitCode: 3 } }) }],
    ["Init:0/1", { phase: "Pending", ...init({ running: {} }) }],
    ["SchedulingGated", { phase: "Pending", conditions: [gated] }],
  ];
  for (const [index, [, status]] of statuses.entries()) {
    const spec = { initContainers: [{ name: "i", image: "busybox" }] };
    const document = pod(`p${index}`, {}, spec);
    await make(w.backend, document);
    await update(w.backend, adminCall(), kind("pods"), {
      body: documentBody({ ...document, status }),
      subresource: "status",
      typed: false,
    });
  }
  await caughtUp(w);
  const { pods = [] } = await overview.first(20);
  assert.deepEqual(
    pods.map(({ status }) => status),
    statuses.map(([expected]) => expected),
  );
});

const gated = { type: "PodScheduled", status: "False", reason: "SchedulingGated" };
