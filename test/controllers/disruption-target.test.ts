/** What takes a pod away says so in its status, so that its owner need not count a failure. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { nodeLifecycleController } from "../../services/controllers/node-lifecycle/controller.ts";
import { podGcController } from "../../services/controllers/pod-gc.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness, node, putPod } from "./harness.ts";

/** The finalizer lets the pod be seen when it is over. */
const pod = (name: string, nodeName?: string): Pod => ({
  metadata: { name, namespace: "default", finalizers: ["example.com/look"] },
  spec: { ...(nodeName !== undefined && { nodeName }) },
  status: { phase: "Running" },
});
const said = (api: RealApi, name: string) => {
  const { status } = api.get("Pod", `default/${name}`) ?? {};
  const target = status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  return [status?.phase, target && `${target.status} ${target.reason}: ${target.message}`];
};

test("an eviction", async () => {
  const { api, client, end } = await harness();
  await putPod(client, pod("a", "n1"));
  await client.evict({ namespace: "default", name: "a" });
  assert.deepEqual(said(api, "a"), [
    "Running",
    "True EvictionByEvictionAPI: Eviction API: evicting",
  ]);
  assert.ok(api.get("Pod", "default/a")?.metadata?.deletionTimestamp);
  await end();
});

test("a dry run of an eviction says nothing", async () => {
  const { api, client, end } = await harness();
  await putPod(client, pod("a", "n1"));
  await client.evict({ namespace: "default", name: "a" }, { dryRun: true });
  assert.deepEqual(said(api, "a"), ["Running", undefined]);
  await end();
});

test("the collection of pods whose node is gone, and of those that never had one", async () => {
  const options = { terminatedThreshold: 0, periodMillis: 1_000, quarantineMillis: 2_000 };
  const { api, client, clock, end } = await harness(podGcController(options));
  await putPod(client, pod("lost", "nowhere"));
  await putPod(client, pod("waiting"));
  await client.pods.delete("waiting", "default", { gracePeriodSeconds: 30 });
  await clock.advance(5_000);
  assert.deepEqual(said(api, "lost"), [
    "Failed",
    "True DeletionByPodGC: PodGC: node no longer exists",
  ]);
  assert.equal(said(api, "waiting")[0], "Failed");
  await end();
});

test("a taint that the pod does not tolerate", async () => {
  const { api, client, clock, end } = await harness(
    nodeLifecycleController({
      ...{ graceMillis: 40_000, periodMillis: 5_000 },
      ...{ rate: 1, secondaryRate: 0.1, unhealthyThreshold: 0.55, largeZone: 50 },
    }),
  );
  await client.nodes.create(node("n1"));
  await putPod(client, pod("a", "n1"));
  await api.change("Node", "n1", (each) => {
    each.spec = { taints: [{ key: "repair", effect: "NoExecute" }] };
  });
  await clock.advance(1_000);
  assert.equal(
    said(api, "a")[1],
    "True DeletionByTaintManager: Taint manager: deleting due to NoExecute taint",
  );
  assert.ok(api.get("Pod", "default/a")?.metadata?.deletionTimestamp);
  await end();
});
