/** What becomes of the fields of metrics, which the apiserver computes. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const information = "information for clients";

export const metricsFields: SupportTable = {
  "trireme.metrics.v1beta1.NodeMetrics": behaves(
    information,
    "apiVersion kind metadata timestamp window usage",
  ),
  "trireme.metrics.v1beta1.PodMetrics": behaves(
    information,
    "apiVersion kind metadata timestamp window containers",
  ),
  "trireme.metrics.v1beta1.ContainerMetrics": behaves(information, "name usage"),
};
