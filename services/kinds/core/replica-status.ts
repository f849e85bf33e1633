/** The status of whatever keeps a number of pods, in upstream's words. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid } from "../machinery/causes.ts";
import { countersNotNegative } from "../machinery/field-rules.ts";

interface ReplicaStatus {
  readonly replicas?: number | undefined;
  readonly readyReplicas?: number | undefined;
  readonly availableReplicas?: number | undefined;
}

/**
 * `counters`: every field that counts something; `parts`: those that count some of the replicas;
 * `ready`: as the message calls the ready replicas.
 */
export function validateReplicaStatus(
  status: ReplicaStatus,
  counters: readonly string[],
  parts: readonly string[],
  ready = "readyReplicas",
): FieldCause[] {
  const causes = countersNotNegative(status, counters, "status");
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0 } = status;
  const counts = new Map<string, unknown>(Object.entries(status));
  for (const name of parts) {
    const count = counts.get(name);
    if (typeof count !== "number" || count <= replicas) continue;
    causes.push(invalid(`status.${name}`, count, "cannot be greater than status.replicas"));
  }
  if (availableReplicas <= readyReplicas) return causes;
  const detail = `cannot be greater than ${ready}`;
  return [...causes, invalid("status.availableReplicas", availableReplicas, detail)];
}
