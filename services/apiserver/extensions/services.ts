/** Where a Service's pods are, as the watch cache knows it. */
import type { Endpoints, Service } from "../../../proto/gen/core.ts";
import type { Registry } from "../../kinds/mod.ts";
import { objectKey } from "../storage/keys.ts";
import type { WatchCache } from "../storage/watch-cache.ts";
import type { ServiceLookup } from "../webhook-client.ts";

export function serviceLookup(
  registry: Registry,
  cache: WatchCache,
  random: (limit: number) => number,
): ServiceLookup {
  const services = registry.required("v1", "Service");
  const endpoints = registry.required("v1", "Endpoints");
  return (namespace, name, port) => {
    const service = cache.of(services).get(objectKey(services, namespace, name));
    const found = cache.of(endpoints).get(objectKey(endpoints, namespace, name));
    const { spec } = (service?.document ?? {}) as Service;
    const wanted = spec?.ports?.find((each) => each.port === port);
    if (wanted === undefined) return undefined;
    const { subsets = [] } = (found?.document ?? {}) as Endpoints;
    const backends = subsets.flatMap(({ addresses = [], ports = [] }) => {
      const target = ports.find((each) => (each.name ?? "") === (wanted.name ?? ""));
      if (target?.port === undefined) return [];
      const { port: targetPort } = target;
      return addresses.map(({ ip = "" }) => ({ host: ip, port: targetPort }));
    });
    return backends.length === 0 ? undefined : backends[random(backends.length)];
  };
}
