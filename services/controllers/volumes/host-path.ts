/** Volumes that are directories of the node: made by its kubelet, removed here when it is the same. */
import { rm } from "node:fs/promises";
import { join, sep } from "node:path";
import type {
  NodeSelector,
  PersistentVolume,
  PersistentVolumeClaim,
} from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";

export const provisionerName = "trireme.io/host-path";
export const provisionedBy = "pv.kubernetes.io/provisioned-by";

/** A volume for exactly this claim; `node`: where its pod is going to be, and has to stay. */
export function volumeOf(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  root: string,
  node?: string,
): PersistentVolume {
  const { name, namespace, uid = "", resourceVersion } = claim.metadata ?? {};
  const reference = { apiVersion: "v1", kind: "PersistentVolumeClaim" };
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `pvc-${uid}`, annotations: { [provisionedBy]: provisionerName } },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.["storage"] ?? "0" },
      accessModes: [...(claim.spec?.accessModes ?? [])],
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
      storageClassName: storageClass.metadata?.name,
      volumeMode: "Filesystem",
      hostPath: { path: join(root, `pvc-${uid}`), type: "DirectoryOrCreate" },
      claimRef: { ...reference, name, namespace, uid, resourceVersion },
      ...(node !== undefined && { nodeAffinity: { required: onNode(node) } }),
    },
  };
}

function onNode(node: string): NodeSelector {
  const expression = { key: "kubernetes.io/hostname", operator: "In", values: [node] };
  return { nodeSelectorTerms: [{ matchExpressions: [expression] }] };
}

/** Only what was provisioned, and only below the root: an edited path deletes nothing else. */
export async function removeDirectory(volume: PersistentVolume, root: string): Promise<void> {
  const path = volume.spec?.hostPath?.path ?? "";
  const expected = join(root, volume.metadata?.name ?? "");
  if (path !== expected || !path.startsWith(`${root}${sep}`)) return;
  await rm(path, { recursive: true, force: true });
}
