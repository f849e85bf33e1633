import type { Pod, Volume } from "../../../proto/gen/core.ts";
import { type Cycle, on, type Plugin, refuse, StateKey } from "../framework/mod.ts";
import { claimEvents, claimNames, claimsOf } from "./pod-claims.ts";

const diskConflict = refuse("node(s) had no available disk");
const claimInUse = refuse(
  "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already " +
    "in-use by another pod",
);

interface Restrictions {
  /** Another pod has one of the claims that only a single pod may have. */
  readonly claimInUse: boolean;
  readonly disks: readonly Disk[];
}

/** A disk that a pod names itself, without a claim. */
interface Disk {
  readonly id: string;
  readonly readOnly: boolean;
  /** Pods that only read it may share it. */
  readonly shared: boolean;
}

const restrictions = new StateKey<Restrictions>("VolumeRestrictions");

/** One pod for a ReadWriteOncePod claim, and one writer for a disk on a node. */
export const volumeRestrictions: Plugin = {
  name: "VolumeRestrictions",
  events: [
    ...claimEvents,
    on("Pod", ["deleted"], ({ pod }) => (pod.spec?.volumes ?? []).length > 0),
  ],
  preFilter(cycle) {
    const { pod } = cycle.pod;
    const disks = disksOf(pod);
    const found = { claimInUse: isClaimInUse(cycle), disks };
    cycle.write(restrictions, found);
    return { skip: !found.claimInUse && disks.length === 0 };
  },
  filter(cycle, node) {
    const { claimInUse: taken, disks } = cycle.read(restrictions);
    if (taken) return claimInUse;
    if (disks.length === 0) return undefined;
    for (const { pod } of node.pods.values()) {
      const used = disksOf(pod);
      if (disks.some((disk) => used.some((other) => conflicts(disk, other)))) return diskConflict;
    }
    return undefined;
  },
};

function isClaimInUse({ pod, snapshot }: Cycle): boolean {
  const single = new Set(
    claimsOf(pod.pod, snapshot.volumes)
      .filter(({ spec }) => spec?.accessModes?.includes("ReadWriteOncePod"))
      .map(({ metadata }) => metadata?.name ?? ""),
  );
  if (single.size === 0) return false;
  const { namespace } = pod.pod.metadata ?? {};
  return snapshot.nodes.some((node) =>
    [...node.pods.values()].some(
      (other) =>
        other.pod.metadata?.namespace === namespace &&
        claimNames(other.pod).some((name) => single.has(name)),
    ),
  );
}

function conflicts(one: Disk, other: Disk): boolean {
  if (one.id !== other.id) return false;
  return !(one.shared && one.readOnly && other.readOnly);
}

function disksOf({ spec }: Pod): readonly Disk[] {
  const volumes = spec?.volumes ?? [];
  return volumes.flatMap((volume) => diskOf(volume) ?? []);
}

function diskOf({ gcePersistentDisk, awsElasticBlockStore, iscsi, rbd }: Volume): Disk | undefined {
  if (gcePersistentDisk) {
    const { pdName, readOnly = false } = gcePersistentDisk;
    return { id: `gce ${pdName}`, readOnly, shared: true };
  }
  if (awsElasticBlockStore) {
    return { id: `aws ${awsElasticBlockStore.volumeID}`, readOnly: false, shared: false };
  }
  if (iscsi) return { id: `iscsi ${iscsi.iqn}`, readOnly: iscsi.readOnly ?? false, shared: true };
  if (rbd === undefined) return undefined;
  const { pool, image, monitors = [], readOnly = false } = rbd;
  return { id: `rbd ${pool} ${image} ${[...monitors].sort().join()}`, readOnly, shared: true };
}
