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
import type { RealApi } from "../client/real-api.ts";
import { harness, putPod } from "./harness.ts";

const world = () => {
  const root = mkdtempSync(join(tmpdir(), "volumes-"));
  return harness(persistentVolumeController({ root, workers: 1 })).then((made) => ({
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
  assert.equal(claimOf(api, "data")?.status?.phase, "Bound");
  await end();
});
