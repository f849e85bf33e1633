import type { Pod, Volume } from "../../../proto/gen/core.ts";
import { claimNamesOf } from "../../kinds/facts.ts";
import { type Cycle, on, type Plugin, refuse, StateKey } from "../framework/mod.ts";
import type { PodInfo } from "../pod-info.ts";
import { claimEvents, claimsOf } from "./pod-claims.ts";

const diskConflict = refuse("node(s) had no available disk");
const claimInUse = refuse(
  "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already " +
    "in-use by another pod",
);

interface Restrictions {
  /** Claims of the pod that only a single pod may have. */
  readonly single: ReadonlySet<string>;
  /** Pods that have one of these. */
  users: number;
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
    const found = { ...singleClaims(cycle), disks };
    cycle.write(restrictions, found);
    return { skip: found.users === 0 && disks.length === 0 };
  },
  podAdded: (cycle, other) => move(cycle, other, 1),
  podRemoved: (cycle, other) => move(cycle, other, -1),
  filter(cycle, node) {
    const { users, disks } = cycle.read(restrictions);
    if (users > 0) return claimInUse;
    if (disks.length === 0) return undefined;
    for (const { pod } of node.pods.values()) {
      const used = disksOf(pod);
      if (disks.some((disk) => used.some((other) => conflicts(disk, other)))) return diskConflict;
    }
    return undefined;
  },
};

function singleClaims({ pod, snapshot }: Cycle): Pick<Restrictions, "single" | "users"> {
  const single = new Set(
    claimsOf(pod.pod, snapshot.volumes)
      .filter(({ spec }) => spec?.accessModes?.includes("ReadWriteOncePod"))
      .map(({ metadata }) => metadata?.name ?? ""),
  );
  let users = 0;
  for (const node of single.size === 0 ? [] : snapshot.nodes) {
    for (const other of node.pods.values()) if (uses(other, pod, single)) users++;
  }
  return { single, users };
}

function uses(other: PodInfo, { namespace }: PodInfo, single: ReadonlySet<string>): boolean {
  return other.namespace === namespace && claimNamesOf(other.pod).some((name) => single.has(name));
}

function move(cycle: Cycle, other: PodInfo, sign: 1 | -1): void {
  const found = cycle.read(restrictions);
  if (uses(other, cycle.pod, found.single)) found.users += sign;
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
