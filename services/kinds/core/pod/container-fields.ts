/** What becomes of the fields of a pod's containers and volumes. */
import {
  behaves,
  oneOfValues,
  refused,
  type SupportTable,
  warned,
} from "../../machinery/field-support.ts";

const kubelet = "the kubelet";
const notAVolume =
  "volumes of this type are not supported by this kubelet, the pod's containers will not start";
const notASource =
  "this source is not supported by this kubelet, the pod's containers will not start";
const noEffect = "the process runtime of this kubelet does not apply it, it has no effect";
const noImages = "the process runtime of this kubelet pulls no images, it has no effect";

export const containerFields: SupportTable = {
  "trireme.core.v1.Container": {
    ...behaves(kubelet, "name image command args workingDir envFrom env resources restartPolicy"),
    ...behaves(kubelet, "volumeMounts livenessProbe readinessProbe startupProbe lifecycle"),
    ...behaves(kubelet, "securityContext"),
    ...behaves("the scheduler, services and probes", "ports"),
    ...warned("resizePolicy", "containers are not resized while they run, it has no effect"),
    ...warned("volumeDevices", "no volume of this kubelet is a block device, it has no effect"),
    ...warned("terminationMessagePath", noEffect, oneOfValues("/dev/termination-log", "")),
    ...warned("terminationMessagePolicy", noEffect, oneOfValues("File", "")),
    ...warned("imagePullPolicy", noImages, oneOfValues("Always", "IfNotPresent", "")),
    ...warned("stdin stdinOnce tty", noEffect),
  },
  "trireme.core.v1.ContainerPort": {
    ...behaves("services and probes find the port by it", "name containerPort protocol"),
    ...behaves("the scheduler keeps host ports apart", "hostPort hostIP"),
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
    ...behaves("the scheduler and the kubelet", "limits requests"),
    ...refused("claims", "validation: each must name an entry of resourceClaims"),
  },
  "trireme.core.v1.VolumeMount": {
    ...behaves(kubelet, "name readOnly mountPath subPath subPathExpr"),
    ...warned("mountPropagation", noEffect, oneOfValues("None", "")),
    ...warned("recursiveReadOnly", noEffect, oneOfValues("Disabled", "")),
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
    ...behaves(kubelet, "name hostPath emptyDir secret configMap downwardAPI projected"),
    ...warned(
      "gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs",
      notAVolume,
      () => false,
    ),
    ...warned(
      "persistentVolumeClaim rbd flexVolume cinder cephfs flocker fc",
      notAVolume,
      () => false,
    ),
    ...warned(
      "azureFile vsphereVolume quobyte azureDisk photonPersistentDisk",
      notAVolume,
      () => false,
    ),
    ...warned("portworxVolume scaleIO storageos csi ephemeral image", notAVolume, () => false),
  },
  "trireme.core.v1.HostPathVolumeSource": behaves(kubelet, "path type"),
  "trireme.core.v1.EmptyDirVolumeSource": {
    ...warned("medium", "the volume lies on the node's disk in any case, it has no effect"),
    ...warned("sizeLimit", "this kubelet does not measure volumes, it has no effect"),
  },
  "trireme.core.v1.SecretVolumeSource": behaves(kubelet, "secretName items defaultMode optional"),
  "trireme.core.v1.ConfigMapVolumeSource": behaves(kubelet, "name items defaultMode optional"),
  "trireme.core.v1.KeyToPath": behaves(kubelet, "key path mode"),
  "trireme.core.v1.DownwardAPIVolumeSource": behaves(kubelet, "items defaultMode"),
  "trireme.core.v1.DownwardAPIVolumeFile": behaves(kubelet, "path fieldRef resourceFieldRef mode"),
  "trireme.core.v1.ProjectedVolumeSource": behaves(kubelet, "sources defaultMode"),
  "trireme.core.v1.VolumeProjection": {
    ...behaves(kubelet, "secret downwardAPI configMap"),
    ...warned("serviceAccountToken clusterTrustBundle", notASource, () => false),
  },
  "trireme.core.v1.SecretProjection": behaves(kubelet, "name items optional"),
  "trireme.core.v1.ConfigMapProjection": behaves(kubelet, "name items optional"),
  "trireme.core.v1.DownwardAPIProjection": behaves(kubelet, "items"),
};
