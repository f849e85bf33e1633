/**
 * The next step of a claim and of a volume (upstream `pkg/controller/volume/persistentvolume`). Pure.
 *
 *   claim    Pending ──bind──▶ Bound ──its volume goes──▶ Lost
 *   volume   Available ──bind──▶ Bound ──its claim goes──▶ Released ──reclaim──▶ gone, or Failed
 */
import type { PersistentVolume, PersistentVolumeClaim } from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import {
  bindCompleted,
  boundByController,
  isKeptForClaim,
  selectedNode,
  volumeClassOf,
  volumeForClaim,
  volumeMismatch,
  volumeModeOf,
} from "../../kinds/facts.ts";
import { provisionedBy, provisionerName } from "./host-path.ts";

export interface Told {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

const told = (type: Told["type"], reason: string, message: string): Told => ({
  type,
  reason,
  message,
});

export type ClaimStep =
  | { readonly kind: "bind"; readonly volume: PersistentVolume }
  | { readonly kind: "pending"; readonly event?: Told }
  | { readonly kind: "lost"; readonly event: Told }
  | { readonly kind: "provision"; readonly storageClass: StorageClass; readonly node?: string }
  /** An external provisioner makes the volume, once the claim names it. */
  | { readonly kind: "external"; readonly provisioner: string; readonly event: Told };

export interface ClaimWorld {
  /** Volumes that may be given to this claim. */
  readonly volumes: readonly PersistentVolume[];
  /** Of any name. */
  volume(name: string): PersistentVolume | undefined;
  storageClass(name: string): StorageClass | undefined;
  /** The name of a pod that needs the claim and has no node yet. */
  readonly waitingPod?: string | undefined;
}

export function planClaim(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep {
  if (claim.metadata?.annotations?.[bindCompleted] !== undefined) return planBound(claim, world);
  return claim.spec?.volumeName ? planNamed(claim, world) : planUnbound(claim, world);
}

function planBound(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep {
  const { volumeName } = claim.spec ?? {};
  const lost = (message: string, reason = "ClaimLost"): ClaimStep => ({
    kind: "lost",
    event: told("Warning", reason, message),
  });
  if (!volumeName) {
    return lost("Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const volume = world.volume(volumeName);
  if (!volume)
    return lost("Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  const { claimRef } = volume.spec ?? {};
  if (!claimRef || claimRef.uid === claim.metadata?.uid || isKeptForClaim(volume, claim)) {
    return { kind: "bind", volume };
  }
  const text = "Two claims are bound to the same volume, this one is bound incorrectly";
  return lost(text, "ClaimMisbound");
}

/** Its author has named the volume. */
function planNamed(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep {
  const name = claim.spec?.volumeName ?? "";
  const volume = world.volume(name);
  if (!volume) return { kind: "pending" };
  const quoted = JSON.stringify(name);
  if (!volume.spec?.claimRef) {
    const problem = volumeMismatch(claim, volume);
    if (problem === undefined) return { kind: "bind", volume };
    const text = `Cannot bind to requested volume ${quoted}: ${problem}`;
    return { kind: "pending", event: told("Warning", "VolumeMismatch", text) };
  }
  if (isKeptForClaim(volume, claim)) return { kind: "bind", volume };
  const text = `volume ${quoted} already bound to a different claim.`;
  return { kind: "pending", event: told("Warning", "FailedBinding", text) };
}

function planUnbound(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep {
  const className = volumeClassOf(claim);
  const storageClass = className === "" ? undefined : world.storageClass(className);
  const delayed = storageClass?.volumeBindingMode === "WaitForFirstConsumer";
  const node = claim.metadata?.annotations?.[selectedNode];
  const volume = volumeForClaim(claim, world.volumes, delayed);
  if (volume) return { kind: "bind", volume };
  const pending = (type: Told["type"], reason: string, text: string): ClaimStep => ({
    kind: "pending",
    event: told(type, reason, text),
  });
  if (delayed && node === undefined) {
    const { waitingPod } = world;
    if (waitingPod === undefined) {
      const text = "waiting for first consumer to be created before binding";
      return pending("Normal", "WaitForFirstConsumer", text);
    }
    const text = `waiting for pod ${waitingPod} to be scheduled`;
    return pending("Normal", "WaitForPodScheduled", text);
  }
  if (className === "") {
    const text = "no persistent volumes available for this claim and no storage class is set";
    return pending("Normal", "FailedBinding", text);
  }
  if (!storageClass) {
    const text = `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`;
    return pending("Warning", "ProvisioningFailed", text);
  }
  return planProvision(claim, storageClass, node);
}

function planProvision(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: string | undefined,
): ClaimStep {
  const { provisioner = "" } = storageClass;
  if (provisioner === "kubernetes.io/no-provisioner") {
    const text = "no persistent volumes available for this claim";
    return { kind: "pending", event: told("Normal", "FailedBinding", text) };
  }
  if (provisioner !== provisionerName) {
    const text =
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or ` +
      "manually by the system administrator. If volume creation is delayed, please verify that " +
      "the provisioner is running and correctly registered.";
    return { kind: "external", provisioner, event: told("Normal", "ExternalProvisioning", text) };
  }
  if (claim.spec?.volumeMode !== "Block" && !claim.spec?.selector) {
    return { kind: "provision", storageClass, ...(node !== undefined && { node }) };
  }
  const what = claim.spec.selector ? "selector" : "volumeMode Block";
  const text = `spec: ${provisionerName} makes directories, it supports no ${what}`;
  return { kind: "pending", event: told("Warning", "ProvisioningFailed", text) };
}

export type VolumeStep =
  | { readonly kind: "nothing" }
  | { readonly kind: "phase"; readonly phase: "Available" | "Bound" }
  /** Its claim binds it, or finds out why it cannot. */
  | { readonly kind: "claim"; readonly event?: Told }
  /** The reference to the claim goes, or only its uid where a person has written the reference. */
  | { readonly kind: "unbind"; readonly whole: boolean }
  | { readonly kind: "release"; readonly reclaim: Reclaim };

/** What is done with a volume whose claim is gone. */
export type Reclaim =
  | { readonly kind: "keep" }
  | { readonly kind: "delete" }
  | { readonly kind: "fail"; readonly event: Told };

/** `claim`: the one of the name and uid that the volume refers to, if it exists. */
export function planVolume(
  volume: PersistentVolume,
  claim: PersistentVolumeClaim | undefined,
): VolumeStep {
  const { claimRef } = volume.spec ?? {};
  // Kept for a claim that is not there yet, it is available all the same.
  if (!claimRef?.uid) return { kind: "phase", phase: "Available" };
  if (claim === undefined) return { kind: "release", reclaim: reclaimOf(volume) };
  if (!claim.spec?.volumeName) {
    if (volumeModeOf(claim) === volumeModeOf(volume)) return { kind: "claim" };
    const text =
      `Cannot bind PersistentVolume to requested PersistentVolumeClaim ` +
      `${JSON.stringify(claim.metadata?.name)} due to incompatible volumeMode.`;
    return { kind: "claim", event: told("Warning", "VolumeMismatch", text) };
  }
  if (claim.spec.volumeName === volume.metadata?.name) return { kind: "phase", phase: "Bound" };
  // The claim has another volume.
  const { annotations } = volume.metadata ?? {};
  const made = annotations?.[provisionedBy] !== undefined;
  if (made && volume.spec?.persistentVolumeReclaimPolicy === "Delete") {
    return { kind: "release", reclaim: reclaimOf(volume) };
  }
  return { kind: "unbind", whole: annotations?.[boundByController] !== undefined };
}

/** Deletes what was made here; an external provisioner deletes what it has made. */
function reclaimOf({ metadata, spec }: PersistentVolume): Reclaim {
  switch (spec?.persistentVolumeReclaimPolicy) {
    case "Delete": {
      const maker = metadata?.annotations?.[provisionedBy];
      if (maker === provisionerName) return { kind: "delete" };
      if (maker !== undefined) return { kind: "keep" };
      const text =
        `error getting deleter volume plugin for volume ${JSON.stringify(metadata?.name)}: ` +
        "no deletable volume plugin matched";
      return { kind: "fail", event: told("Warning", "VolumeFailedDelete", text) };
    }
    case "Recycle": {
      const text = "No recycler plugin found for the volume!";
      return { kind: "fail", event: told("Warning", "VolumeFailedRecycle", text) };
    }
    default:
      return { kind: "keep" };
  }
}
