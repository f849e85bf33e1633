/** What becomes of the fields of persistent volumes' sources: the volume plugins read them. */
import { messages } from "../../../proto/gen/schema.ts";
import { behaves, type SupportTable } from "../machinery/field-support.ts";

/** The messages, by their names in the contract. */
const sources = [
  "GCEPersistentDiskVolumeSource",
  "AWSElasticBlockStoreVolumeSource",
  "GlusterfsPersistentVolumeSource",
  "NFSVolumeSource",
  "RBDPersistentVolumeSource",
  "ISCSIPersistentVolumeSource",
  "CinderPersistentVolumeSource",
  "CephFSPersistentVolumeSource",
  "FCVolumeSource",
  "FlockerVolumeSource",
  "FlexPersistentVolumeSource",
  "AzureFilePersistentVolumeSource",
  "VsphereVirtualDiskVolumeSource",
  "QuobyteVolumeSource",
  "AzureDiskVolumeSource",
  "PhotonPersistentDiskVolumeSource",
  "PortworxVolumeSource",
  "ScaleIOPersistentVolumeSource",
  "LocalVolumeSource",
  "StorageOSPersistentVolumeSource",
  "CSIPersistentVolumeSource",
  "SecretReference",
];

export function volumeSourceFields(): SupportTable {
  return Object.fromEntries(
    sources.map((source) => {
      const message = `trireme.core.v1.${source}`;
      const fields = Object.keys(messages[message]?.fields ?? {}).join(" ");
      return [message, behaves("the volume plugins", fields)];
    }),
  );
}
