/** What becomes of the fields of a pod's status: the kubelet writes them and clients show them. */
import { behaves, type SupportTable } from "../../machinery/field-support.ts";

const status = "information that the kubelet writes and clients show";

export const podStatusFields: SupportTable = {
  "trireme.core.v1.PodStatus": behaves(
    status,
    "observedGeneration phase conditions message reason nominatedNodeName hostIP hostIPs podIP " +
      "podIPs startTime initContainerStatuses containerStatuses qosClass " +
      "ephemeralContainerStatuses resize resourceClaimStatuses",
  ),
  "trireme.core.v1.PodCondition": behaves(
    status,
    "type observedGeneration status lastProbeTime lastTransitionTime reason message",
  ),
  "trireme.core.v1.HostIP": behaves(status, "ip"),
  "trireme.core.v1.PodIP": behaves(status, "ip"),
  "trireme.core.v1.ContainerStatus": behaves(
    status,
    "name state lastState ready restartCount image imageID containerID started " +
      "allocatedResources resources volumeMounts user allocatedResourcesStatus stopSignal",
  ),
  "trireme.core.v1.ContainerState": behaves(status, "waiting running terminated"),
  "trireme.core.v1.ContainerStateWaiting": behaves(status, "reason message"),
  "trireme.core.v1.ContainerStateRunning": behaves(status, "startedAt"),
  "trireme.core.v1.ContainerStateTerminated": behaves(
    status,
    "exitCode signal reason message startedAt finishedAt containerID",
  ),
  "trireme.core.v1.VolumeMountStatus": behaves(status, "name mountPath readOnly recursiveReadOnly"),
  "trireme.core.v1.ContainerUser": behaves(status, "linux"),
  "trireme.core.v1.LinuxContainerUser": behaves(status, "uid gid supplementalGroups"),
  "trireme.core.v1.ResourceStatus": behaves(status, "name resources"),
  "trireme.core.v1.ResourceHealth": behaves(status, "resourceID health"),
  "trireme.core.v1.PodResourceClaimStatus": behaves(status, "name resourceClaimName"),
};
