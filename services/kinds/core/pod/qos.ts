import type { Pod, ResourceRequirements } from "../../../../proto/gen/core.ts";
import { canonicalQuantity } from "../../machinery/quantity.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/**
 * The pod's class, from requests and limits of cpu and memory, those of the pod as a whole if it
 * has any (upstream `qos.ComputePodQOS`). Guaranteed: everything is limited, and requested alike.
 */
export function qosClassOf(pod: Pod): QosClass {
  const { spec } = pod;
  const whole = spec?.resources;
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const requirements = saysAnything(whole) ? [whole] : containers.map((one) => one.resources);
  let any = false;
  let guaranteed = requirements.length > 0;
  for (const resources of requirements) {
    for (const name of ["cpu", "memory"]) {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      any ||= isSet(request) || isSet(limit);
      guaranteed &&= isSet(limit) && canonicalQuantity(request ?? "") === canonicalQuantity(limit);
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

function saysAnything(resources: ResourceRequirements | undefined): boolean {
  return [resources?.limits, resources?.requests].some(
    (amounts) => Object.keys(amounts ?? {}).length > 0,
  );
}

function isSet(amount: string | undefined): amount is string {
  return amount !== undefined && canonicalQuantity(amount) !== "0";
}
