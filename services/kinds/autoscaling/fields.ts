/** What becomes of the fields of the group autoscaling's kinds. */
import { behaves, pending, type SupportTable } from "../machinery/field-support.ts";

const autoscaler = "the horizontal pod autoscaler";
const onlyResources =
  "this cluster measures cpu and memory alone, the autoscaler cannot act on other metrics";
const status = "information that the controller writes and clients show";

export const autoscalingFields: SupportTable = {
  "trireme.autoscaling.v1.HorizontalPodAutoscaler": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves(autoscaler, "spec"),
    ...behaves(status, "status"),
  },
  "trireme.autoscaling.v1.HorizontalPodAutoscalerSpec": behaves(
    autoscaler,
    "scaleTargetRef minReplicas maxReplicas targetCPUUtilizationPercentage",
  ),
  "trireme.autoscaling.v1.CrossVersionObjectReference": behaves(autoscaler, "kind name apiVersion"),
  "trireme.autoscaling.v1.HorizontalPodAutoscalerStatus": behaves(
    status,
    "observedGeneration lastScaleTime currentReplicas desiredReplicas " +
      "currentCPUUtilizationPercentage",
  ),
  "trireme.autoscaling.v2.HorizontalPodAutoscaler": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves(autoscaler, "spec"),
    ...behaves(status, "status"),
  },
  "trireme.autoscaling.v2.HorizontalPodAutoscalerSpec": behaves(
    autoscaler,
    "scaleTargetRef minReplicas maxReplicas metrics behavior",
  ),
  "trireme.autoscaling.v2.CrossVersionObjectReference": behaves(autoscaler, "kind name apiVersion"),
  "trireme.autoscaling.v2.MetricSpec": {
    ...behaves(autoscaler, "type resource containerResource"),
    ...pending("object pods external", onlyResources, () => false),
  },
  "trireme.autoscaling.v2.ObjectMetricSource": behaves(autoscaler, "describedObject target metric"),
  "trireme.autoscaling.v2.PodsMetricSource": behaves(autoscaler, "metric target"),
  "trireme.autoscaling.v2.ResourceMetricSource": behaves(autoscaler, "name target"),
  "trireme.autoscaling.v2.ContainerResourceMetricSource": behaves(
    autoscaler,
    "name target container",
  ),
  "trireme.autoscaling.v2.ExternalMetricSource": behaves(autoscaler, "metric target"),
  "trireme.autoscaling.v2.MetricIdentifier": behaves(autoscaler, "name selector"),
  "trireme.autoscaling.v2.MetricTarget": behaves(
    autoscaler,
    "type value averageValue averageUtilization",
  ),
  "trireme.autoscaling.v2.HorizontalPodAutoscalerBehavior": behaves(
    autoscaler,
    "scaleUp scaleDown",
  ),
  "trireme.autoscaling.v2.HPAScalingRules": behaves(
    autoscaler,
    "stabilizationWindowSeconds selectPolicy policies tolerance",
  ),
  "trireme.autoscaling.v2.HPAScalingPolicy": behaves(autoscaler, "type value periodSeconds"),
  "trireme.autoscaling.v2.HorizontalPodAutoscalerStatus": behaves(
    status,
    "observedGeneration lastScaleTime currentReplicas desiredReplicas currentMetrics conditions",
  ),
  "trireme.autoscaling.v2.HorizontalPodAutoscalerCondition": behaves(
    status,
    "type status lastTransitionTime reason message",
  ),
  "trireme.autoscaling.v2.MetricStatus": behaves(
    status,
    "type object pods resource containerResource external",
  ),
  "trireme.autoscaling.v2.ObjectMetricStatus": behaves(status, "metric current describedObject"),
  "trireme.autoscaling.v2.PodsMetricStatus": behaves(status, "metric current"),
  "trireme.autoscaling.v2.ResourceMetricStatus": behaves(status, "name current"),
  "trireme.autoscaling.v2.ContainerResourceMetricStatus": behaves(status, "name current container"),
  "trireme.autoscaling.v2.ExternalMetricStatus": behaves(status, "metric current"),
  "trireme.autoscaling.v2.MetricValueStatus": behaves(
    status,
    "value averageValue averageUtilization",
  ),
};
