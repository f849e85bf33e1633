import { PodMetrics, PodMetricsesService } from "../../../proto/gen/metrics.ts";
import { defineKind } from "../machinery/define.ts";
import { metricsColumns } from "./columns.ts";

export const podMetrics = defineKind({
  message: "trireme.metrics.v1beta1.PodMetrics",
  codec: PodMetrics,
  service: PodMetricsesService,
  stored: false,
  columns: metricsColumns((document) =>
    ((document as PodMetrics).containers ?? []).map(({ usage = {} }) => usage),
  ),
});
