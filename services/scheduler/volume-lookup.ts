/** What plugins ask about the volumes of pods; answers come from caches at once. */
import type { PersistentVolume, PersistentVolumeClaim } from "../../proto/gen/core.ts";
import type { CSINode, StorageClass } from "../../proto/gen/storage.ts";
import type { InformerFactory } from "../client/mod.ts";

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

export function volumeLookup(informers: InformerFactory): VolumeLookup {
  const claims = informers.informer("PersistentVolumeClaim").lister;
  const volumes = informers.informer("PersistentVolume").lister;
  const classes = informers.informer("StorageClass").lister;
  const nodes = informers.informer("CSINode").lister;
  return {
    claim: (name, namespace) => claims.get(name, namespace),
    volume: (name) => volumes.get(name),
    volumes: () => volumes.list(),
    storageClass: (name) => classes.get(name),
    csiNode: (name) => nodes.get(name),
  };
}
