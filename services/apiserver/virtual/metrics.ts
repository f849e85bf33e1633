/** What the two kinds of metrics have in common. */
import type { StatusError } from "../../../ha/runtime/status-error.ts";
import {
  type Document,
  formatGoDuration,
  formatQuantity,
  parseTime,
  type Resource,
  rfc3339Seconds,
} from "../../kinds/mod.ts";
import { notFound } from "../errors.ts";
import type { Backend } from "../verbs/backend.ts";

export interface Measured {
  readonly cpuNanoCores?: number | undefined;
  readonly memoryBytes?: number | undefined;
}

const nano = 1_000_000_000n;

export function usageOf({ cpuNanoCores = 0, memoryBytes = 0 }: Measured): Record<string, string> {
  return {
    cpu: formatQuantity({ nanos: BigInt(cpuNanoCores), format: "decimal" }),
    memory: formatQuantity({ nanos: BigInt(memoryBytes) * nano, format: "binary" }),
  };
}

/** Name, namespace and labels of what was measured; it was made just now. */
export function measuredMetadata(backend: Backend, { metadata }: Document): Document["metadata"] {
  const { name, namespace, labels } = metadata ?? {};
  return {
    ...(name !== undefined && { name }),
    ...(namespace !== undefined && { namespace }),
    creationTimestamp: rfc3339Seconds(backend.now()),
    ...(labels !== undefined && { labels }),
  };
}

export function measuredTime(time: string | undefined, windowMillis: number | undefined) {
  return {
    timestamp: rfc3339Seconds(parseTime(time) ?? 0),
    window: formatGoDuration(windowMillis ?? 0),
  };
}

/** Upstream's metrics server names the kind of metrics here, not the resource. */
export function noMetrics(resource: Resource, name: string): StatusError {
  return notFound({ ...resource, plural: resource.kind.toLowerCase() }, name);
}
