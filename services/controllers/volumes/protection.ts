/**
 * Claims that pods use and volumes that claims have outlive their deletion (upstream
 * `pkg/controller/volume/pvcprotection` and `pvprotection`): a finalizer keeps them until then.
 */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "../../../proto/gen/core.ts";
import type { ObjectMeta } from "../../../proto/gen/meta.ts";
import { isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import {
  claimNameOf,
  claimNamesOf,
  claimProtection,
  isFinished,
  notOfPod,
  volumeProtection,
} from "../../kinds/facts.ts";
import type { Controller } from "../types.ts";

/** What becomes of the finalizer; undefined: it stays as it is. */
export function planProtection(
  metadata: ObjectMeta | undefined,
  finalizer: string,
  inUse: () => boolean,
): "add" | "remove" | undefined {
  const there = metadata?.finalizers?.includes(finalizer) ?? false;
  if (!metadata?.deletionTimestamp) return there ? undefined : "add";
  return there && !inUse() ? "remove" : undefined;
}

/** A pod counts from the time when its node may mount the claim, until it is gone. */
export function usesClaim(pod: Pod, claim: PersistentVolumeClaim): boolean {
  const { metadata, spec } = pod;
  if (!spec?.nodeName || metadata?.namespace !== claim.metadata?.namespace) return false;
  const name = claim.metadata?.name;
  return (spec.volumes ?? []).some((volume) => {
    if (claimNameOf(pod, volume) !== name) return false;
    return volume.ephemeral === undefined || notOfPod(claim, pod) === undefined;
  });
}

function changed<T extends { metadata?: ObjectMeta | undefined }>(
  object: T,
  finalizer: string,
  step: "add" | "remove",
): T {
  const others = (object.metadata?.finalizers ?? []).filter((each) => each !== finalizer);
  const finalizers = step === "add" ? [...others, finalizer] : others;
  return { ...object, metadata: { ...object.metadata, finalizers } };
}

export function claimProtectionController(workers: number): Controller {
  return {
    name: "persistentvolumeclaim-protection",
    informers: ["PersistentVolumeClaim", "Pod"],
    workers,
    start({ client, informer, on, queue, write }) {
      const claims = informer("PersistentVolumeClaim").lister;
      const see = (claim: PersistentVolumeClaim) => queue.add(keyOf(claim));
      on("PersistentVolumeClaim", { added: see, updated: (_, claim) => see(claim) });
      const freed = (pod: Pod) => {
        for (const name of claimNamesOf(pod)) queue.add(`${pod.metadata?.namespace}/${name}`);
      };
      on("Pod", {
        updated: (_, pod) => {
          if (isFinished(pod)) freed(pod);
        },
        deleted: freed,
      });
      return async (key) => {
        const { name, namespace } = splitKey(key);
        const claim = claims.get(name, namespace);
        if (!claim) return;
        const usedBy = (pods: readonly Pod[]) => pods.some((pod) => usesClaim(pod, claim));
        const cached = informer("Pod").lister.list(namespace);
        const step = planProtection(claim.metadata, claimProtection, () => usedBy(cached));
        if (step === undefined) return;
        // The API may know a pod that the cache has not seen yet.
        if (step === "remove" && usedBy((await client.pods.list({ namespace })).items)) return;
        try {
          await client.persistentVolumeClaims.update(changed(claim, claimProtection, step), write);
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      };
    },
  };
}

export function volumeProtectionController(workers: number): Controller {
  return {
    name: "persistentvolume-protection",
    informers: ["PersistentVolume"],
    workers,
    start({ client, informer, on, queue, write }) {
      const see = (volume: PersistentVolume) => queue.add(keyOf(volume));
      on("PersistentVolume", { added: see, updated: (_, volume) => see(volume) });
      return async (name) => {
        const volume = informer("PersistentVolume").lister.get(name);
        if (!volume) return;
        const bound = () => volume.status?.phase === "Bound";
        const step = planProtection(volume.metadata, volumeProtection, bound);
        if (step === undefined) return;
        try {
          await client.persistentVolumes.update(changed(volume, volumeProtection, step), write);
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      };
    },
  };
}
