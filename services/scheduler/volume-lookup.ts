/** What plugins ask about the volumes of pods; answers come from caches at once. */
import type { PersistentVolume, PersistentVolumeClaim } from "../../proto/gen/core.ts";
import type { CSINode, StorageClass } from "../../proto/gen/storage.ts";
import type { KindName, Lister, ObjectTypes } from "../client/mod.ts";

/** The objects of a kind as they are known here. */
export type Listers = <K extends KindName>(kind: K) => Lister<ObjectTypes[K]>;

export interface VolumeLookup {
  claim(name: string, namespace: string | undefined): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  volumes(): readonly PersistentVolume[];
  storageClass(name: string): StorageClass | undefined;
  csiNode(name: string): CSINode | undefined;
}

/** Of a cluster without any. */
export const noVolumes: VolumeLookup = {
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  csiNode: () => undefined,
};

export function volumeLookup(listers: Listers): VolumeLookup {
  const claims = listers("PersistentVolumeClaim");
  const volumes = listers("PersistentVolume");
  const classes = listers("StorageClass");
  const nodes = listers("CSINode");
  return {
    claim: (name, namespace) => claims.get(name, namespace),
    volume: (name) => volumes.get(name),
    volumes: () => volumes.list(),
    storageClass: (name) => classes.get(name),
    csiNode: (name) => nodes.get(name),
  };
}
