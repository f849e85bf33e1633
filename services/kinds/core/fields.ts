/** What becomes of the fields of the core group's kinds, pods apart. */
import {
  behaves,
  oneOfValues,
  pending,
  type SupportTable,
  warned,
} from "../machinery/field-support.ts";
import { volumeSourceFields } from "./volume-source-fields.ts";

const address = "the apiserver: type, name and metadata of an object";
const status = "information that its owner writes and clients show";
const information = "information for clients";
const proxy = "kube-proxy";
const volumes = "the volume controllers";
const admission = "the admission chain";
const noAttributes = "attributes of volumes are not changed here, it has no effect";
const noLoadBalancer = "this cluster has no load balancers, it has no effect";

export const coreFields: SupportTable = {
  "trireme.core.v1.ObjectReference": behaves(
    information,
    "kind namespace name uid apiVersion resourceVersion fieldPath",
  ),

  "trireme.core.v1.Namespace": behaves(address, "apiVersion kind metadata spec status"),
  "trireme.core.v1.NamespaceSpec": behaves("the namespace controller", "finalizers"),
  "trireme.core.v1.NamespaceStatus": behaves(status, "phase conditions"),
  "trireme.core.v1.NamespaceCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),

  "trireme.core.v1.Node": behaves(address, "apiVersion kind metadata spec status"),
  "trireme.core.v1.NodeSpec": {
    ...behaves("the node IPAM controller and the kubelet", "podCIDR podCIDRs"),
    ...behaves("the scheduler", "unschedulable taints"),
    ...behaves(information, "providerID"),
    ...warned("configSource externalID", "deprecated, it has no effect"),
  },
  "trireme.core.v1.Taint": behaves(
    "the scheduler and the node lifecycle controller",
    "key value effect timeAdded",
  ),
  "trireme.core.v1.NodeStatus": {
    ...behaves("the scheduler", "capacity allocatable images"),
    ...behaves("the node lifecycle controller", "conditions"),
    ...behaves("the apiserver calls the kubelet there", "addresses daemonEndpoints"),
    ...behaves(status, "phase nodeInfo volumesInUse volumesAttached config runtimeHandlers"),
    ...behaves(status, "features"),
  },
  "trireme.core.v1.NodeCondition": behaves(
    status,
    "type status lastHeartbeatTime lastTransitionTime reason message",
  ),
  "trireme.core.v1.NodeAddress": behaves(status, "type address"),
  "trireme.core.v1.NodeDaemonEndpoints": behaves(status, "kubeletEndpoint"),
  "trireme.core.v1.DaemonEndpoint": behaves(status, "Port"),
  "trireme.core.v1.NodeSystemInfo": behaves(
    status,
    "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion " +
      "kubeProxyVersion operatingSystem architecture swap",
  ),
  "trireme.core.v1.NodeSwapStatus": behaves(status, "capacity"),
  "trireme.core.v1.ContainerImage": behaves("the scheduler", "names sizeBytes"),
  "trireme.core.v1.AttachedVolume": behaves(status, "name devicePath"),
  "trireme.core.v1.NodeConfigStatus": behaves(status, "assigned active lastKnownGood error"),
  "trireme.core.v1.NodeConfigSource": behaves(status, "configMap"),
  "trireme.core.v1.ConfigMapNodeConfigSource": behaves(
    status,
    "namespace name uid resourceVersion kubeletConfigKey",
  ),
  "trireme.core.v1.NodeRuntimeHandler": behaves(status, "name features"),
  "trireme.core.v1.NodeRuntimeHandlerFeatures": behaves(
    status,
    "recursiveReadOnlyMounts userNamespaces",
  ),
  "trireme.core.v1.NodeFeatures": behaves(status, "supplementalGroupsPolicy"),

  "trireme.core.v1.Pod": behaves(address, "apiVersion kind metadata spec status"),

  "trireme.core.v1.Service": behaves(address, "apiVersion kind metadata spec status"),
  "trireme.core.v1.ServiceSpec": {
    ...behaves(proxy, "ports clusterIP externalIPs sessionAffinity sessionAffinityConfig"),
    ...behaves(proxy, "externalTrafficPolicy internalTrafficPolicy healthCheckNodePort"),
    ...behaves("the admission chain", "allocateLoadBalancerNodePorts"),
    ...behaves("the endpoints controller", "selector publishNotReadyAddresses"),
    ...behaves("validation", "clusterIPs externalName ipFamilies ipFamilyPolicy"),
    ...warned(
      "type",
      "this cluster has no load balancers, the service stays without an external address",
      (type) => type !== "LoadBalancer",
    ),
    ...behaves(proxy, "loadBalancerSourceRanges"),
    ...warned("loadBalancerIP loadBalancerClass", noLoadBalancer),
    ...behaves("the endpoint slice controller", "trafficDistribution"),
  },
  "trireme.core.v1.ServicePort": {
    ...behaves(proxy, "name protocol port targetPort nodePort"),
    ...behaves("the ingress controller", "appProtocol"),
  },
  "trireme.core.v1.SessionAffinityConfig": behaves(proxy, "clientIP"),
  "trireme.core.v1.ClientIPConfig": behaves(proxy, "timeoutSeconds"),
  "trireme.core.v1.ServiceStatus": behaves(status, "loadBalancer conditions"),
  "trireme.core.v1.LoadBalancerStatus": behaves(status, "ingress"),
  "trireme.core.v1.LoadBalancerIngress": behaves(status, "ip hostname ipMode ports"),
  "trireme.core.v1.PortStatus": behaves(status, "port protocol error"),

  "trireme.core.v1.Endpoints": behaves(proxy, "apiVersion kind metadata subsets"),
  "trireme.core.v1.EndpointSubset": {
    ...behaves(proxy, "addresses ports"),
    ...behaves(information, "notReadyAddresses"),
  },
  "trireme.core.v1.EndpointAddress": {
    ...behaves(proxy, "ip nodeName"),
    ...behaves(information, "hostname targetRef"),
  },
  "trireme.core.v1.EndpointPort": {
    ...behaves(proxy, "name port protocol"),
    ...behaves(information, "appProtocol"),
  },

  "trireme.core.v1.Event": behaves(
    information,
    "apiVersion kind metadata involvedObject reason message source firstTimestamp " +
      "lastTimestamp count type eventTime series action related reportingComponent " +
      "reportingInstance",
  ),
  "trireme.core.v1.EventSource": behaves(information, "component host"),
  "trireme.core.v1.EventSeries": behaves(information, "count lastObservedTime"),

  "trireme.core.v1.ComponentStatus": behaves(information, "apiVersion kind metadata conditions"),
  "trireme.core.v1.ComponentCondition": behaves(information, "type status message error"),

  "trireme.core.v1.ConfigMap": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the kubelet", "data binaryData"),
    ...behaves("validation", "immutable"),
  },
  "trireme.core.v1.Secret": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves("the kubelet", "data"),
    ...behaves("validation", "immutable stringData type"),
  },
  "trireme.core.v1.ServiceAccount": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(information, "secrets"),
    ...behaves("admission, which gives them to pods", "imagePullSecrets"),
    ...behaves("admission, which mounts the token", "automountServiceAccountToken"),
  },

  "trireme.core.v1.PersistentVolumeClaim": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.core.v1.PersistentVolumeClaimSpec": {
    ...behaves(volumes, "accessModes selector resources volumeName storageClassName volumeMode"),
    ...pending(
      "dataSource dataSourceRef",
      "volumes are not filled from others here, only an external provisioner does that",
      () => false,
    ),
    ...warned("volumeAttributesClassName", noAttributes),
  },
  "trireme.core.v1.VolumeResourceRequirements": behaves(volumes, "limits requests"),
  "trireme.core.v1.LocalObjectReference": behaves(address, "name"),
  "trireme.core.v1.TypedLocalObjectReference": behaves(volumes, "apiGroup kind name"),
  "trireme.core.v1.TypedObjectReference": behaves(volumes, "apiGroup kind name namespace"),
  "trireme.core.v1.PersistentVolumeClaimStatus": behaves(
    status,
    "phase accessModes capacity conditions allocatedResources allocatedResourceStatuses " +
      "currentVolumeAttributesClassName modifyVolumeStatus",
  ),
  "trireme.core.v1.PersistentVolumeClaimCondition": behaves(
    status,
    "type status lastProbeTime lastTransitionTime reason message",
  ),
  "trireme.core.v1.ModifyVolumeStatus": behaves(status, "targetVolumeAttributesClassName status"),

  "trireme.core.v1.PersistentVolume": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.core.v1.PersistentVolumeSpec": {
    ...behaves(volumes, "capacity accessModes claimRef storageClassName volumeMode"),
    ...behaves("the scheduler", "nodeAffinity"),
    ...behaves("the kubelet", "hostPath local csi"),
    ...pending(
      "gcePersistentDisk awsElasticBlockStore glusterfs nfs rbd iscsi cinder cephfs fc flocker " +
        "flexVolume azureFile vsphereVolume quobyte azureDisk photonPersistentDisk " +
        "portworxVolume scaleIO storageos",
      "volumes of this type are not supported by this kubelet, pods that use them will not start",
      () => false,
    ),
    ...warned(
      "persistentVolumeReclaimPolicy",
      "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use " +
        "dynamic provisioning.",
      oneOfValues("", "Delete", "Retain"),
    ),
    ...warned("mountOptions", "directories of a node are mounted without options"),
    ...warned("volumeAttributesClassName", noAttributes),
  },
  "trireme.core.v1.VolumeNodeAffinity": behaves(volumes, "required"),
  "trireme.core.v1.PersistentVolumeStatus": behaves(
    status,
    "phase message reason lastPhaseTransitionTime",
  ),
  ...volumeSourceFields(),

  "trireme.core.v1.ReplicationController": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.core.v1.ReplicationControllerSpec": behaves(
    "the replication controller",
    "replicas minReadySeconds selector template",
  ),
  "trireme.core.v1.ReplicationControllerStatus": behaves(
    status,
    "replicas fullyLabeledReplicas readyReplicas availableReplicas observedGeneration conditions",
  ),
  "trireme.core.v1.ReplicationControllerCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),

  "trireme.core.v1.PodTemplate": behaves(
    "clients that make pods from it",
    "apiVersion kind metadata template",
  ),

  "trireme.core.v1.ResourceQuota": {
    ...behaves(address, "apiVersion kind metadata status"),
    ...behaves(admission, "spec"),
  },
  "trireme.core.v1.ResourceQuotaSpec": behaves(admission, "hard scopes scopeSelector"),
  "trireme.core.v1.ScopeSelector": behaves(admission, "matchExpressions"),
  "trireme.core.v1.ScopedResourceSelectorRequirement": behaves(
    admission,
    "scopeName operator values",
  ),
  "trireme.core.v1.ResourceQuotaStatus": behaves(status, "hard used"),

  "trireme.core.v1.LimitRange": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(admission, "spec"),
  },
  "trireme.core.v1.LimitRangeSpec": behaves(admission, "limits"),
  "trireme.core.v1.LimitRangeItem": behaves(
    admission,
    "type max min default defaultRequest maxLimitRequestRatio",
  ),

  "trireme.core.v1.Binding": behaves("the verb bind", "apiVersion kind metadata target"),
  "trireme.core.v1.TokenRequest": {
    ...behaves("the verb that makes tokens", "apiVersion kind metadata spec"),
    ...behaves("the apiserver answers with it", "status"),
  },
  "trireme.core.v1.TokenRequestSpec": behaves(
    "the verb that makes tokens",
    "audiences expirationSeconds boundObjectRef",
  ),
  "trireme.core.v1.BoundObjectReference": behaves(
    "the verb that makes tokens",
    "kind apiVersion name uid",
  ),
  "trireme.core.v1.TokenRequestStatus": behaves(
    "the apiserver answers with it",
    "token expirationTimestamp",
  ),
  "trireme.core.v1.Eviction": behaves("the verb evict", "apiVersion kind metadata deleteOptions"),
  "trireme.core.v1.LogsRequest": behaves(
    "the kubelet",
    "name namespace container follow previous tailLines sinceSeconds sinceTime timestamps " +
      "limitBytes",
  ),
};
