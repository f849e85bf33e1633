import { claimProtection, volumeProtection } from "../../kinds/mod.ts";
import type { AdmissionPlugin } from "./chain.ts";

const finalizers: Readonly<Record<string, string>> = {
  persistentvolumeclaims: claimProtection,
  persistentvolumes: volumeProtection,
};

/**
 * New claims and volumes are kept while they are in use (upstream's
 * StorageObjectInUseProtection); controllers take the finalizers away.
 */
export function storageProtection(): AdmissionPlugin {
  return {
    name: "storage-object-in-use-protection",
    resources: Object.keys(finalizers),
    operations: ["create"],
    mutate({ resource, subresource, document }) {
      const finalizer = finalizers[resource.plural];
      if (subresource !== "" || document === undefined || finalizer === undefined) return;
      const present = document.metadata?.finalizers ?? [];
      if (present.includes(finalizer)) return;
      document.metadata = { ...document.metadata, finalizers: [...present, finalizer] };
    },
  };
}
