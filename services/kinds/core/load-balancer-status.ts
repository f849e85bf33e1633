/** Where a load balancer is reached, as the status of Services and Ingresses says. */
import { isIP } from "node:net";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { LoadBalancerIngress, Service } from "../../../proto/gen/core.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkAddress, checkSubdomain } from "../machinery/names.ts";

/** `VIP`: connections come to the address of the balancer; `Proxy`: to that of a node or a pod. */
const addressModes = ["Proxy", "VIP"];
export const nameWanted = "must be a DNS name, not an IP address";
const path = "status.loadBalancer.ingress";

type Place = Pick<LoadBalancerIngress, "ip" | "hostname">;

/** `index`: of the entry in the status. */
export function validateBalancerPlace(
  { ip = "", hostname = "" }: Place,
  index: number,
): FieldCause[] {
  const at = `${path}[${index}]`;
  const causes = ip === "" ? [] : wrong(`${at}.ip`, ip, checkAddress(ip));
  if (hostname === "") return causes;
  causes.push(...wrong(`${at}.hostname`, hostname, checkSubdomain(hostname)));
  if (isIP(hostname) !== 0) causes.push(invalid(`${at}.hostname`, hostname, nameWanted));
  return causes;
}

/** Upstream `ValidateLoadBalancerStatus`. An address that is stored already may stay. */
export function validateServiceStatus(next: Service, stored: Service): FieldCause[] {
  const places = placesOf(next);
  if (next.spec?.type !== "LoadBalancer" && places.length > 0) {
    return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")];
  }
  const before = new Set(placesOf(stored).map(({ ip }) => ip));
  return places.flatMap((place, index) => [
    ...validateBalancerPlace(before.has(place.ip) ? { hostname: place.hostname } : place, index),
    ...validateMode(place, `${path}[${index}].ipMode`),
  ]);
}

function validateMode({ ip = "", ipMode }: LoadBalancerIngress, at: string): FieldCause[] {
  if (ipMode === undefined) {
    return ip === "" ? [] : [required(at, "must be specified when `ip` is set")];
  }
  if (ip === "") return [forbidden(at, "may not be specified when `ip` is not set")];
  return addressModes.includes(ipMode) ? [] : [notSupported(at, ipMode, addressModes)];
}

export function setModeDefaults(service: Service): void {
  if (service.spec?.type !== "LoadBalancer") return;
  for (const place of placesOf(service)) if (place.ip) place.ipMode ??= "VIP";
}

/** A service that is no longer of this type has no load balancer. */
export function dropBalancer(service: Service): void {
  if (service.spec?.type === "LoadBalancer" || placesOf(service).length === 0) return;
  service.status = { ...service.status, loadBalancer: {} };
}

function placesOf({ status }: Service): readonly LoadBalancerIngress[] {
  return status?.loadBalancer?.ingress ?? [];
}
