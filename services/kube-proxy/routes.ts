/** What every mode of the proxy makes of a Service and its slices. */
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { endpointsOf, type ServiceEndpoint } from "./endpoints.ts";
import { type Family, families, isOf, isRangeOf } from "./family.ts";
import { proxyLimits } from "./limits.ts";

type Protocol = "TCP" | "UDP" | "SCTP";

export interface Route {
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  /** Of all the addresses below. */
  readonly family: Family;
  readonly clusterIP: string;
  readonly port: number;
  /** Addresses from outside the cluster, with the service's own port. */
  readonly externalIPs: readonly string[];
  /** Those that load balancers have, which keep their clients' addresses. */
  readonly balancerIPs: readonly string[];
  /** Who may use the balancers' addresses; undefined: everyone. */
  readonly sourceRanges: readonly string[] | undefined;
  /** Undefined: none. */
  readonly nodePort: number | undefined;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** ClientIP affinity; undefined: none. */
  readonly affinitySeconds: number | undefined;
  readonly endpoints: readonly ServiceEndpoint[];
}

/** Another proxy than kube-proxy is responsible for services with this label. */
const otherProxyLabel = "service.kubernetes.io/service-proxy-name";

/** One route for each port and each family of the cluster IPs. */
export function routesOf(service: Service, slices: readonly EndpointSlice[]): readonly Route[] {
  const { metadata, spec } = service;
  if (spec?.type === "ExternalName") return [];
  if (metadata?.labels?.[otherProxyLabel] !== undefined) return [];
  const clusterIPs = spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? ""];
  return families.flatMap((family) => {
    const clusterIP = clusterIPs.find((address) => isOf(family, address));
    return clusterIP === undefined ? [] : routesOfFamily(family, clusterIP, service, slices);
  });
}

function routesOfFamily(
  family: Family,
  clusterIP: string,
  { metadata, spec, status }: Service,
  slices: readonly EndpointSlice[],
): readonly Route[] {
  const isOwn = (address: string) => isOf(family, address);
  const affinitySeconds =
    spec?.sessionAffinity === "ClientIP"
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? proxyLimits.affinitySecondsDefault)
      : undefined;
  const isBalanced = spec?.type === "LoadBalancer";
  const isExposed = isBalanced || spec?.type === "NodePort";
  const balancerIPs = (isBalanced ? (status?.loadBalancer?.ingress ?? []) : []).flatMap(
    // A balancer of mode Proxy sends to node ports, and its address must be left to it.
    ({ ip = "", ipMode }) => (ipMode !== "Proxy" && isOwn(ip) ? [ip] : []),
  );
  const ranges = isBalanced ? (spec?.loadBalancerSourceRanges ?? []) : [];
  const sourceRanges = ranges
    .map((range) => range.trim())
    .filter((range) => isRangeOf(family, range));
  return (spec?.ports ?? []).flatMap((port): Route[] => {
    const protocol = port.protocol ?? "TCP";
    if (port.port === undefined) return [];
    if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP") return [];
    return [
      {
        namespace: metadata?.namespace ?? "",
        service: metadata?.name ?? "",
        portName: port.name ?? "",
        protocol,
        family,
        clusterIP,
        port: port.port,
        externalIPs: (spec?.externalIPs ?? []).filter(isOwn),
        balancerIPs,
        sourceRanges: ranges.length === 0 ? undefined : sourceRanges,
        nodePort: isExposed && port.nodePort ? port.nodePort : undefined,
        internalLocal: spec?.internalTrafficPolicy === "Local",
        externalLocal: spec?.externalTrafficPolicy === "Local",
        affinitySeconds,
        endpoints: endpointsOf(slices, port, family),
      },
    ];
  });
}

/** Remembers what was made of each service, as long as it and its slices stay the same objects. */
export class RouteMemory {
  readonly #known = new Map<
    string,
    { service: Service; slices: readonly EndpointSlice[]; routes: readonly Route[] }
  >();

  routes(key: string, service: Service, slices: readonly EndpointSlice[]): readonly Route[] {
    const known = this.#known.get(key);
    const same =
      known?.service === service &&
      known.slices.length === slices.length &&
      known.slices.every((slice, i) => slice === slices[i]);
    if (same) return known.routes;
    const routes = routesOf(service, slices);
    this.#known.set(key, { service, slices, routes });
    return routes;
  }

  /** Forgets services that are gone. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }
}
