/** `/metrics`, for users whom the roles let see it (upstream's `system:monitoring`). */
import { type MetricsRegistry, metricsContentType } from "../../../../ha/runtime/metrics.ts";
import type { RestResponse } from "./types.ts";

export function metricsResponse(registry: MetricsRegistry): RestResponse {
  const headers = [["content-type", metricsContentType]] as const;
  return { status: 200, headers, body: Buffer.from(registry.text()) };
}
