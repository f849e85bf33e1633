/**
 * Fields whose empty text, 0 or false is the same as their absence: upstream leaves them out of what
 * it writes, and gives them their default. Other fields keep such a value apart from none, e.g.
 * `replicas: 0`. By message; from upstream's `k8s.io/api`.
 */
const fields: Readonly<Record<string, string>> = {
  APIServiceSpec: "insecureSkipTLSVerify",
  ConfigMapEnvSource: "name",
  ConfigMapKeySelector: "name",
  ConfigMapProjection: "name",
  ConfigMapVolumeSource: "name",
  Container:
    "image imagePullPolicy stdin stdinOnce terminationMessagePath terminationMessagePolicy tty workingDir",
  ContainerPort: "hostIP hostPort name protocol",
  CronJobSpec: "concurrencyPolicy",
  CrossVersionObjectReference: "apiVersion",
  CustomResourceColumnDefinition: "description format priority",
  CustomResourceDefinitionNames: "listKind singular",
  DaemonSetSpec: "minReadySeconds",
  DaemonSetUpdateStrategy: "type",
  DeploymentSpec: "minReadySeconds paused",
  DeploymentStrategy: "type",
  EmptyDirVolumeSource: "medium",
  EndpointAddress: "hostname",
  EndpointPort: "protocol",
  EnvFromSource: "prefix",
  EnvVar: "value",
  EphemeralContainer:
    "image imagePullPolicy stdin stdinOnce targetContainerName terminationMessagePath terminationMessagePolicy tty workingDir",
  Event: "count message note reason type",
  EventSource: "component host",
  FlowSchemaSpec: "matchingPrecedence",
  HTTPGetAction: "host path scheme",
  IngressRule: "host",
  IngressTLS: "secretName",
  LocalObjectReference: "name",
  NFSVolumeSource: "readOnly",
  NodeSpec: "providerID unschedulable",
  ObjectFieldSelector: "apiVersion",
  ObjectMeta: "generateName",
  ObjectReference: "apiVersion fieldPath kind name namespace resourceVersion uid",
  ParamRef: "namespace",
  ParentReference: "group namespace",
  PersistentVolumeClaimSpec: "volumeName",
  PersistentVolumeClaimVolumeSource: "readOnly",
  PersistentVolumeSpec: "persistentVolumeReclaimPolicy storageClassName",
  PodFailurePolicyOnPodConditionsPattern: "status",
  PodSpec:
    "dnsPolicy hostIPC hostNetwork hostPID hostname nodeName priorityClassName restartPolicy schedulerName serviceAccount serviceAccountName subdomain",
  PriorityClass: "description globalDefault",
  Probe: "failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds",
  QueuingConfiguration: "queueLengthLimit queues",
  ReplicaSetSpec: "minReadySeconds",
  ReplicationControllerSpec: "minReadySeconds",
  ResourceFieldSelector: "containerName",
  RoleRef: "apiGroup",
  RollingUpdateStatefulSetStrategy: "maxUnavailable",
  SELinuxOptions: "level role type user",
  Secret: "type",
  SecretEnvSource: "name",
  SecretKeySelector: "name",
  SecretProjection: "name",
  SecretVolumeSource: "secretName",
  ServiceAccountTokenProjection: "audience",
  ServicePort: "name nodePort protocol targetPort",
  ServiceSpec:
    "clusterIP externalName externalTrafficPolicy healthCheckNodePort loadBalancerIP publishNotReadyAddresses sessionAffinity type",
  StatefulSetPersistentVolumeClaimRetentionPolicy: "whenDeleted whenScaled",
  StatefulSetSpec: "minReadySeconds podManagementPolicy",
  StatefulSetUpdateStrategy: "type",
  Subject: "apiGroup namespace",
  TCPSocketAction: "host",
  Taint: "value",
  Toleration: "effect key operator value",
  Validation: "message messageExpression",
  VolumeMount: "readOnly subPath subPathExpr",
};

const names: ReadonlySet<string> = new Set(
  Object.entries(fields).flatMap(([message, each]) =>
    each.split(" ").map((field) => `${message}.${field}`),
  ),
);

/** `message` is a full name, as in `trireme.core.v1.Container`. */
export function meansAbsentWhenZero(message: string, field: string): boolean {
  return names.has(`${message.slice(message.lastIndexOf(".") + 1)}.${field}`);
}
