import assert from "node:assert/strict";
import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim } from "../../proto/gen/core.ts";
import { claimedVolume, pathOfVolume } from "../../services/kubelet/pod/claimed-volume.ts";

const claim: PersistentVolumeClaim = {
  metadata: { name: "data", namespace: "default", uid: "u" },
  spec: { volumeName: "v" },
  status: { phase: "Bound" },
};

const pathOf = async (
  one: PersistentVolumeClaim | undefined,
  volume: PersistentVolume | undefined,
) => {
  const source = {
    configMap: async () => undefined,
    secret: async () => undefined,
    claim: async () => one,
    volume: async () => volume,
  };
  return pathOfVolume(await claimedVolume(source, "default", "data"), "data");
};

test("a bound claim is the directory of its volume, made if the volume says so", async () => {
  const root = mkdtempSync(join(tmpdir(), "claim-"));
  const path = join(root, "a", "b");
  const claimRef = { name: "data", namespace: "default", uid: "u" };
  const of = (type: string) => ({ spec: { hostPath: { path, type }, claimRef } });
  await assert.rejects(pathOf(claim, of("")), /does not exist on this node/);
  assert.equal(await pathOf(claim, of("DirectoryOrCreate")), path);
  assert.equal(statSync(path).mode & 0o777, 0o777);
  assert.equal(await pathOf(claim, { spec: { local: { path }, claimRef } }), path);
});

test("what cannot be mounted is named", async () => {
  const claimRef = { name: "data", namespace: "default", uid: "u" };
  await assert.rejects(pathOf(undefined, undefined), /persistentvolumeclaim "data" not found/);
  const pending = { ...claim, status: { phase: "Pending" } };
  await assert.rejects(pathOf(pending, undefined), /is not bound to a volume/);
  await assert.rejects(pathOf(claim, undefined), /volume v, which does not exist/);
  const other = { spec: { claimRef: { ...claimRef, uid: "x" } } };
  await assert.rejects(pathOf(claim, other), /belongs to another claim/);
  const nfs = { spec: { nfs: { server: "s", path: "/" }, claimRef } };
  await assert.rejects(pathOf(claim, nfs), /not supported/);
});
