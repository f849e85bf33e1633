/** Which volume suits a claim (upstream `component-helpers/storage/volume`). Pure. */
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

/**
 * The volume kept for the claim, or else the smallest that is available and suits. `delayed`: the
 * scheduler chooses among those that are free.
 */
export function volumeFor(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  delayed: boolean,
): PersistentVolume | undefined {
  const usable = volumes.filter(
    (volume) =>
      !volume.metadata?.deletionTimestamp &&
      modeOf(claim) === modeOf(volume) &&
      hasAccessModes(claim, volume) &&
      isLargeEnough(claim, volume),
  );
  const kept = usable.find((volume) => isKeptFor(volume, claim));
  if (kept || delayed) return kept;
  const selector = selectorOf(claim.spec?.selector ?? {});
  return usable
    .filter(
      ({ spec, status, metadata }) =>
        !spec?.claimRef &&
        status?.phase === "Available" &&
        matchesLabels(selector, metadata?.labels),
    )
    .filter((volume) => classOf(volume) === classOf(claim))
    .sort((a, b) => compareQuantities(capacityOf(a), capacityOf(b)))[0];
}

/** Why a volume that a claim names cannot be its volume, in upstream's words. */
export function mismatch(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
): string | undefined {
  if (!isLargeEnough(claim, volume)) return "requested PV is too small";
  if (classOf(claim) !== classOf(volume)) return "storageClassName does not match";
  if (modeOf(claim) !== modeOf(volume)) return "incompatible volumeMode";
  return hasAccessModes(claim, volume) ? undefined : "incompatible accessMode";
}

export function modeOf({ spec }: PersistentVolume | PersistentVolumeClaim): string {
  return spec?.volumeMode ?? "Filesystem";
}

function hasAccessModes(claim: PersistentVolumeClaim, volume: PersistentVolume): boolean {
  const offered = volume.spec?.accessModes ?? [];
  return (claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode));
}

function isLargeEnough(claim: PersistentVolumeClaim, volume: PersistentVolume): boolean {
  const wanted = parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0");
  return wanted !== undefined && compareQuantities(capacityOf(volume), wanted) >= 0;
}

const nothing = parseQuantity("0");

function capacityOf({ spec }: PersistentVolume) {
  const capacity = parseQuantity(spec?.capacity?.["storage"] ?? "0") ?? nothing;
  if (capacity === undefined) throw new Error("0 is a quantity");
  return capacity;
}
