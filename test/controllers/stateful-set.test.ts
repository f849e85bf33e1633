import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatefulSet, StatefulSetSpec } from "../../proto/gen/apps.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../../services/client/mod.ts";
import { statefulSetController } from "../../services/controllers/stateful-set/controller.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, harness, newTemplate, runPods, setReady } from "./harness.ts";

const set = (replicas: number, spec: StatefulSetSpec = {}): StatefulSet => ({
  metadata: { name: "db", namespace: "default" },
  spec: {
    replicas,
    serviceName: "db",
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "web:1" }] },
    },
    ...spec,
  },
});
const claims: StatefulSetSpec = {
  volumeClaimTemplates: [
    {
      metadata: { name: "data" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    },
  ],
};

const names = (api: RealApi) =>
  active(api)
    .map(({ metadata }) => metadata?.name)
    .sort();
const statusOf = (api: RealApi) => api.get("StatefulSet", "default/db")?.status ?? {};
const image = (api: RealApi, name: string) =>
  api.get("Pod", `default/${name}`)?.spec?.containers?.[0]?.image;
const change = (api: RealApi, edit: (spec: StatefulSetSpec) => void) =>
  api.change("StatefulSet", "default/db", (each) => edit(each.spec!));

type World = Awaited<ReturnType<typeof harness>>;

/** Kubelets work until nothing changes any more. */
async function run({ api, clock }: World, mayRun: (pod: Pod) => boolean = () => true) {
  for (let round = 0; round < 12; round++) {
    runPods(api, () => clock.wallMillis(), mayRun);
    await clock.advance(200);
  }
}

test("pods come one after the other, each with its name, and go from the last", async () => {
  const world = await harness(statefulSetController(2));
  const { api, client, clock, end } = world;
  await client.statefulSets.create(set(3));
  await clock.advance(100);
  assert.deepEqual(names(api), ["db-0"]);
  await clock.advance(60_000);
  assert.deepEqual(names(api), ["db-0"]);
  await run(world);
  assert.deepEqual(names(api), ["db-0", "db-1", "db-2"]);
  const { metadata, spec } = api.get("Pod", "default/db-1") ?? {};
  assert.equal(metadata?.labels?.["statefulset.kubernetes.io/pod-name"], "db-1");
  assert.equal(metadata?.labels?.["apps.kubernetes.io/pod-index"], "1");
  assert.equal(spec?.hostname, "db-1");
  assert.equal(spec?.subdomain, "db");
  const { replicas, readyReplicas, currentRevision, updateRevision } = statusOf(api);
  assert.deepEqual([replicas, readyReplicas], [3, 3]);
  assert.equal(currentRevision, updateRevision);
  assert.equal(metadata?.labels?.["controller-revision-hash"], updateRevision);
  await change(api, (spec) => {
    spec.replicas = 1;
  });
  await clock.advance(100);
  assert.deepEqual(names(api), ["db-0", "db-1"]);
  await run(world);
  assert.deepEqual(names(api), ["db-0"]);
  await end();
});

test("with Parallel all come at once; ordinals begin where the set says", async () => {
  const { api, client, clock, end } = await harness(statefulSetController(1));
  await client.statefulSets.create(
    set(3, { podManagementPolicy: "Parallel", ordinals: { start: 5 } }),
  );
  await clock.advance(100);
  assert.deepEqual(names(api), ["db-5", "db-6", "db-7"]);
  await end();
});

test("a pod that failed or was deleted comes back under its name", async () => {
  const world = await harness(statefulSetController(1));
  const { api, clock, client, end } = world;
  await client.statefulSets.create(set(2));
  await run(world);
  const before = api.get("Pod", "default/db-0")?.metadata?.uid;
  await api.change("Pod", "default/db-0", (pod) => {
    pod.status = { phase: "Failed" };
  });
  await run(world);
  await clock.advance(100);
  assert.deepEqual(names(api), ["db-0", "db-1"]);
  assert.notEqual(api.get("Pod", "default/db-0")?.metadata?.uid, before);
  assert.ok(api.all("Event").some(({ reason }) => reason === "RecreatingFailedPod"));
  await end();
});

test("a new template rolls out from the last pod, not beyond one that is not well", async () => {
  const world = await harness(statefulSetController(1));
  const { api, client, clock, end } = world;
  await client.statefulSets.create(set(3));
  await run(world);
  const old = statusOf(api).currentRevision;
  await change(api, (spec) => {
    spec.template = newTemplate;
  });
  const well = (pod: Pod) => pod.spec?.containers?.[0]?.image === "web:1";
  await run(world, well);
  assert.deepEqual(
    ["db-0", "db-1", "db-2"].map((name) => image(api, name)),
    ["web:1", "web:1", "web:2"],
  );
  assert.equal(statusOf(api).currentRevision, old);
  assert.equal(statusOf(api).updatedReplicas, 1);
  setReady(api, "default/db-2", "True", clock.wallMillis());
  await run(world);
  assert.equal(image(api, "db-0"), "web:2");
  const { currentRevision, updateRevision, currentReplicas } = statusOf(api);
  assert.equal(currentRevision, updateRevision);
  assert.equal(currentReplicas, 3);
  assert.deepEqual(
    api
      .all("ControllerRevision")
      .map(({ revision }) => Number(revision))
      .sort(),
    [1, 2],
  );
  await end();
});

test("below the partition pods stay as they were; OnDelete replaces none by itself", async () => {
  const world = await harness(statefulSetController(1));
  const { api, client, end } = world;
  const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 2 } };
  await client.statefulSets.create(set(3, { updateStrategy }));
  await run(world);
  await change(api, (spec) => {
    spec.template = newTemplate;
  });
  await run(world);
  const images = () => ["db-0", "db-1", "db-2"].map((name) => image(api, name));
  assert.deepEqual(images(), ["web:1", "web:1", "web:2"]);
  await client.pods.delete("db-0", "default");
  await run(world);
  assert.deepEqual(images(), ["web:1", "web:1", "web:2"]);
  await change(api, (spec) => {
    spec.updateStrategy = { type: "OnDelete" };
  });
  await run(world);
  assert.deepEqual(images(), ["web:1", "web:1", "web:2"]);
  await client.pods.delete("db-1", "default");
  await run(world);
  assert.deepEqual(images(), ["web:1", "web:2", "web:2"]);
  await end();
});

test("going back raises the number of the old revision; only so many are kept", async () => {
  const world = await harness(statefulSetController(1));
  const { api, client, end } = world;
  await client.statefulSets.create(set(1, { revisionHistoryLimit: 0 }));
  await run(world);
  const first = statusOf(api).updateRevision;
  const template = api.get("StatefulSet", "default/db")?.spec?.template;
  await change(api, (spec) => {
    spec.template = newTemplate;
    spec.updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 1 } };
  });
  await run(world);
  assert.equal(api.all("ControllerRevision").length, 2);
  await change(api, (spec) => {
    spec.template = template;
  });
  await run(world);
  assert.equal(statusOf(api).updateRevision, first);
  assert.deepEqual(
    api
      .all("ControllerRevision")
      .map(({ metadata, revision }) => [metadata?.name, Number(revision)]),
    [[first, 3]],
  );
  await end();
});

test("each pod has claims of its own, that stay unless the set says otherwise", async () => {
  const world = await harness(statefulSetController(1));
  const { api, client, end } = world;
  await client.statefulSets.create(
    set(2, {
      ...claims,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" },
    }),
  );
  await run(world);
  assert.deepEqual(
    api.all("PersistentVolumeClaim").map(({ metadata }) => metadata?.name),
    ["data-db-0", "data-db-1"],
  );
  const [volume] = api.get("Pod", "default/db-1")?.spec?.volumes ?? [];
  assert.equal(volume?.name, "data");
  assert.equal(volume?.persistentVolumeClaim?.claimName, "data-db-1");
  const owners = (name: string) =>
    api
      .get("PersistentVolumeClaim", `default/${name}`)
      ?.metadata?.ownerReferences?.map(({ kind, name: owner }) => `${kind} ${owner}`);
  assert.deepEqual(owners("data-db-1"), ["StatefulSet db"]);
  await change(api, (spec) => {
    spec.replicas = 1;
  });
  await run(world);
  assert.deepEqual(owners("data-db-1"), ["Pod db-1"]);
  assert.deepEqual(owners("data-db-0"), ["StatefulSet db"]);
  await end();
});

test("a pod waits until the claim of an earlier one of its name is gone", async () => {
  const { api, client, clock, end } = await harness(statefulSetController(1));
  const owner = { apiVersion: "v1", kind: "Pod", name: "db-0", uid: "earlier" };
  await client.persistentVolumeClaims.create({
    metadata: { name: "data-db-0", namespace: "default", ownerReferences: [owner] },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  const policy = { whenDeleted: "Retain", whenScaled: "Delete" };
  const spec = { ...claims, persistentVolumeClaimRetentionPolicy: policy };
  await client.statefulSets.create(set(1, spec));
  await clock.advance(1_000);
  assert.deepEqual(names(api), []);
  await api.change("PersistentVolumeClaim", "default/data-db-0", (claim) => {
    claim.metadata!.finalizers = [];
  });
  await client.persistentVolumeClaims.delete("data-db-0", "default");
  await clock.advance(1_000);
  assert.deepEqual(names(api), ["db-0"]);
  assert.equal(
    api.get("PersistentVolumeClaim", "default/data-db-0")?.metadata?.ownerReferences,
    undefined,
  );
  await end();
});

test("while its cache lags it creates no second pod", async () => {
  const { api, client, clock, end } = await harness(statefulSetController(1));
  await client.statefulSets.create(set(2, { podManagementPolicy: "Parallel" }));
  for (let round = 0; round < 4; round++) {
    api.breakWatches();
    await change(api, (spec) => {
      spec.minReadySeconds = round + 1;
    });
    await clock.advance(200);
  }
  const created = api.written.filter((each) => each.verb === "create" && each.kind === "Pod");
  assert.deepEqual(new Set(created.map(({ key }) => key)).size, 2);
  assert.equal(api.all("Pod").length, 2);
  assert.ok(keyOf(api.all("Pod")[0] ?? {}));
  await end();
});
