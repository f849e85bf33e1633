import type { PersistentVolumeClaim } from "../../../proto/gen/core.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import { isDefaultStorageClass } from "../../kinds/mod.ts";
import type { AdmissionPlugin } from "./chain.ts";
import { newestFirst } from "./newest-first.ts";

/** The annotation by which claims named their class before there was a field. */
const classAnnotation = "volume.beta.kubernetes.io/storage-class";

/**
 * A new claim that names no class gets the default one (upstream's DefaultStorageClass); of several,
 * the one that was made last.
 */
export function defaultStorageClass(classes: () => Iterable<StorageClass>): AdmissionPlugin {
  return {
    name: "default-storage-class",
    resources: ["persistentvolumeclaims"],
    operations: ["create"],
    mutate({ document }) {
      const claim = document as PersistentVolumeClaim;
      if (claim.spec?.storageClassName !== undefined) return;
      if (claim.metadata?.annotations?.[classAnnotation] !== undefined) return;
      const [first] = [...classes()].filter(isDefaultStorageClass).sort(newestFirst);
      const name = first?.metadata?.name;
      if (name !== undefined) claim.spec = { ...claim.spec, storageClassName: name };
    },
  };
}
