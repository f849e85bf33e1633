/** A pod whose claim waits for it: scheduler and volume controller together. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createEventRecorder, InformerFactory } from "../../services/client/mod.ts";
import { persistentVolumeController } from "../../services/controllers/volumes/controller.ts";
import { defaultPlugins, Scheduler, volumeBinder } from "../../services/scheduler/mod.ts";
import { quietLog } from "../client/quiet-log.ts";
import { harness } from "../controllers/harness.ts";

const hosts = (...values: string[]) => ({
  required: {
    nodeSelectorTerms: [
      { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values }] },
    ],
  },
});

async function world() {
  const root = mkdtempSync(join(tmpdir(), "binder-"));
  const made = await harness(persistentVolumeController({ root, workers: 1 }));
  const { client, clock } = made;
  const informers = new InformerFactory({ client, log: quietLog, clock });
  const context = { client, informers, clock, log: quietLog };
  const { events } = client;
  const scheduler = new Scheduler({
    ...context,
    recorder: createEventRecorder({ events, component: "s", clock, log: quietLog }),
    plugins: [...defaultPlugins, volumeBinder(context)],
    schedulerName: "default-scheduler",
  });
  const stop = new AbortController();
  informers.start(stop.signal);
  await informers.whenSynced();
  const lead = scheduler.lead(undefined, stop.signal);
  for (const name of ["n1", "n2"]) {
    await client.nodes.create({
      metadata: { name, labels: { "kubernetes.io/hostname": name } },
      status: { allocatable: { cpu: "2", memory: "4Gi", pods: "9" } },
    });
  }
  await client.persistentVolumeClaims.create({
    metadata: { name: "data", namespace: "default" },
    spec: {
      storageClassName: "late",
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
    },
  });
  const pod = async (nodeSelector?: Record<string, string>) => {
    await client.pods.create({
      metadata: { name: "p", namespace: "default" },
      spec: {
        ...(nodeSelector && { nodeSelector }),
        containers: [{ name: "c", image: "i" }],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
      },
    });
    await clock.until(() => nodeOf() !== undefined, "the pod has a node", 60_000);
  };
  const nodeOf = () => made.api.get("Pod", "default/p")?.spec?.nodeName || undefined;
  const end = async () => {
    stop.abort();
    await lead;
    await informers.ended();
    scheduler.close();
    await made.end();
  };
  return { ...made, pod, nodeOf, end };
}

test("a volume is made where the pod goes, before it is bound", async () => {
  const { api, client, pod, nodeOf, end } = await world();
  await client.storageClasses.create({
    metadata: { name: "late" },
    provisioner: "trireme.io/host-path",
    volumeBindingMode: "WaitForFirstConsumer",
  });
  await pod({ "kubernetes.io/hostname": "n2" });
  assert.equal(nodeOf(), "n2");
  const claim = api.get("PersistentVolumeClaim", "default/data");
  assert.equal(claim?.status?.phase, "Bound");
  assert.equal(claim?.metadata?.annotations?.["volume.kubernetes.io/selected-node"], "n2");
  const made = api.get("PersistentVolume", claim?.spec?.volumeName ?? "");
  assert.deepEqual(made?.spec?.nodeAffinity, hosts("n2"));
  await end();
});

test("a pod goes where a free volume of its class is, and gets that one", async () => {
  const { api, client, clock, pod, nodeOf, end } = await world();
  await client.storageClasses.create({
    metadata: { name: "late" },
    provisioner: "kubernetes.io/no-provisioner",
    volumeBindingMode: "WaitForFirstConsumer",
  });
  await client.persistentVolumes.create({
    metadata: { name: "disk" },
    spec: {
      storageClassName: "late",
      capacity: { storage: "2Gi" },
      accessModes: ["ReadWriteOnce"],
      local: { path: "/mnt/disk" },
      nodeAffinity: hosts("n1"),
    },
  });
  await clock.until(
    () => api.get("PersistentVolume", "disk")?.status?.phase === "Available",
    "the volume is available",
  );
  await pod();
  assert.equal(nodeOf(), "n1");
  assert.equal(api.get("PersistentVolumeClaim", "default/data")?.spec?.volumeName, "disk");
  assert.equal(api.get("PersistentVolume", "disk")?.status?.phase, "Bound");
  await end();
});
