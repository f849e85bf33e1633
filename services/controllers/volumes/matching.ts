/** Which volume suits a claim (upstream `pkg/controller/volume/persistentvolume`). Pure. */
import type { PersistentVolume, PersistentVolumeClaim } from "../../../proto/gen/core.ts";
import { compareQuantities, matchesLabels, parseQuantity, selectorOf } from "../../kinds/mod.ts";

const classAnnotation = "volume.beta.kubernetes.io/storage-class";

/** Empty: no class. */
export function classOf({ metadata, spec }: PersistentVolume | PersistentVolumeClaim): string {
  return metadata?.annotations?.[classAnnotation] ?? spec?.storageClassName ?? "";
}

/** The volume is kept for this claim, and for no later one of its name. */
export function isKeptFor(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { name, namespace, uid } = volume.spec?.claimRef ?? {};
  if (name !== claim.metadata?.name || namespace !== claim.metadata?.namespace) return false;
  return !uid || uid === claim.metadata?.uid;
}

/** The volume kept for the claim, or else the smallest that is free and suits. */
export function volumeFor(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
): PersistentVolume | undefined {
  const suiting = volumes.filter((volume) => suits(claim, volume));
  const kept = suiting.find((volume) => volume.spec?.claimRef && isKeptFor(volume, claim));
  if (kept) return kept;
  const selector = selectorOf(claim.spec?.selector ?? {});
  return suiting
    .filter(({ spec, metadata }) => !spec?.claimRef && matchesLabels(selector, metadata?.labels))
    .sort((a, b) => compareQuantities(capacityOf(a), capacityOf(b)))[0];
}

function suits(claim: PersistentVolumeClaim, volume: PersistentVolume): boolean {
  if (volume.metadata?.deletionTimestamp || classOf(claim) !== classOf(volume)) return false;
  if ((claim.spec?.volumeMode ?? "Filesystem") !== (volume.spec?.volumeMode ?? "Filesystem")) {
    return false;
  }
  const offered = volume.spec?.accessModes ?? [];
  if (!(claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode))) return false;
  const wanted = parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0");
  return wanted !== undefined && compareQuantities(capacityOf(volume), wanted) >= 0;
}

const nothing = parseQuantity("0");

function capacityOf({ spec }: PersistentVolume) {
  const capacity = parseQuantity(spec?.capacity?.["storage"] ?? "0") ?? nothing;
  if (capacity === undefined) throw new Error("0 is a quantity");
  return capacity;
}
