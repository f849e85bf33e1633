/** Attachments of CSI volumes, in an apiserver; the driver's attacher is the test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { attachDetachController } from "../../services/controllers/volumes/attach-detach.ts";
import { harness, node, putPod } from "./harness.ts";

const inUse = "kubernetes.io/csi/disk.example.com^h1";

/** A claim that is bound to a volume of the driver. */
async function putClaim(client: TriremeClient): Promise<void> {
  const size = { storage: "1Gi" };
  const claim = await client.persistentVolumeClaims.create({
    metadata: {
      ...{ name: "data", namespace: "default" },
      annotations: { "pv.kubernetes.io/bind-completed": "yes" },
    },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: size }, volumeName: "pv" },
  });
  await client.persistentVolumes.create({
    metadata: { name: "pv" },
    spec: {
      ...{ capacity: size, accessModes: ["ReadWriteOnce"] },
      csi: { driver: "disk.example.com", volumeHandle: "h1" },
      claimRef: { ...claim.metadata, kind: "PersistentVolumeClaim" },
    },
  });
}

const using = (name: string, nodeName: string): Pod => ({
  metadata: { name, namespace: "default" },
  spec: {
    ...{ nodeName, containers: [{ name: "c", image: "i" }] },
    volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
  },
});

test("a volume is attached for a pod, held while in use, and goes to the next node", async () => {
  const { api, client, clock, end } = await harness(attachDetachController(1));
  const attachments = client.resource("VolumeAttachment");
  const listed = async () =>
    (await attachments.list({})).items.map(({ spec }) => `${spec?.attacher} ${spec?.nodeName}`);
  const messages = (reason: string) =>
    api
      .all("Event")
      .filter((event) => event.reason === reason)
      .map(({ message }) => message);
  for (const name of ["n1", "n2"]) await client.nodes.create(node(name));
  await putClaim(client);
  await putPod(client, using("first", "n1"));
  await clock.advance(100);
  const [made] = (await attachments.list({})).items;
  assert.match(made?.metadata?.name ?? "", /^csi-[0-9a-f]{64}$/);
  assert.deepEqual(await listed(), ["disk.example.com n1"]);
  const failed = { attachError: { message: "no slot" } };
  const tried = await attachments.updateStatus({ ...made, status: { attached: false, ...failed } });
  await clock.advance(100);
  assert.deepEqual(messages("FailedAttachVolume"), [
    'AttachVolume.Attach failed for volume "pv" : no slot',
  ]);
  await attachments.updateStatus({ ...tried, status: { attached: true } });
  await clock.advance(100);
  assert.deepEqual(messages("SuccessfulAttachVolume"), [
    'AttachVolume.Attach succeeded for volume "pv" ',
  ]);
  const first = await client.nodes.get("n1");
  assert.deepEqual(first.status?.volumesAttached, [{ name: inUse, devicePath: "" }]);
  const used = await client.nodes.updateStatus({
    ...first,
    status: { ...first.status, volumesInUse: [inUse] },
  });
  await putPod(client, using("second", "n2"));
  await client.pods.delete("first", "default", { gracePeriodSeconds: 0 });
  await clock.advance(100);
  assert.deepEqual(await listed(), ["disk.example.com n1"], "the node has it in use");
  assert.match(messages("FailedAttachVolume").join(), /Multi-Attach error for volume "pv"/);
  await client.nodes.updateStatus({ ...used, status: { ...used.status, volumesInUse: [] } });
  await clock.advance(100);
  assert.deepEqual(await listed(), ["disk.example.com n2"]);
  await end();
});

test("drivers that attach nothing, and attachments of others, are left alone", async () => {
  const { client, clock, end } = await harness(attachDetachController(1));
  await client.nodes.create(node("n1"));
  const spec = { attachRequired: false };
  await client.resource("CSIDriver").create({ metadata: { name: "disk.example.com" }, spec });
  await putClaim(client);
  const attachments = client.resource("VolumeAttachment");
  const source = { persistentVolumeName: "pv" };
  await attachments.create({
    metadata: { name: "by-hand" },
    spec: { attacher: "disk.example.com", nodeName: "n1", source },
  });
  await putPod(client, using("p", "n1"));
  await clock.advance(100);
  const names = (await attachments.list({})).items.map(({ metadata }) => metadata?.name);
  assert.deepEqual(names, ["by-hand"]);
  await end();
});
