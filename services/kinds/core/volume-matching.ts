/** Which volume suits a claim (upstream `component-helpers/storage/volume`). Pure. */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "../../../proto/gen/core.ts";
import { selectorOf } from "../machinery/label-selector.ts";
import { compareQuantities, parseQuantity } from "../machinery/quantity.ts";
import { matchesLabels } from "../machinery/selectors.ts";
import { matchesTerm } from "./pod/node-selection.ts";

/** On a claim: its binding is complete. */
export const bindCompleted = "pv.kubernetes.io/bind-completed";
/** On a claim or a volume: a controller has chosen the other, no person. */
export const boundByController = "pv.kubernetes.io/bound-by-controller";
/** On a claim that waits for its first pod: where that pod is going to be. */
export const selectedNode = "volume.kubernetes.io/selected-node";
const classAnnotation = "volume.beta.kubernetes.io/storage-class";

/** Empty: no class. */
export function volumeClassOf({
  metadata,
  spec,
}: PersistentVolume | PersistentVolumeClaim): string {
  return metadata?.annotations?.[classAnnotation] ?? spec?.storageClassName ?? "";
}

/** The volume is kept for this claim, and for no later one of its name. */
export function isKeptForClaim(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { name, namespace, uid } = volume.spec?.claimRef ?? {};
  if (name !== claim.metadata?.name || namespace !== claim.metadata?.namespace) return false;
  return !uid || uid === claim.metadata?.uid;
}

/**
 * The volume kept for the claim, or else, of those that are available and suit, the one with the
 * fewest access modes; of these the smallest. `delayed`: the scheduler chooses among those that are
 * free.
 */
export function volumeForClaim(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  delayed: boolean,
): PersistentVolume | undefined {
  const usable = volumes.filter(
    (volume) =>
      !volume.metadata?.deletionTimestamp &&
      volumeModeOf(claim) === volumeModeOf(volume) &&
      hasAccessModes(claim, volume) &&
      isLargeEnough(claim, volume),
  );
  const kept = usable.find((volume) => isKeptForClaim(volume, claim));
  if (kept || delayed) return kept;
  const selector = selectorOf(claim.spec?.selector ?? {});
  return usable
    .filter(
      ({ spec, status, metadata }) =>
        !spec?.claimRef &&
        status?.phase === "Available" &&
        matchesLabels(selector, metadata?.labels),
    )
    .filter((volume) => volumeClassOf(volume) === volumeClassOf(claim))
    .sort((a, b) => modesOf(a) - modesOf(b) || compareQuantities(capacityOf(a), capacityOf(b)))[0];
}

function modesOf({ spec }: PersistentVolume): number {
  return new Set(spec?.accessModes).size;
}

/** Why a volume that a claim names cannot be its volume, in upstream's words. */
export function volumeMismatch(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
): string | undefined {
  if (!isLargeEnough(claim, volume)) return "requested PV is too small";
  if (volumeClassOf(claim) !== volumeClassOf(volume)) return "storageClassName does not match";
  if (volumeModeOf(claim) !== volumeModeOf(volume)) return "incompatible volumeMode";
  return hasAccessModes(claim, volume) ? undefined : "incompatible accessMode";
}

export function volumeModeOf({ spec }: PersistentVolume | PersistentVolumeClaim): string {
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

/** The claim has a volume, and both know it. */
export function isBoundClaim({ metadata, spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec?.volumeName) && metadata?.annotations?.[bindCompleted] !== undefined;
}

/** Whether pods on the node can use the volume. */
export function isVolumeReachedFrom({ spec }: PersistentVolume, node: Node): boolean {
  const { required } = spec?.nodeAffinity ?? {};
  if (required === undefined) return true;
  return (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}
