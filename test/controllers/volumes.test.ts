import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
} from "../../proto/gen/core.ts";
import { persistentVolumeController } from "../../services/controllers/volumes/controller.ts";
import {
  claimProtectionController,
  volumeProtectionController,
} from "../../services/controllers/volumes/protection.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness, putPod } from "./harness.ts";

const world = () => {
  const root = mkdtempSync(join(tmpdir(), "volumes-"));
  return harness(
    persistentVolumeController({ root, workers: 1 }),
    claimProtectionController(1),
    volumeProtectionController(1),
  ).then((made) => ({
    ...made,
    root,
  }));
};
const claim = (name: string, spec: PersistentVolumeClaimSpec = {}): PersistentVolumeClaim => ({
  metadata: { name, namespace: "default" },
  spec: {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    ...spec,
  },
});
const volume = (name: string, storage: string): PersistentVolume => ({
  metadata: { name },
  spec: {
    capacity: { storage },
    accessModes: ["ReadWriteOnce"],
    hostPath: { path: `/tmp/${name}` },
  },
});
const claimOf = (api: RealApi, name: string) => api.get("PersistentVolumeClaim", `default/${name}`);
const phases = (api: RealApi) =>
  Object.fromEntries(
    api.all("PersistentVolume").map(({ metadata, status }) => [metadata?.name, status?.phase]),
  );
const reasons = (api: RealApi) => api.all("Event").map(({ reason }) => reason);

test("a claim without a class gets the smallest volume that is large enough", async () => {
  const { api, client, clock, end } = await world();
  for (const [name, size] of [
    ["small", "500Mi"],
    ["large", "10Gi"],
    ["fitting", "2Gi"],
  ] as const) {
    await client.persistentVolumes.create(volume(name, size));
  }
  await client.persistentVolumeClaims.create(claim("data", { storageClassName: "" }));
  await clock.advance(100);
  const { spec, status, metadata } = claimOf(api, "data") ?? {};
  assert.equal(spec?.volumeName, "fitting");
  assert.deepEqual([status?.phase, status?.capacity?.["storage"]], ["Bound", "2Gi"]);
  assert.equal(metadata?.annotations?.["pv.kubernetes.io/bind-completed"], "yes");
  assert.deepEqual(phases(api), { small: "Available", large: "Available", fitting: "Bound" });
  await client.persistentVolumeClaims.create(
    claim("huge", { storageClassName: "", resources: { requests: { storage: "1Ti" } } }),
  );
  await clock.advance(100);
  assert.equal(claimOf(api, "huge")?.status?.phase, "Pending");
  assert.ok(reasons(api).includes("FailedBinding"));
  // The data stay until an administrator frees the volume by hand.
  await client.persistentVolumeClaims.delete("data", "default");
  await clock.advance(100);
  assert.equal(phases(api)["fitting"], "Released");
  await end();
});

test("the default class makes a volume, and takes it away with the claim", async () => {
  const { api, client, clock, root, end } = await world();
  await client.persistentVolumeClaims.create(claim("data"));
  await clock.advance(100);
  const { spec, status } = claimOf(api, "data") ?? {};
  assert.equal(spec?.storageClassName, "standard");
  assert.equal(status?.phase, "Bound");
  const made = api.get("PersistentVolume", spec?.volumeName ?? "");
  const path = made?.spec?.hostPath?.path ?? "";
  assert.equal(path, join(root, spec?.volumeName ?? ""));
  assert.equal(made?.status?.phase, "Bound");
  mkdirSync(path);
  await client.persistentVolumeClaims.delete("data", "default");
  await clock.advance(100);
  await clock.until(() => api.all("PersistentVolume").length === 0, "the volume is gone");
  assert.equal(existsSync(path), false);
  await end();
});

test("a class may wait for a pod, and one that is missing is named", async () => {
  const { api, client, clock, end } = await world();
  await client.storageClasses.create({
    metadata: { name: "late" },
    provisioner: "trireme.io/host-path",
    volumeBindingMode: "WaitForFirstConsumer",
  });
  await client.persistentVolumeClaims.create(claim("data", { storageClassName: "late" }));
  await client.persistentVolumeClaims.create(claim("lost", { storageClassName: "none" }));
  await clock.advance(100);
  assert.equal(claimOf(api, "data")?.status?.phase, "Pending");
  assert.ok(reasons(api).includes("WaitForFirstConsumer"));
  assert.ok(api.all("Event").some(({ message }) => message?.includes('"none" not found')));
  await putPod(client, {
    metadata: { name: "user", namespace: "default" },
    spec: { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] },
  });
  await clock.advance(100);
  assert.ok(api.all("Event").some(({ reason }) => reason === "WaitForFirstConsumer"));
  // The scheduler has found a node.
  await api.change("PersistentVolumeClaim", "default/data", ({ metadata }) => {
    metadata!.annotations = { "volume.kubernetes.io/selected-node": "n1" };
  });
  await clock.advance(100);
  assert.equal(claimOf(api, "data")?.status?.phase, "Bound");
  const [made] = api.all("PersistentVolume");
  assert.deepEqual(made?.spec?.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions, [
    { key: "kubernetes.io/hostname", operator: "In", values: ["n1"] },
  ]);
  await end();
});

test("a claim outlives its deletion while a pod uses it, a volume while a claim has it", async () => {
  const { api, client, clock, end } = await world();
  await client.persistentVolumeClaims.create(claim("data"));
  await clock.advance(100);
  const name = claimOf(api, "data")?.spec?.volumeName ?? "";
  assert.deepEqual(claimOf(api, "data")?.metadata?.finalizers, ["kubernetes.io/pvc-protection"]);
  assert.deepEqual(api.get("PersistentVolume", name)?.metadata?.finalizers, [
    "kubernetes.io/pv-protection",
  ]);
  await putPod(client, {
    metadata: { name: "user", namespace: "default" },
    spec: {
      nodeName: "n1",
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
    },
  });
  await client.persistentVolumes.delete(name);
  await client.persistentVolumeClaims.delete("data", "default");
  await clock.advance(500);
  assert.ok(claimOf(api, "data")?.metadata?.deletionTimestamp);
  assert.ok(api.get("PersistentVolume", name)?.metadata?.deletionTimestamp);
  await api.finishPod("default/user");
  await clock.until(() => claimOf(api, "data") === undefined, "the claim is gone");
  await clock.until(() => api.all("PersistentVolume").length === 0, "the volume is gone");
  await end();
});

test("a volume that its author keeps for a claim is bound to it alone, and freed as it was", async () => {
  const { api, client, clock, end } = await world();
  const kept = volume("kept", "5Gi");
  await client.persistentVolumes.create({
    ...kept,
    spec: { ...kept.spec, claimRef: { name: "data", namespace: "default" } },
  });
  await client.persistentVolumeClaims.create(claim("other", { storageClassName: "" }));
  await clock.advance(100);
  assert.equal(claimOf(api, "other")?.status?.phase, "Pending");
  await client.persistentVolumeClaims.create(claim("data", { storageClassName: "" }));
  await clock.advance(100);
  assert.equal(claimOf(api, "data")?.spec?.volumeName, "kept");
  const { metadata } = api.get("PersistentVolume", "kept") ?? {};
  assert.equal(metadata?.annotations?.["pv.kubernetes.io/bound-by-controller"], undefined);
  await end();
});

test("a volume that nothing here can reclaim fails, and says why", async () => {
  const { api, client, clock, end } = await world();
  for (const policy of ["Delete", "Recycle"]) {
    const one = volume(policy.toLowerCase(), "1Gi");
    const spec = { ...one.spec, persistentVolumeReclaimPolicy: policy };
    await client.persistentVolumes.create({ ...one, spec });
    const named = claim(policy.toLowerCase(), {
      storageClassName: "",
      volumeName: one.metadata!.name!,
    });
    await client.persistentVolumeClaims.create(named);
    await clock.advance(100);
    await client.persistentVolumeClaims.delete(policy.toLowerCase(), "default");
    await clock.advance(500);
  }
  assert.deepEqual(phases(api), { delete: "Failed", recycle: "Failed" });
  const { status } = api.get("PersistentVolume", "recycle") ?? {};
  assert.equal(status?.message, "No recycler plugin found for the volume!");
  assert.ok(reasons(api).includes("VolumeFailedDelete"));
  assert.ok(reasons(api).includes("VolumeFailedRecycle"));
  await end();
});
