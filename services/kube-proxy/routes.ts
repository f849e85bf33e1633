/** What every mode of the proxy makes of a Service and its slices: one route for each port. */
import { isIPv4, isIPv6 } from "node:net";
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { endpointsOf, type ServiceEndpoint } from "./endpoints.ts";
import { proxyLimits } from "./limits.ts";

type Protocol = "TCP" | "UDP" | "SCTP";

export interface Route {
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
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

export function routesOf(service: Service, slices: readonly EndpointSlice[]): readonly Route[] {
  const { metadata, spec, status } = service;
  const clusterIP = spec?.clusterIP ?? "";
  if (spec?.type === "ExternalName" || clusterIP === "" || clusterIP === "None") return [];
  if (metadata?.labels?.[otherProxyLabel] !== undefined) return [];
  const affinitySeconds =
    spec?.sessionAffinity === "ClientIP"
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? proxyLimits.affinitySecondsDefault)
      : undefined;
  const isBalanced = spec?.type === "LoadBalancer";
  const isExposed = isBalanced || spec?.type === "NodePort";
  const balancerIPs = (isBalanced ? (status?.loadBalancer?.ingress ?? []) : []).flatMap(
    // A balancer of mode Proxy sends to node ports, and its address must be left to it.
    ({ ip = "", ipMode }) => (ip === "" || ipMode === "Proxy" ? [] : [ip]),
  );
  const ranges = isBalanced ? (spec?.loadBalancerSourceRanges ?? []) : [];
  const sourceRanges = ranges.map((range) => range.trim()).filter(isRange);
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
        clusterIP,
        port: port.port,
        externalIPs: spec?.externalIPs ?? [],
        balancerIPs,
        sourceRanges: ranges.length === 0 ? undefined : sourceRanges,
        nodePort: isExposed && port.nodePort ? port.nodePort : undefined,
        internalLocal: spec?.internalTrafficPolicy === "Local",
        externalLocal: spec?.externalTrafficPolicy === "Local",
        affinitySeconds,
        endpoints: endpointsOf(slices, port),
      },
    ];
  });
}

function isRange(text: string): boolean {
  const [base = "", bits = "", ...more] = text.split("/");
  const most = isIPv4(base) ? 32 : isIPv6(base) ? 128 : -1;
  return more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
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
