/** What pods ask for, in plain numbers. */
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { parseQuantity } from "../../kinds/mod.ts";

const nanosPerUnit = 1_000_000_000n;
const nanosPerMilli = 1_000_000n;

function ceilDivide(value: bigint, by: bigint): number {
  return Number((value + by - 1n) / by);
}

/** Thousandths, rounded up; 0 for what is absent or no quantity. */
export function millisOf(text: string | undefined): number {
  const quantity = text === undefined ? undefined : parseQuantity(text);
  return quantity === undefined ? 0 : ceilDivide(quantity.nanos, nanosPerMilli);
}

/** Whole units, rounded up; 0 for what is absent or no quantity. */
export function unitsOf(text: string | undefined): number {
  const quantity = text === undefined ? undefined : parseQuantity(text);
  return quantity === undefined ? 0 : ceilDivide(quantity.nanos, nanosPerUnit);
}

export interface Amounts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

function requestsOf(container: Container): Amounts {
  const requests = container.resources?.requests ?? {};
  const limits = container.resources?.limits ?? {};
  return {
    cpuMillis: millisOf(requests["cpu"] ?? limits["cpu"]),
    memoryBytes: unitsOf(requests["memory"] ?? limits["memory"]),
  };
}

const plus = (a: Amounts, b: Amounts): Amounts => ({
  cpuMillis: a.cpuMillis + b.cpuMillis,
  memoryBytes: a.memoryBytes + b.memoryBytes,
});
const largest = (a: Amounts, b: Amounts): Amounts => ({
  cpuMillis: Math.max(a.cpuMillis, b.cpuMillis),
  memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
});
const nothing: Amounts = { cpuMillis: 0, memoryBytes: 0 };

export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/**
 * Requests of a whole pod: the larger of what runs together at the end and of what any init
 * container needs beside the sidecars started before it (KEP-753).
 */
export function podRequests(pod: Pod): Amounts {
  let sidecars = nothing;
  let peak = nothing;
  for (const container of pod.spec?.initContainers ?? []) {
    const own = requestsOf(container);
    if (isSidecar(container)) sidecars = plus(sidecars, own);
    peak = largest(peak, isSidecar(container) ? sidecars : plus(sidecars, own));
  }
  const together = (pod.spec?.containers ?? []).map(requestsOf).reduce(plus, sidecars);
  const overhead = pod.spec?.overhead ?? {};
  return plus(largest(together, peak), {
    cpuMillis: millisOf(overhead["cpu"]),
    memoryBytes: unitsOf(overhead["memory"]),
  });
}

/** Guaranteed: cpu and memory limited everywhere, and requested alike; BestEffort: nothing said. */
export function qosClass(pod: Pod): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const { resources } of containers) {
    for (const name of ["cpu", "memory"]) {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      if (millisOf(limit) > 0 || millisOf(request) > 0) any = true;
      if (millisOf(limit) === 0 || millisOf(limit) !== millisOf(request)) guaranteed = false;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}
