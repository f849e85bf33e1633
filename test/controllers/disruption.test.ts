import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { PodDisruptionBudgetSpec } from "../../proto/gen/policy.ts";
import { disruptionController } from "../../services/controllers/disruption/controller.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, harness, putPod, replicaSet, runPods } from "./harness.ts";

const budget = (spec: PodDisruptionBudgetSpec) => ({
  metadata: { name: "web", namespace: "default" },
  spec: { selector: { matchLabels: { app: "web" } }, ...spec },
});
const statusOf = (api: RealApi) => api.get("PodDisruptionBudget", "default/web")?.status ?? {};

test("evictions are refused where the budget allows none, and counted where it does", async () => {
  const { api, client, clock, end } = await harness(
    replicaSetController(1),
    disruptionController(1),
  );
  await client.replicaSets.create(replicaSet(3));
  await client.podDisruptionBudgets.create(budget({ maxUnavailable: 1 }));
  await clock.advance(100);
  runPods(api, () => clock.wallMillis());
  await clock.advance(200);
  const { disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods } = statusOf(api);
  assert.deepEqual(
    [disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods],
    [1, 3, 2, 3],
  );
  assert.equal(statusOf(api).conditions?.[0]?.reason, "SufficientPods");
  const [first = "", second = ""] = active(api).map(({ metadata }) => metadata?.name ?? "");
  await client.evict({ name: first, namespace: "default" });
  await clock.advance(100);
  assert.equal(statusOf(api).disruptionsAllowed, 0);
  await assert.rejects(client.evict({ name: second, namespace: "default" }), (thrown) => {
    const { message, detail } = StatusError.from(thrown);
    assert.equal(message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert.equal(detail?.reason, "TooManyRequests");
    assert.equal(
      detail?.causes?.[0]?.message,
      "The disruption budget web needs 2 healthy pods and has 2 currently",
    );
    return true;
  });
  runPods(api, () => clock.wallMillis());
  await clock.advance(200);
  runPods(api, () => clock.wallMillis());
  await clock.advance(200);
  assert.equal(statusOf(api).disruptionsAllowed, 1);
  await client.evict({ name: second, namespace: "default" });
  await end();
});

test("a number or a share of available pods", async () => {
  const { api, client, clock, end } = await harness(
    replicaSetController(1),
    disruptionController(1),
  );
  await client.replicaSets.create(replicaSet(4));
  await client.podDisruptionBudgets.create(budget({ minAvailable: "50%" }));
  await clock.advance(100);
  assert.equal(statusOf(api).conditions?.[0]?.reason, "InsufficientPods");
  runPods(api, () => clock.wallMillis());
  await clock.advance(200);
  assert.deepEqual([statusOf(api).desiredHealthy, statusOf(api).disruptionsAllowed], [2, 2]);
  await api.change("PodDisruptionBudget", "default/web", (each) => {
    each.spec = { ...each.spec, minAvailable: 4 };
  });
  await clock.advance(100);
  assert.deepEqual([statusOf(api).desiredHealthy, statusOf(api).disruptionsAllowed], [4, 0]);
  await end();
});

test("pods whose workload has no size: the budget and a refused eviction say why", async () => {
  const { api, client, clock, end } = await harness(disruptionController(1));
  const template = {
    metadata: { labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: "i" }] },
  };
  const set = await client.daemonSets.create({
    metadata: { name: "agent", namespace: "default" },
    spec: { selector: { matchLabels: { app: "web" } }, template },
  });
  const { uid } = set.metadata ?? {};
  const owner = { apiVersion: "apps/v1", kind: "DaemonSet", name: "agent", uid, controller: true };
  await putPod(client, {
    metadata: { name: "p", namespace: "default", labels: { app: "web" }, ownerReferences: [owner] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  });
  await client.podDisruptionBudgets.create(budget({ maxUnavailable: 1 }));
  await clock.advance(100);
  const [condition] = statusOf(api).conditions ?? [];
  const why = "daemonsets.apps does not implement the scale subresource";
  assert.deepEqual(
    [condition?.status, condition?.reason, condition?.message],
    ["False", "SyncFailed", why],
  );
  await assert.rejects(client.evict({ name: "p", namespace: "default" }), (thrown) => {
    const [cause] = StatusError.from(thrown).detail?.causes ?? [];
    const words =
      "The disruption budget web does not allow evicting pods currently because it failed sync";
    assert.equal(cause?.message, `${words}: ${why}`);
    return true;
  });
  const failed = api
    .all("Event")
    .filter((each) => each.reason === "CalculateExpectedPodCountFailed");
  assert.match(
    failed[0]?.message ?? "",
    /^Failed to calculate the number of expected pods: daemonsets/,
  );
  await api.change("PodDisruptionBudget", "default/web", (each) => {
    each.spec = { ...each.spec, maxUnavailable: undefined, minAvailable: 0 };
  });
  await clock.advance(100);
  await client.evict({ name: "p", namespace: "default" });
  await end();
});
