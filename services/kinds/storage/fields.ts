/** What becomes of the fields of the group storage.k8s.io's kinds. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const driver = "drivers that run in the cluster as clients";
const status = "information that its owner writes and clients show";
const noDrivers = (what: string) =>
  warned("kind", `the kubelets of this cluster mount no volumes of CSI drivers, ${what}`);

export const storageFields: SupportTable = {
  "trireme.storage.v1.StorageClass": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the volume controller", "provisioner reclaimPolicy volumeBindingMode"),
    ...behaves(driver, "parameters mountOptions allowVolumeExpansion allowedTopologies"),
  },
  "trireme.storage.v1.TopologySelectorTerm": behaves(driver, "matchLabelExpressions"),
  "trireme.storage.v1.TopologySelectorLabelRequirement": behaves(driver, "key values"),

  "trireme.storage.v1.VolumeAttachment": {
    ...behaves(address, "apiVersion metadata"),
    ...noDrivers("only a driver of your own acts on the attachment"),
    ...behaves(driver, "spec status"),
  },
  "trireme.storage.v1.VolumeAttachmentSpec": behaves(driver, "attacher source nodeName"),
  "trireme.storage.v1.VolumeAttachmentSource": behaves(
    driver,
    "persistentVolumeName inlineVolumeSpec",
  ),
  "trireme.storage.v1.VolumeAttachmentStatus": behaves(
    status,
    "attached attachmentMetadata attachError detachError",
  ),
  "trireme.storage.v1.VolumeError": behaves(status, "time message errorCode"),

  "trireme.storage.v1.CSIDriver": {
    ...behaves(address, "apiVersion metadata"),
    ...noDrivers("the object has no effect"),
    ...behaves(driver, "spec"),
  },
  "trireme.storage.v1.CSIDriverSpec": behaves(
    driver,
    "attachRequired podInfoOnMount volumeLifecycleModes storageCapacity fsGroupPolicy " +
      "tokenRequests requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds",
  ),
  "trireme.storage.v1.TokenRequest": behaves(driver, "audience expirationSeconds"),

  "trireme.storage.v1.CSINode": {
    ...behaves(address, "apiVersion metadata"),
    ...noDrivers("the object has no effect"),
    ...behaves(driver, "spec"),
  },
  "trireme.storage.v1.CSINodeSpec": behaves(driver, "drivers"),
  "trireme.storage.v1.CSINodeDriver": behaves(driver, "name nodeID topologyKeys allocatable"),
  "trireme.storage.v1.VolumeNodeResources": behaves(driver, "count"),

  "trireme.storage.v1.VolumeAttributesClass": {
    ...behaves(address, "apiVersion metadata"),
    ...noDrivers("only a driver of your own applies the attributes"),
    ...behaves(driver, "driverName parameters"),
  },

  "trireme.storage.v1.CSIStorageCapacity": {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", "the scheduler does not mind the capacity of storage, it has no effect"),
    ...behaves(driver, "nodeTopology storageClassName capacity maximumVolumeSize"),
  },
};
