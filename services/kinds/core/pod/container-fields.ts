/** What becomes of the fields of a pod's containers and volumes. */
import { behaves, oneOfValues, type SupportTable, warned } from "../../machinery/field-support.ts";

const kubelet = "the kubelet";
const notAVolume =
  "volumes of this type are not supported by this kubelet, the pod's containers will not start";
const notASource =
  "this source is not supported by this kubelet, the pod's containers will not start";
const notStarted = "the kubelet refuses it, the pod's containers will not start";

export const containerFields: SupportTable = {
  "trireme.core.v1.Container": {
    ...behaves(kubelet, "name image command args workingDir envFrom env resources restartPolicy"),
    ...behaves(kubelet, "volumeMounts livenessProbe readinessProbe startupProbe lifecycle"),
    ...behaves(kubelet, "securityContext terminationMessagePath terminationMessagePolicy"),
    ...behaves(kubelet, "imagePullPolicy stdin stdinOnce tty"),
    ...behaves("the scheduler, services and probes", "ports"),
    ...behaves(kubelet, "resizePolicy"),
    ...warned("volumeDevices", notStarted),
  },
  "trireme.core.v1.ContainerPort": {
    ...behaves("services and probes find the port by it", "name containerPort protocol"),
    ...behaves("the scheduler keeps host ports apart by it", "hostIP"),
    ...behaves(kubelet, "hostPort"),
  },
  "trireme.core.v1.EnvFromSource": behaves(kubelet, "prefix configMapRef secretRef"),
  "trireme.core.v1.ConfigMapEnvSource": behaves(kubelet, "name optional"),
  "trireme.core.v1.SecretEnvSource": behaves(kubelet, "name optional"),
  "trireme.core.v1.EnvVar": behaves(kubelet, "name value valueFrom"),
  "trireme.core.v1.EnvVarSource": behaves(
    kubelet,
    "fieldRef resourceFieldRef configMapKeyRef secretKeyRef",
  ),
  "trireme.core.v1.ObjectFieldSelector": {
    ...behaves("validation", "apiVersion"),
    ...behaves(kubelet, "fieldPath"),
  },
  "trireme.core.v1.ResourceFieldSelector": behaves(kubelet, "containerName resource divisor"),
  "trireme.core.v1.ConfigMapKeySelector": behaves(kubelet, "name key optional"),
  "trireme.core.v1.SecretKeySelector": behaves(kubelet, "name key optional"),
  "trireme.core.v1.ResourceRequirements": {
    ...behaves(kubelet, "limits"),
    ...behaves("the scheduler", "requests"),
    ...warned("claims", notStarted),
  },
  "trireme.core.v1.ContainerResizePolicy": behaves(kubelet, "resourceName restartPolicy"),
  "trireme.core.v1.VolumeMount": {
    ...behaves(kubelet, "name readOnly recursiveReadOnly mountPath subPath subPathExpr"),
    ...warned("mountPropagation", notStarted, oneOfValues("None", "HostToContainer", "")),
  },
  "trireme.core.v1.Probe": behaves(
    kubelet,
    "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds " +
      "successThreshold failureThreshold terminationGracePeriodSeconds",
  ),
  "trireme.core.v1.ExecAction": behaves(kubelet, "command"),
  "trireme.core.v1.HTTPGetAction": behaves(kubelet, "path port host scheme httpHeaders"),
  "trireme.core.v1.HTTPHeader": behaves(kubelet, "name value"),
  "trireme.core.v1.TCPSocketAction": behaves(kubelet, "port host"),
  "trireme.core.v1.GRPCAction": behaves(kubelet, "port service"),
  "trireme.core.v1.Lifecycle": behaves(kubelet, "postStart preStop stopSignal"),
  "trireme.core.v1.LifecycleHandler": {
    ...behaves(kubelet, "exec httpGet sleep"),
    ...warned("tcpSocket", "deprecated, it is never run"),
  },
  "trireme.core.v1.SleepAction": behaves(kubelet, "seconds"),
  "trireme.core.v1.Volume": {
    ...behaves(
      kubelet,
      "name hostPath emptyDir secret configMap downwardAPI projected persistentVolumeClaim csi " +
        "image",
    ),
    ...behaves("the ephemeral volume controller and the kubelet", "ephemeral"),
    ...warned(
      "gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs",
      notAVolume,
      () => false,
    ),
    ...warned("rbd flexVolume cinder cephfs flocker fc", notAVolume, () => false),
    ...warned(
      "azureFile vsphereVolume quobyte azureDisk photonPersistentDisk",
      notAVolume,
      () => false,
    ),
    ...warned("portworxVolume scaleIO storageos", notAVolume, () => false),
  },
  "trireme.core.v1.PersistentVolumeClaimVolumeSource": behaves(kubelet, "claimName readOnly"),
  "trireme.core.v1.EphemeralVolumeSource": behaves(
    "the ephemeral volume controller",
    "volumeClaimTemplate",
  ),
  "trireme.core.v1.PersistentVolumeClaimTemplate": behaves(
    "the ephemeral volume controller",
    "metadata spec",
  ),
  "trireme.core.v1.ImageVolumeSource": behaves(kubelet, "reference pullPolicy"),
  "trireme.core.v1.CSIVolumeSource": behaves(
    kubelet,
    "driver readOnly fsType volumeAttributes nodePublishSecretRef",
  ),
  "trireme.core.v1.HostPathVolumeSource": behaves(kubelet, "path type"),
  "trireme.core.v1.EmptyDirVolumeSource": {
    ...behaves(kubelet, "sizeLimit"),
    ...warned("medium", notStarted, oneOfValues("", "Memory")),
  },
  "trireme.core.v1.SecretVolumeSource": behaves(kubelet, "secretName items defaultMode optional"),
  "trireme.core.v1.ConfigMapVolumeSource": behaves(kubelet, "name items defaultMode optional"),
  "trireme.core.v1.KeyToPath": behaves(kubelet, "key path mode"),
  "trireme.core.v1.DownwardAPIVolumeSource": behaves(kubelet, "items defaultMode"),
  "trireme.core.v1.DownwardAPIVolumeFile": behaves(kubelet, "path fieldRef resourceFieldRef mode"),
  "trireme.core.v1.ProjectedVolumeSource": behaves(kubelet, "sources defaultMode"),
  "trireme.core.v1.VolumeProjection": {
    ...behaves(kubelet, "secret downwardAPI configMap serviceAccountToken"),
    ...warned("clusterTrustBundle", notASource, () => false),
  },
  "trireme.core.v1.ServiceAccountTokenProjection": behaves(
    kubelet,
    "audience expirationSeconds path",
  ),
  "trireme.core.v1.SecretProjection": behaves(kubelet, "name items optional"),
  "trireme.core.v1.ConfigMapProjection": behaves(kubelet, "name items optional"),
  "trireme.core.v1.DownwardAPIProjection": behaves(kubelet, "items"),
};
