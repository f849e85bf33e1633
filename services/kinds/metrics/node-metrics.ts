import { NodeMetrics, NodeMetricsesService } from "../../../proto/gen/metrics.ts";
import { defineKind } from "../machinery/define.ts";
import { metricsColumns } from "./columns.ts";

export const nodeMetrics = defineKind({
  message: "trireme.metrics.v1beta1.NodeMetrics",
  codec: NodeMetrics,
  service: NodeMetricsesService,
  stored: false,
  columns: metricsColumns((document) => [(document as NodeMetrics).usage ?? {}]),
});
