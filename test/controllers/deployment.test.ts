import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../../services/client/mod.ts";
import { deploymentController } from "../../services/controllers/deployment/controller.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, deployment, harness, newTemplate, runPods, setReady } from "./harness.ts";

const controllers = () => [deploymentController(2), replicaSetController(2)];
const revision = "deployment.kubernetes.io/revision";
const image = (pod: Pod) => pod.spec?.containers?.[0]?.image;
const condition = (api: RealApi, type: string) =>
  api.get("Deployment", "default/web")?.status?.conditions?.find((each) => each.type === type);
const available = (api: RealApi) =>
  active(api).filter(({ status }) => status?.conditions?.[0]?.status === "True").length;

/** The rollout of the newest template is over. */
function isOver(api: RealApi): boolean {
  const { metadata, spec, status } = api.get("Deployment", "default/web") ?? {};
  const wanted = spec?.replicas;
  return (
    status?.observedGeneration === metadata?.generation &&
    status?.updatedReplicas === wanted &&
    status?.replicas === wanted &&
    status?.availableReplicas === wanted &&
    status?.terminatingReplicas === 0
  );
}

async function rolledOut(replicas: number, spec = {}) {
  const all = await harness(...controllers());
  const { api, client, clock } = all;
  await client.deployments.create(deployment(replicas, spec));
  await clock.until(() => active(api).length === replicas, "pods");
  runPods(api, () => clock.wallMillis());
  await clock.until(
    () => condition(api, "Progressing")?.reason === "NewReplicaSetAvailable",
    "the first rollout",
  );
  const update = () =>
    api.change("Deployment", "default/web", (each) => {
      each.spec!.template = newTemplate;
    });
  return { ...all, update };
}

test("a rollout never falls below what must be available nor rises above the surge", async () => {
  const strategies = [
    { maxSurge: 1, maxUnavailable: 0, most: 5, least: 4 },
    { maxSurge: 0, maxUnavailable: 1, most: 4, least: 3 },
    { maxSurge: "25%", maxUnavailable: "25%", most: 5, least: 3 },
    { maxSurge: "100%", maxUnavailable: "50%", most: 8, least: 2 },
  ];
  for (const { most, least, ...rollingUpdate } of strategies) {
    const strategy = { type: "RollingUpdate", rollingUpdate };
    const { api, clock, update, end } = await rolledOut(4, { strategy });
    update();
    const done = () =>
      active(api).length === 4 && active(api).every((pod) => image(pod) === "web:2");
    for (let step = 0; !(done() && available(api) === 4); step++) {
      assert.ok(step < 200, `the rollout ends: ${JSON.stringify(rollingUpdate)}`);
      await clock.advance(50);
      assert.ok(active(api).length <= most, `${active(api).length} pods`);
      assert.ok(available(api) >= least, `${available(api)} available`);
      // The kubelet brings up one pod at a time, and ends what is deleted.
      let started = 0;
      runPods(
        api,
        () => clock.wallMillis(),
        () => started++ === 0,
      );
    }
    await clock.advance(500);
    const { status, metadata } = api.get("Deployment", "default/web") ?? {};
    assert.equal(status?.updatedReplicas, 4);
    assert.equal(status?.availableReplicas, 4);
    assert.equal(status?.unavailableReplicas, 0);
    assert.equal(metadata?.annotations?.[revision], "2");
    assert.equal(condition(api, "Available")?.status, "True");
    await end();
  }
});

test("a template that never becomes ready stops the rollout and misses its deadline", async () => {
  const { api, clock, update, end } = await rolledOut(4, { progressDeadlineSeconds: 60 });
  update();
  await clock.advance(30_000);
  const running = () => active(api).filter((pod) => image(pod) === "web:1").length;
  assert.equal(running(), 3);
  assert.equal(condition(api, "Progressing")?.status, "True");
  await clock.advance(40_000);
  assert.equal(condition(api, "Progressing")?.reason, "ProgressDeadlineExceeded");
  assert.equal(running(), 3);
  await end();
});

test("going back to an old template takes its old replica set with a new revision", async () => {
  const { api, clock, update, end } = await rolledOut(2);
  update();
  const roll = async (wanted: string) => {
    for (let step = 0; step < 100 && (step === 0 || !isOver(api)); step++) {
      await clock.advance(100);
      runPods(api, () => clock.wallMillis());
      await clock.advance(100);
    }
    assert.deepEqual(active(api).map(image), [wanted, wanted]);
  };
  await roll("web:2");
  assert.equal(api.all("ReplicaSet").length, 2);
  await api.change("Deployment", "default/web", (each) => {
    each.spec!.template = deployment(2).spec!.template;
  });
  await roll("web:1");
  assert.equal(api.all("ReplicaSet").length, 2);
  assert.equal(api.get("Deployment", "default/web")?.metadata?.annotations?.[revision], "3");
  await end();
});

test("Recreate ends every old pod before the first new one begins", async () => {
  const { api, clock, update, end } = await rolledOut(3, { strategy: { type: "Recreate" } });
  await update();
  for (let step = 0; step < 100 && (step === 0 || !isOver(api)); step++) {
    await clock.advance(100);
    const images = new Set(api.all("Pod").map(image));
    assert.ok(images.size <= 1, "old and new pods together");
    runPods(api, () => clock.wallMillis());
  }
  assert.deepEqual(active(api).map(image), ["web:2", "web:2", "web:2"]);
  await end();
});

test("scaling keeps the template; a paused deployment scales but does not roll out", async () => {
  const { api, clock, update, end } = await rolledOut(2);
  await api.change("Deployment", "default/web", (each) => {
    each.spec!.paused = true;
    each.spec!.replicas = 5;
  });
  update();
  await clock.advance(1_000);
  runPods(api, () => clock.wallMillis());
  await clock.advance(1_000);
  assert.equal(active(api).length, 5);
  assert.ok(active(api).every((pod) => image(pod) === "web:1"));
  assert.equal(condition(api, "Progressing")?.reason, "DeploymentPaused");
  await end();
});

test("history beyond the limit is forgotten", async () => {
  const { api, clock, end } = await rolledOut(1, { revisionHistoryLimit: 1 });
  for (let version = 2; version <= 4; version++) {
    await api.change("Deployment", "default/web", (each) => {
      each.spec!.template!.spec!.containers![0]!.image = `web:${version}`;
    });
    for (let step = 0; step < 40 && (step === 0 || !isOver(api)); step++) {
      await clock.advance(100);
      runPods(api, () => clock.wallMillis());
      await clock.advance(100);
    }
  }
  await clock.advance(1_000);
  const images = api
    .all("ReplicaSet")
    .map(({ spec }) => spec?.template?.spec?.containers?.[0]?.image);
  assert.deepEqual(images.sort(), ["web:3", "web:4"]);
  await end();
});

test("a whole Deployment stays so when a pod is lost; a set that is refused is told", async () => {
  const { api, clock, update, end } = await rolledOut(2, { progressDeadlineSeconds: 10 });
  const [pod] = active(api);
  setReady(api, keyOf(pod ?? {}), "False", clock.wallMillis());
  await clock.advance(30_000);
  assert.equal(condition(api, "Available")?.status, "False");
  assert.equal(condition(api, "Progressing")?.reason, "NewReplicaSetAvailable");
  api.intercept = (verb, kind) => {
    if (verb !== "create" || kind !== "ReplicaSet") return;
    throw new StatusError(Code.permissionDenied, "exceeded quota: sets");
  };
  await update();
  await clock.advance(2_000);
  const refused = condition(api, "Progressing");
  assert.equal(`${refused?.status} ${refused?.reason}`, "False ReplicaSetCreateError");
  assert.match(
    refused?.message ?? "",
    /^Failed to create new replica set "web-\w+": exceeded quota: sets$/,
  );
  assert.ok(api.all("Event").some(({ reason }) => reason === "ReplicaSetCreateError"));
  api.intercept = undefined;
  for (let step = 0; step < 100 && !isOver(api); step++) {
    await clock.advance(100);
    runPods(api, () => clock.wallMillis());
  }
  assert.equal(condition(api, "Progressing")?.reason, "NewReplicaSetAvailable");
  await end();
});

test("a paused Deployment scales from nothing", async () => {
  const { api, client, clock, end } = await harness(...controllers());
  await client.deployments.create(deployment(0));
  await clock.advance(200);
  await api.change("Deployment", "default/web", (each) => {
    each.spec!.paused = true;
    each.spec!.replicas = 2;
  });
  await clock.until(() => active(api).length === 2, "two pods");
  await end();
});
