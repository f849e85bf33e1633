import type {
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Volume,
} from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import {
  bytes,
  claimNameOf,
  isBoundClaim,
  isKeptForClaim,
  isVolumeReachedFrom,
  notOfPod,
  selectedNode,
  volumeClassOf,
  volumeForClaim,
} from "../../kinds/facts.ts";
import {
  type Cycle,
  on,
  type Plugin,
  type Refusal,
  refuseForGood,
  StateKey,
} from "../framework/mod.ts";
import type { VolumeLookup } from "../volume-lookup.ts";
import { claimEvents } from "./pod-claims.ts";

const gone = refuseForGood(
  "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
);
const elsewhere = refuseForGood("node(s) had volume node affinity conflict");
const noneFree = refuseForGood("node(s) didn't find available persistent volumes to bind");
const unbound = "pod has unbound immediate PersistentVolumeClaims";

/** A claim that waits for its first pod. */
interface Delayed {
  readonly claim: PersistentVolumeClaim;
  readonly storageClass: StorageClass;
}

interface PodVolumes {
  /** Undefined: the claim is bound to a volume that does not exist. */
  readonly bound: readonly (PersistentVolume | undefined)[];
  readonly delayed: readonly Delayed[];
  /** Volumes that one of the delayed claims may get, on whatever node they are. */
  readonly free: readonly PersistentVolume[];
}

const podVolumes = new StateKey<PodVolumes>("VolumeBinding");

/** What a delayed claim is to be bound to on a node: a free volume, or one yet to be made. */
export interface BindingChoice {
  readonly claim: PersistentVolumeClaim;
  readonly volume: PersistentVolume | undefined;
}

/** Volumes must be reachable from the node, and free ones must be there for waiting claims. */
export const volumeBinding: Plugin = {
  name: "VolumeBinding",
  events: [...claimEvents, on("StorageClass", ["added", "updated"])],
  preFilter(cycle) {
    const { pod } = cycle.pod;
    const claimed = (pod.spec?.volumes ?? []).filter((one) => claimNameOf(pod, one) !== undefined);
    const found = claimed.length === 0 ? nothing : sortClaims(cycle, claimed);
    if ("reasons" in found) return { refusal: found };
    cycle.write(podVolumes, found);
    return { skip: claimed.length === 0 };
  },
  filter(cycle, { node }) {
    const { bound, delayed, free } = cycle.read(podVolumes);
    if (!node || bound.includes(undefined)) return gone;
    if (bound.some((volume) => volume && !isVolumeReachedFrom(volume, node))) return elsewhere;
    return choose(delayed, free, node) ? undefined : noneFree;
  },

  preScore(cycle) {
    return (cycle.find(podVolumes)?.free.length ?? 0) === 0 ? "skip" : undefined;
  },
  score: {
    weight: 1,
    /** Where the claims find volumes of a size that fits them, the data stays near. */
    points(cycle, { node }) {
      const { delayed, free } = cycle.read(podVolumes);
      const choices = node && choose(delayed, free, node);
      if (!choices || choices.length === 0) return 0;
      const used = choices.reduce((sum, choice) => sum + shareUsed(choice), 0);
      return (100 * used) / choices.length;
    },
  },
};

/** Of the volume, by the claim; 0: the volume is yet to be made. */
function shareUsed({ claim, volume }: BindingChoice): number {
  if (volume === undefined) return 0;
  const wanted = bytes(claim.spec?.resources?.requests?.["storage"]);
  const size = bytes(volume.spec?.capacity?.["storage"]);
  return size > 0 ? Math.min(1, wanted / size) : 0;
}

const nothing: PodVolumes = { bound: [], delayed: [], free: [] };

function sortClaims(
  { pod: { pod }, snapshot }: Cycle,
  claimed: readonly Volume[],
): PodVolumes | Refusal {
  const { volumes } = snapshot;
  const bound: (PersistentVolume | undefined)[] = [];
  const delayed: Delayed[] = [];
  let waits = false;
  for (const volume of claimed) {
    const name = claimNameOf(pod, volume) ?? "";
    const claim = volumes.claim(name, pod.metadata?.namespace);
    const about = `persistentvolumeclaim ${JSON.stringify(name)}`;
    if (claim === undefined) {
      const wait = `waiting for ephemeral volume controller to create the ${about}`;
      return refuseForGood(volume.ephemeral === undefined ? `${about} not found` : wait);
    }
    if (claim.metadata?.deletionTimestamp) return refuseForGood(`${about} is being deleted`);
    const { volumeName = "" } = claim.spec ?? {};
    if (claim.status?.phase === "Lost") {
      const volume = `persistentvolume ${JSON.stringify(volumeName)}`;
      return refuseForGood(`${about} bound to non-existent ${volume}`);
    }
    const foreign = volume.ephemeral && notOfPod(claim, pod);
    if (foreign !== undefined) return refuseForGood(foreign);
    if (isBoundClaim(claim)) {
      bound.push(volumes.volume(volumeName));
      continue;
    }
    const storageClass = volumes.storageClass(volumeClassOf(claim));
    if (volumeName === "" && storageClass?.volumeBindingMode === "WaitForFirstConsumer") {
      delayed.push({ claim, storageClass });
    } else waits = true;
  }
  if (waits) return refuseForGood(unbound);
  return { bound, delayed, free: delayed.length === 0 ? [] : freeVolumes(delayed, volumes) };
}

function freeVolumes(
  delayed: readonly Delayed[],
  lookup: VolumeLookup,
): readonly PersistentVolume[] {
  const classes = new Set(delayed.map(({ claim }) => volumeClassOf(claim)));
  return lookup.volumes().filter((volume) => {
    if (delayed.some(({ claim }) => isKeptForClaim(volume, claim))) return true;
    return !volume.spec?.claimRef && classes.has(volumeClassOf(volume));
  });
}

/** For each delayed claim; undefined: the node cannot have them all. No volume is given twice. */
function choose(
  delayed: readonly Delayed[],
  volumes: readonly PersistentVolume[],
  node: Node,
): readonly BindingChoice[] | undefined {
  if (delayed.length === 0) return [];
  const reached = volumes.filter((volume) => isVolumeReachedFrom(volume, node));
  const choices: BindingChoice[] = [];
  for (const { claim, storageClass } of delayed) {
    const chosenNode = claim.metadata?.annotations?.[selectedNode];
    if (chosenNode !== undefined && chosenNode !== node.metadata?.name) return undefined;
    const taken = new Set(choices.map(({ volume }) => volume?.metadata?.name));
    const free = reached.filter(({ metadata }) => !taken.has(metadata?.name));
    const volume = volumeForClaim(claim, free, false);
    if (volume === undefined && !canBeMade(storageClass, node)) return undefined;
    choices.push({ claim, volume });
  }
  return choices;
}

/** What the claims get on the node as things are now. */
export function bindingChoices(cycle: Cycle, node: Node): readonly BindingChoice[] | undefined {
  const { delayed } = cycle.read(podVolumes);
  // A volume may have been taken since the node was chosen.
  return choose(delayed, freeVolumes(delayed, cycle.snapshot.volumes), node);
}

function canBeMade({ provisioner, allowedTopologies = [] }: StorageClass, node: Node): boolean {
  if (!provisioner || provisioner === "kubernetes.io/no-provisioner") return false;
  if (allowedTopologies.length === 0) return true;
  const labels = node.metadata?.labels ?? {};
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key = "", values = [] }) => values.includes(labels[key] ?? "")),
  );
}
