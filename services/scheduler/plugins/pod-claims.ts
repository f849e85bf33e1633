/** The claims of a pod and their volumes, for the plugins that look at them. */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "../../../proto/gen/core.ts";
import { claimNamesOf, isBoundClaim } from "../../kinds/facts.ts";
import { type EventRegistration, on } from "../framework/mod.ts";
import type { PodInfo } from "../pod-info.ts";
import type { VolumeLookup } from "../volume-lookup.ts";

/** Those that exist. */
export function claimsOf(pod: Pod, lookup: VolumeLookup): readonly PersistentVolumeClaim[] {
  const { namespace } = pod.metadata ?? {};
  return claimNamesOf(pod).flatMap((name) => lookup.claim(name, namespace) ?? []);
}

/** The volumes of those claims that are bound, where they exist. */
export function volumesOf(pod: Pod, lookup: VolumeLookup): readonly PersistentVolume[] {
  return claimsOf(pod, lookup)
    .filter(isBoundClaim)
    .flatMap(({ spec }) => lookup.volume(spec?.volumeName ?? "") ?? []);
}

const hasClaims = ({ pod }: PodInfo) => claimNamesOf(pod).length > 0;

/** What may help a pod that was refused for its claims or their volumes. */
export const claimEvents: readonly EventRegistration[] = [
  on("PersistentVolumeClaim", ["added", "updated"], ({ pod }, { next }) => {
    const { name = "", namespace } = next?.metadata ?? {};
    return namespace === pod.metadata?.namespace && claimNamesOf(pod).includes(name);
  }),
  on("PersistentVolume", ["added", "updated"], hasClaims),
  on("Node", ["added", "updated"], hasClaims),
];
