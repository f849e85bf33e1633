/** What becomes of the fields of the group apps' kinds. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const status = "information that the controller writes and clients show";
const deployment = "the deployment controller";
const replicaSet = "the replica set controller";
const statefulSet = "the stateful set controller";
const daemonSet = "the daemon set controller";

export const appsFields: SupportTable = {
  "trireme.apps.v1.ReplicaSet": behaves(address, "apiVersion kind metadata spec status"),
  "trireme.apps.v1.ReplicaSetSpec": behaves(
    replicaSet,
    "replicas minReadySeconds selector template",
  ),
  "trireme.apps.v1.ReplicaSetStatus": behaves(
    status,
    "replicas fullyLabeledReplicas readyReplicas availableReplicas terminatingReplicas " +
      "observedGeneration conditions",
  ),
  "trireme.apps.v1.ReplicaSetCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),
  "trireme.apps.v1.Deployment": behaves(address, "apiVersion kind metadata spec status"),
  "trireme.apps.v1.DeploymentSpec": behaves(
    deployment,
    "replicas selector template strategy minReadySeconds revisionHistoryLimit paused " +
      "progressDeadlineSeconds",
  ),
  "trireme.apps.v1.DeploymentStrategy": behaves(deployment, "type rollingUpdate"),
  "trireme.apps.v1.RollingUpdateDeployment": behaves(deployment, "maxUnavailable maxSurge"),
  "trireme.apps.v1.DeploymentStatus": behaves(
    status,
    "observedGeneration replicas updatedReplicas readyReplicas availableReplicas " +
      "unavailableReplicas terminatingReplicas conditions collisionCount",
  ),
  "trireme.apps.v1.DeploymentCondition": behaves(
    status,
    "type status lastUpdateTime lastTransitionTime reason message",
  ),

  "trireme.apps.v1.StatefulSet": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.apps.v1.StatefulSetSpec": behaves(
    statefulSet,
    "replicas selector template volumeClaimTemplates serviceName podManagementPolicy " +
      "updateStrategy revisionHistoryLimit minReadySeconds " +
      "persistentVolumeClaimRetentionPolicy ordinals",
  ),
  "trireme.apps.v1.StatefulSetUpdateStrategy": behaves(statefulSet, "type rollingUpdate"),
  "trireme.apps.v1.RollingUpdateStatefulSetStrategy": behaves(
    statefulSet,
    "partition maxUnavailable",
  ),
  "trireme.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": behaves(
    statefulSet,
    "whenDeleted whenScaled",
  ),
  "trireme.apps.v1.StatefulSetOrdinals": behaves(statefulSet, "start"),
  "trireme.apps.v1.StatefulSetStatus": behaves(
    status,
    "observedGeneration replicas readyReplicas currentReplicas updatedReplicas currentRevision " +
      "updateRevision collisionCount conditions availableReplicas",
  ),
  "trireme.apps.v1.StatefulSetCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),

  "trireme.apps.v1.DaemonSet": {
    ...behaves(address, "apiVersion kind metadata spec status"),
  },
  "trireme.apps.v1.DaemonSetSpec": behaves(
    daemonSet,
    "selector template updateStrategy minReadySeconds revisionHistoryLimit",
  ),
  "trireme.apps.v1.DaemonSetUpdateStrategy": behaves(daemonSet, "type rollingUpdate"),
  "trireme.apps.v1.RollingUpdateDaemonSet": behaves(daemonSet, "maxUnavailable maxSurge"),
  "trireme.apps.v1.DaemonSetStatus": behaves(
    status,
    "currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady " +
      "observedGeneration updatedNumberScheduled numberAvailable numberUnavailable " +
      "collisionCount conditions",
  ),
  "trireme.apps.v1.DaemonSetCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),

  "trireme.apps.v1.ControllerRevision": behaves(
    "the controllers that roll back and clients that show the history",
    "apiVersion kind metadata data revision",
  ),
};
