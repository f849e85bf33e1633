import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../../services/client/mod.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import { settle } from "../client/fake-clock.ts";
import { active, harness, putPod, replicaSet, runPods, setReady } from "./harness.ts";

test("it creates what is missing, and the status follows the pods", async () => {
  const { api, client, clock, fence, end } = await harness(replicaSetController(2));
  await client.replicaSets.create(replicaSet(3));
  await clock.advance(100);
  assert.equal(active(api).length, 3);
  const [pod] = active(api);
  assert.deepEqual(pod?.metadata?.labels, { app: "web" });
  assert.equal(pod?.metadata?.ownerReferences?.[0]?.controller, true);
  runPods(api, () => clock.wallMillis());
  await clock.advance(100);
  const { status } = api.get("ReplicaSet", "default/web") ?? {};
  assert.equal(status?.replicas, 3);
  assert.equal(status?.readyReplicas, 3);
  assert.equal(status?.availableReplicas, 3);
  assert.equal(status?.observedGeneration, 1);
  const unfenced = api.written.filter(
    (each) => each.kind !== "Lease" && each.kind !== "Event" && each.fence === undefined,
  );
  // Only the test itself wrote without a fence.
  assert.deepEqual(
    unfenced.map(({ verb, kind }) => `${verb} ${kind}`),
    ["create ReplicaSet"],
  );
  assert.ok(fence);
  await end();
});

test("scaling down takes pods that are not ready first; a terminating pod is replaced", async () => {
  const { api, client, clock, end } = await harness(replicaSetController(2));
  await client.replicaSets.create(replicaSet(3));
  await clock.advance(100);
  const [lame, ...others] = active(api).map(({ metadata }) => metadata?.name ?? "");
  for (const name of others) setReady(api, `default/${name}`, "True", clock.wallMillis());
  setReady(api, `default/${lame}`, "False", clock.wallMillis());
  await api.change("ReplicaSet", "default/web", (set) => {
    set.spec!.replicas = 2;
  });
  await clock.advance(100);
  assert.deepEqual(
    active(api)
      .map(({ metadata }) => metadata?.name)
      .sort(),
    [...others].sort(),
  );
  await client.pods.delete(others[0] ?? "", "default");
  await clock.advance(100);
  assert.equal(active(api).length, 2);
  // The lame one and the one deleted by hand are still on their way out.
  assert.equal(api.all("Pod").length, 4);
  assert.equal(api.get("ReplicaSet", "default/web")?.status?.terminatingReplicas, 2);
  await end();
});

test("matching pods without a controller are adopted; own ones that match no more released", async () => {
  const { api, client, clock, end } = await harness(replicaSetController(2));
  await putPod(client, {
    metadata: { name: "stray", namespace: "default", labels: { app: "web" } },
  });
  await client.replicaSets.create(replicaSet(2));
  await clock.advance(100);
  assert.equal(active(api).length, 2);
  assert.equal(api.get("Pod", "default/stray")?.metadata?.ownerReferences?.[0]?.name, "web");
  await api.change("Pod", "default/stray", (pod) => {
    pod.metadata!.labels = { app: "debug" };
  });
  await clock.advance(100);
  assert.deepEqual(api.get("Pod", "default/stray")?.metadata?.ownerReferences ?? [], []);
  assert.equal(active(api).length, 3);
  await end();
});

test("while its cache lags it does not create twice", async () => {
  const { api, client, clock, end } = await harness(replicaSetController(2));
  await client.replicaSets.create(replicaSet(5));
  await clock.advance(10);
  for (let round = 0; round < 5; round++) {
    api.breakWatches();
    await api.change("ReplicaSet", "default/web", (set) => {
      set.metadata!.annotations = { round: String(round) };
    });
    await clock.advance(200);
  }
  assert.equal(
    api.written.filter((each) => each.verb === "create" && each.kind === "Pod").length,
    5,
  );
  await end();
});

test("a creation that fails is told in a condition, in small batches, and repeated", async () => {
  const { api, client, clock, end } = await harness(replicaSetController(1));
  let attempts = 0;
  api.intercept = (verb, kind) => {
    if (verb !== "create" || kind !== "Pod") return;
    attempts++;
    throw new StatusError(Code.permissionDenied, "exceeded quota");
  };
  await client.replicaSets.create(replicaSet(100));
  await settle();
  // One pod is tried, and once more when the condition has been written; not a hundred.
  assert.ok(attempts <= 2, `${attempts} attempts`);
  const condition = api.get("ReplicaSet", "default/web")?.status?.conditions?.[0];
  assert.equal(condition?.type, "ReplicaFailure");
  assert.equal(condition?.message, "exceeded quota");
  api.intercept = undefined;
  await clock.until(() => active(api).length === 100, "all pods");
  await clock.advance(100);
  assert.deepEqual(api.get("ReplicaSet", "default/web")?.status?.conditions ?? [], []);
  await end();
});

test("pods on a node that the Deployment's other sets crowd go first", async () => {
  const { api, client, clock, end } = await harness(replicaSetController(2));
  const owner = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    name: "web",
    uid: "d",
    controller: true,
  };
  const set = (name: string, replicas: number) => {
    const { spec } = replicaSet(replicas);
    const labels = { app: "web", of: name };
    const template = { ...spec?.template, metadata: { labels } };
    return {
      metadata: { name, namespace: "default", ownerReferences: [owner] },
      spec: { ...spec, selector: { matchLabels: labels }, template },
    };
  };
  await client.replicaSets.create(set("old", 2));
  await client.replicaSets.create(set("new", 2));
  await clock.advance(100);
  const of = (name: string) =>
    active(api).filter(({ metadata }) => metadata?.labels?.["of"] === name);
  const place = (pod: Pod | undefined, nodeName: string) =>
    api.change("Pod", keyOf(pod ?? {}), (each) => {
      each.spec!.nodeName = nodeName;
      each.status = { phase: "Pending" };
    });
  for (const pod of of("old")) await place(pod, "crowded");
  const [stays, goes] = of("new");
  await place(goes, "crowded");
  await place(stays, "free");
  await api.change("ReplicaSet", "default/new", (each) => {
    each.spec!.replicas = 1;
  });
  await clock.advance(100);
  assert.deepEqual(of("new").map(keyOf), [keyOf(stays ?? {})]);
  await end();
});
