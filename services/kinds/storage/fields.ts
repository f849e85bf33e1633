/** What becomes of the fields of the group storage.k8s.io's kinds. */
import {
  behaves,
  oneOfValues,
  pending,
  type SupportTable,
  warned,
} from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const driver = "drivers that run in the cluster as clients";
const status = "information that its owner writes and clients show";
const kubelet = "the kubelet";
const attaching = "the attach and detach controller";

export const storageFields: SupportTable = {
  "trireme.storage.v1.StorageClass": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the volume controller", "provisioner reclaimPolicy volumeBindingMode"),
    ...behaves(driver, "parameters mountOptions allowVolumeExpansion allowedTopologies"),
  },
  "trireme.storage.v1.TopologySelectorTerm": behaves(driver, "matchLabelExpressions"),
  "trireme.storage.v1.TopologySelectorLabelRequirement": behaves(driver, "key values"),

  "trireme.storage.v1.VolumeAttachment": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(driver, "spec status"),
  },
  "trireme.storage.v1.VolumeAttachmentSpec": behaves(driver, "attacher source nodeName"),
  "trireme.storage.v1.VolumeAttachmentSource": {
    ...behaves(driver, "persistentVolumeName"),
    ...pending(
      "inlineVolumeSpec",
      "no kubelet of this cluster mounts such an attachment; a persistentVolumeName is needed",
    ),
  },
  "trireme.storage.v1.VolumeAttachmentStatus": behaves(
    status,
    "attached attachmentMetadata attachError detachError",
  ),
  "trireme.storage.v1.VolumeError": behaves(status, "time message errorCode"),

  "trireme.storage.v1.CSIDriver": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the kubelet and the attach and detach controller", "spec"),
  },
  "trireme.storage.v1.CSIDriverSpec": {
    ...behaves(attaching, "attachRequired"),
    ...behaves(kubelet, "podInfoOnMount"),
    ...behaves(driver, "volumeLifecycleModes nodeAllocatableUpdatePeriodSeconds"),
    ...warned("storageCapacity", "the scheduler does not mind the capacity of storage"),
    ...pending("tokenRequests", "the kubelet gives drivers no tokens, it has no effect"),
    ...warned("requiresRepublish", "the kubelet publishes a volume once, it has no effect"),
    ...warned("seLinuxMount", "the kubelet sets no SELinux labels, it has no effect"),
    ...warned(
      "fsGroupPolicy",
      "the kubelet does not change the owners of drivers' files, it has no effect",
      oneOfValues("ReadWriteOnceWithFSType", "None"),
    ),
  },
  "trireme.storage.v1.TokenRequest": behaves(driver, "audience expirationSeconds"),

  "trireme.storage.v1.CSINode": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the scheduler and drivers", "spec"),
  },
  "trireme.storage.v1.CSINodeSpec": behaves(driver, "drivers"),
  "trireme.storage.v1.CSINodeDriver": behaves(driver, "name nodeID topologyKeys allocatable"),
  "trireme.storage.v1.VolumeNodeResources": behaves(driver, "count"),

  "trireme.storage.v1.VolumeAttributesClass": {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", "only a driver of your own applies the attributes"),
    ...behaves(driver, "driverName parameters"),
  },

  "trireme.storage.v1.CSIStorageCapacity": {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", "the scheduler does not mind the capacity of storage, it has no effect"),
    ...behaves(driver, "nodeTopology storageClassName capacity maximumVolumeSize"),
  },
};
