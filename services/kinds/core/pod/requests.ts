/** How much of a node's resources a pod requests. */
import type { Container, Pod } from "../../../../proto/gen/core.ts";
import { bytes, cpuMillis, parseQuantity } from "../../machinery/quantity.ts";
import { isSidecar } from "./containers.ts";

/** Amounts by resource name: cpu in thousandths of a core, everything else in whole units. */
export type ResourceAmounts = Readonly<Record<string, number>>;

/** Rounds up, as upstream's `Quantity.MilliValue` and `Value` do; 0 for text that is no quantity. */
export function resourceAmount(resource: string, quantity: string | undefined): number {
  const parsed = quantity === undefined ? undefined : parseQuantity(quantity);
  return resource === "cpu" ? cpuMillis(parsed) : bytes(parsed);
}

export function resourceAmounts(
  quantities: Readonly<Record<string, string>> | undefined,
): ResourceAmounts {
  const result: Record<string, number> = {};
  for (const [resource, quantity] of Object.entries(quantities ?? {})) {
    result[resource] = resourceAmount(resource, quantity);
  }
  return result;
}

/**
 * The amounts that a node sets aside for a pod: the sum over containers and sidecars or, where that
 * is more, the largest init container together with the sidecars that start before it; requests of
 * the pod as a whole replace those sums; the overhead comes on top (upstream
 * `resourcehelper.PodRequests`, KEP-753, KEP-2837).
 */
export function podRequests(pod: Pod): ResourceAmounts {
  const running: Record<string, number> = {};
  for (const container of pod.spec?.containers ?? []) add(running, requestsOf(container));
  const sidecars: Record<string, number> = {};
  const starting: Record<string, number> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const requests = requestsOf(container);
    if (isSidecar(container)) {
      add(sidecars, requests);
      add(running, requests);
      raise(starting, sidecars);
    } else {
      const peak = { ...sidecars };
      add(peak, requests);
      raise(starting, peak);
    }
  }
  raise(running, starting);
  Object.assign(running, resourceAmounts(pod.spec?.resources?.requests));
  add(running, resourceAmounts(pod.spec?.overhead));
  return running;
}

/** A limit without a request counts as one, as the defaults of a stored pod say. */
function requestsOf({ resources }: Container): ResourceAmounts {
  return { ...resourceAmounts(resources?.limits), ...resourceAmounts(resources?.requests) };
}

function add(total: Record<string, number>, more: ResourceAmounts): void {
  for (const [resource, value] of Object.entries(more)) {
    total[resource] = (total[resource] ?? 0) + value;
  }
}

function raise(total: Record<string, number>, floor: ResourceAmounts): void {
  for (const [resource, value] of Object.entries(floor)) {
    total[resource] = Math.max(total[resource] ?? 0, value);
  }
}
