import { type Plugin, refuseForGood } from "../framework/mod.ts";

/**
 * Upstream's plugin of this name allocates the devices of a pod's claims. Here no kubelet prepares
 * devices, so a pod with claims waits, wherever its devices are, and is told why.
 */
export const dynamicResources: Plugin = {
  name: "DynamicResources",
  preFilter({ pod }) {
    const names = (pod.pod.spec?.resourceClaims ?? []).map(({ name = "" }) => name);
    if (names.length === 0) return { skip: true };
    const why = "devices are not allocated in this cluster, the pod waits with its resource claims";
    return { refusal: refuseForGood(`cannot allocate all claims: ${why} ${names.join(", ")}`) };
  },
};
