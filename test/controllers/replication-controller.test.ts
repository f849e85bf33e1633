import assert from "node:assert/strict";
import { test } from "node:test";
import { replicationController } from "../../services/controllers/replication-controller.ts";
import { active, harness, replicaSet, runPods } from "./harness.ts";

test("a replication controller keeps its pods, selected by plain labels", async () => {
  const { api, client, clock, end } = await harness(replicationController(1));
  const template = replicaSet(1).spec?.template;
  await client.replicationControllers.create({
    metadata: { name: "web", namespace: "default" },
    spec: { replicas: 3, selector: { app: "web" }, ...(template && { template }) },
  });
  await clock.advance(100);
  assert.equal(active(api).length, 3);
  assert.equal(active(api)[0]?.metadata?.ownerReferences?.[0]?.kind, "ReplicationController");
  runPods(api, () => clock.wallMillis());
  await clock.advance(100);
  const { spec, status } = api.get("ReplicationController", "default/web") ?? {};
  assert.deepEqual(spec?.selector, { app: "web" });
  assert.deepEqual([status?.replicas, status?.readyReplicas], [3, 3]);
  await api.change("ReplicationController", "default/web", (each) => {
    each.spec!.replicas = 1;
  });
  await clock.advance(100);
  assert.equal(active(api).length, 1);
  await end();
});
