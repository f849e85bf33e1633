/** The claims of pods' ephemeral volumes, in an apiserver with the volume controllers. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Volume } from "../../proto/gen/core.ts";
import { persistentVolumeController } from "../../services/controllers/volumes/controller.ts";
import { ephemeralVolumeController } from "../../services/controllers/volumes/ephemeral.ts";
import { claimProtectionController } from "../../services/controllers/volumes/protection.ts";
import { harness, putPod } from "./harness.ts";

const scratch: Volume = {
  name: "scratch",
  ephemeral: {
    volumeClaimTemplate: {
      metadata: { labels: { app: "db" }, annotations: { note: "x" } },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "",
        resources: { requests: { storage: "1Gi" } },
      },
    },
  },
};
const pod = (name: string) => ({
  metadata: { name, namespace: "default" },
  spec: { containers: [{ name: "c", image: "i" }], volumes: [scratch] },
});

test("a pod's ephemeral volume has a claim that the pod owns, made anew when it is deleted", async () => {
  const root = mkdtempSync(join(tmpdir(), "ephemeral-"));
  const controllers = [
    ephemeralVolumeController(1),
    claimProtectionController(1),
    persistentVolumeController({ root, workers: 1 }),
  ];
  const { api, client, clock, end } = await harness(...controllers);
  await client.persistentVolumes.create({
    metadata: { name: "disk" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      hostPath: { path: "/tmp/disk" },
    },
  });
  await putPod(client, pod("db"));
  await clock.advance(100);
  const claim = api.get("PersistentVolumeClaim", "default/db-scratch");
  const { labels, annotations, ownerReferences, uid } = claim?.metadata ?? {};
  assert.deepEqual(labels, { app: "db" });
  assert.equal(annotations?.["note"], "x");
  assert.deepEqual(ownerReferences, [
    {
      ...{ apiVersion: "v1", kind: "Pod", name: "db" },
      uid: api.get("Pod", "default/db")?.metadata?.uid,
      ...{ controller: true, blockOwnerDeletion: true },
    },
  ]);
  assert.equal(claim?.spec?.volumeMode, "Filesystem");
  assert.equal(claim?.spec?.volumeName, "disk");
  await client.persistentVolumeClaims.delete("db-scratch", "default");
  await clock.advance(100);
  const again = api.get("PersistentVolumeClaim", "default/db-scratch");
  assert.ok(again !== undefined && again.metadata?.uid !== uid);
  await end();
});

test("a claim of that name which is another's is left alone, and the pod is told", async () => {
  const { api, client, clock, end } = await harness(
    ephemeralVolumeController(1),
    claimProtectionController(1),
  );
  const { spec } = scratch.ephemeral?.volumeClaimTemplate ?? {};
  await client.persistentVolumeClaims.create({
    metadata: { name: "db-scratch", namespace: "default" },
    spec,
  });
  await putPod(client, pod("db"));
  await clock.advance(100);
  const [event] = api.all("Event").filter(({ reason }) => reason === "FailedBinding");
  assert.equal(
    event?.message,
    "ephemeral volume scratch: PVC default/db-scratch was not created for pod default/db " +
      "(pod is not owner)",
  );
  assert.equal(event?.source?.component, "ephemeral_volume");
  await client.persistentVolumeClaims.delete("db-scratch", "default");
  await clock.advance(100);
  const owners = api.get("PersistentVolumeClaim", "default/db-scratch")?.metadata?.ownerReferences;
  assert.equal(owners?.[0]?.name, "db");
  await end();
});
