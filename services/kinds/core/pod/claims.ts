/** The claims behind a pod's volumes (upstream `component-helpers/storage/ephemeral`). */
import type { PersistentVolumeClaim, Pod, Volume } from "../../../../proto/gen/core.ts";

/** The claim of an ephemeral volume is named after pod and volume. Undefined: the volume has none. */
export function claimNameOf({ metadata }: Pod, volume: Volume): string | undefined {
  if (volume.ephemeral !== undefined) return `${metadata?.name}-${volume.name}`;
  return volume.persistentVolumeClaim?.claimName || undefined;
}

export function claimNamesOf(pod: Pod): readonly string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => claimNameOf(pod, volume) ?? []);
}

/** Why a claim that has the name of a pod's ephemeral volume is not its claim. */
export function notOfPod(claim: PersistentVolumeClaim, pod: Pod): string | undefined {
  const owner = claim.metadata?.ownerReferences?.find(({ controller }) => controller);
  if (owner !== undefined && owner.uid === pod.metadata?.uid) return undefined;
  const [of, at] = [claim, pod].map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
  return `PVC ${of} was not created for pod ${at} (pod is not owner)`;
}
