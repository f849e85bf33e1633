/**
 * The rules of services as chains and elements of nftables: a pure function of the routes.
 *
 *   services ── service-ips[address . protocol . port] ──────► service-… | local-… | external-…
 *            └─ service-nodeports[protocol . port] ──────────► external-…
 *   external-… ─► service-… (any endpoint, the client's address is masked)
 *              └► local-…   (policy Local: endpoints of this node, the client's address is kept)
 *   service-…, local-… ─► one endpoint by chance; with affinity by endpoint-… chains
 *
 * Names and structure follow upstream's `pkg/proxy/nftables`; an endpoint without affinity has no
 * chain of its own, so that a service of ten thousand endpoints is one rule.
 */
import { createHash } from "node:crypto";
import { clusterTargets, localTargets, type Place, type Target, targetKey } from "../endpoints.ts";
import { type Dialect, dialects } from "../family.ts";
import type { Route } from "../routes.ts";

/** What belongs to one route. */
export interface RouteRules {
  /** Rules by chain. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Definitions by set: the clients of each endpoint, for affinity. */
  readonly sets: ReadonlyMap<string, string>;
  /** Elements of maps and sets that all routes share. */
  readonly elements: readonly Element[];
  /** UDP: what the kernel remembers of connections must be forgotten when endpoints go. */
  readonly flows: readonly Flow[];
}

export interface Element {
  readonly set: SharedSet;
  readonly key: string;
  /** Of a map; undefined: an element of a set. */
  readonly value: string | undefined;
}

export type SharedSet =
  | "cluster-ips"
  | "service-ips"
  | "service-nodeports"
  | "no-endpoint-services"
  | "no-endpoint-nodeports"
  | "firewall-ips"
  | "hairpin-connections";

/** A service's address, and the endpoints that its datagrams may go to. */
export interface Flow {
  /** Undefined: a port of the node. */
  readonly ip: string | undefined;
  readonly port: number;
  readonly endpoints: readonly string[];
}

export interface ChainScope {
  readonly place: Place;
  readonly nodesHere: ReadonlySet<string>;
  /**
   * Range of the cluster's pods, of the route's family; undefined: unknown, and only local clients
   * count as inside.
   */
  readonly clusterRange: string | undefined;
}

export const chainNames = {
  masquerade: "mark-for-masquerade",
  reject: "reject-chain",
  firewallDrop: "firewall-drop",
} as const;

/** Linux's most for a list of clients with an affinity. */
const clientsMax = 65_535;

class Builder {
  readonly chains = new Map<string, readonly string[]>();
  readonly sets = new Map<string, string>();
  readonly elements: Element[] = [];
  readonly flows: Flow[] = [];
  readonly #route: Route;
  readonly #name: string;
  readonly #dialect: Dialect;

  constructor(route: Route) {
    this.#route = route;
    this.#dialect = dialects[route.family];
    const { namespace, service, protocol, portName, port } = route;
    const full = `${namespace}/${service}/${protocol.toLowerCase()}/${portName || port}`;
    this.#name = `${digest(full)}-${full}`;
  }

  chainOf(kind: "service" | "local" | "external"): string {
    return `${kind}-${this.#name}`;
  }

  element(set: SharedSet, key: string, value?: string): void {
    this.elements.push({ set, key, value });
  }

  /** A chain that sends to one of the endpoints. */
  balance(
    kind: "service" | "local",
    targets: readonly Target[],
    before: readonly string[],
  ): string {
    const chain = this.chainOf(kind);
    const { affinitySeconds } = this.#route;
    const rules =
      affinitySeconds === undefined
        ? [this.#byChance(targets)]
        : this.#byAffinity(targets, affinitySeconds);
    this.chains.set(chain, [...before, ...rules]);
    for (const { ip } of targets) this.element("hairpin-connections", `${ip} . ${ip}`);
    return chain;
  }

  #byChance(targets: readonly Target[]): string {
    const to = `meta l4proto ${this.#route.protocol.toLowerCase()} dnat ${this.#dialect.ip} to`;
    const [only] = targets;
    if (targets.length === 1 && only !== undefined) return `${to} ${targetKey(only)}`;
    const items = targets.map(({ ip, port }, i) => `${i} : ${ip} . ${port}`);
    return `${to} numgen random mod ${targets.length} map { ${items.join(", ")} }`;
  }

  #byAffinity(targets: readonly Target[], seconds: number): readonly string[] {
    const protocol = this.#route.protocol.toLowerCase();
    const { ip, type } = this.#dialect;
    const known: string[] = [];
    const chains: string[] = [];
    for (const target of targets) {
      // Names have no colons.
      const suffix = `${this.#name}__${target.ip.replaceAll(":", ".")}/${target.port}`;
      const set = `affinity-${suffix}`;
      const chain = `endpoint-${suffix}`;
      const options = `flags dynamic,timeout ; timeout ${seconds}s ; size ${clientsMax} ;`;
      this.sets.set(set, `{ type ${type} ; ${options} }`);
      this.chains.set(chain, [
        `update @${set} { ${ip} saddr }`,
        `meta l4proto ${protocol} dnat ${ip} to ${targetKey(target)}`,
      ]);
      known.push(`${ip} saddr @${set} goto ${chain}`);
      chains.push(chain);
    }
    const [only] = chains;
    if (chains.length === 1 && only !== undefined) return [`goto ${only}`];
    const items = chains.map((chain, i) => `${i} : goto ${chain}`);
    return [...known, `numgen random mod ${chains.length} vmap { ${items.join(", ")} }`];
  }
}

export function rulesOfRoute(route: Route, scope: ChainScope): RouteRules {
  const builder = new Builder(route);
  const all = clusterTargets(route.endpoints, scope.place);
  const local = localTargets(route.endpoints, scope.nodesHere);
  const protocol = route.protocol.toLowerCase();
  const key = (ip: string) => `${ip} . ${protocol} . ${route.port}`;
  const externalIPs = [...route.externalIPs, ...route.balancerIPs];
  const isExternal = externalIPs.length > 0 || route.nodePort !== undefined;
  // Traffic from inside to an outer address is treated as the cluster's own.
  const usesAll = !route.internalLocal || isExternal;
  const usesLocal = route.internalLocal || (route.externalLocal && isExternal);
  const service =
    usesAll && all.length > 0 ? builder.balance("service", all, inside(route, scope)) : undefined;
  const own = usesLocal && local.length > 0 ? builder.balance("local", local, []) : undefined;

  builder.element("cluster-ips", route.clusterIP);
  const internal = route.internalLocal ? own : service;
  // Endpoints elsewhere: the policy drops what is not for this node, others are refused.
  const elsewhere = all.length > 0 ? "drop" : `goto ${chainNames.reject}`;
  const internalKey = key(route.clusterIP);
  if (internal !== undefined) builder.element("service-ips", internalKey, `goto ${internal}`);
  else builder.element("no-endpoint-services", internalKey, elsewhere);
  if (isExternal) addExternal(builder, route, scope, { service, own, elsewhere, externalIPs, key });
  if (route.protocol === "UDP") {
    addFlow(builder, route.clusterIP, route.port, route.internalLocal ? local : all);
    for (const ip of externalIPs) addFlow(builder, ip, route.port, [...all, ...local]);
    if (route.nodePort !== undefined) {
      addFlow(builder, undefined, route.nodePort, [...all, ...local]);
    }
  }
  const { chains, sets, elements, flows } = builder;
  return { chains, sets, elements, flows };
}

/** Clients outside the cluster reach a cluster IP with this node's address. */
function inside(route: Route, { clusterRange }: ChainScope): string[] {
  if (clusterRange === undefined) return [];
  const { ip } = dialects[route.family];
  const to = `${ip} daddr ${route.clusterIP} ${route.protocol.toLowerCase()} dport ${route.port}`;
  return [`${to} ${ip} saddr != ${clusterRange} jump ${chainNames.masquerade}`];
}

interface External {
  readonly service: string | undefined;
  readonly own: string | undefined;
  readonly elsewhere: string;
  readonly externalIPs: readonly string[];
  readonly key: (ip: string) => string;
}

function addExternal(builder: Builder, route: Route, scope: ChainScope, external: External): void {
  const { service, own, elsewhere, externalIPs, key } = external;
  const { masquerade } = chainNames;
  const { ip } = dialects[route.family];
  const protocol = route.protocol.toLowerCase();
  const chain = builder.chainOf("external");
  const rules: string[] = [];
  if (route.externalLocal) {
    if (service !== undefined) {
      const { clusterRange } = scope;
      if (clusterRange !== undefined) rules.push(`${ip} saddr ${clusterRange} goto ${service}`);
      rules.push(`fib saddr type local jump ${masquerade}`);
      rules.push(`fib saddr type local goto ${service}`);
    }
    if (own !== undefined) rules.push(`goto ${own}`);
  } else if (service !== undefined) rules.push(`jump ${masquerade}`, `goto ${service}`);
  if (rules.length > 0) builder.chains.set(chain, rules);
  const reachable = route.externalLocal ? own : service;
  for (const address of externalIPs) {
    if (rules.length > 0) builder.element("service-ips", key(address), `goto ${chain}`);
    if (reachable === undefined) builder.element("no-endpoint-services", key(address), elsewhere);
  }
  if (route.nodePort !== undefined) {
    const at = `${protocol} . ${route.nodePort}`;
    if (rules.length > 0) builder.element("service-nodeports", at, `goto ${chain}`);
    if (reachable === undefined) builder.element("no-endpoint-nodeports", at, elsewhere);
  }
  addFirewall(builder, route, key);
}

/** The balancers' addresses are for clients of the given ranges alone. */
function addFirewall(builder: Builder, route: Route, key: (ip: string) => string): void {
  const { sourceRanges, balancerIPs } = route;
  if (sourceRanges === undefined || balancerIPs.length === 0) return;
  const { ip } = dialects[route.family];
  const chain = builder.chainOf("external").replace(/^external/, "firewall");
  const drop = `jump ${chainNames.firewallDrop}`;
  const rule =
    sourceRanges.length === 0 ? drop : `${ip} saddr != { ${sourceRanges.join(", ")} } ${drop}`;
  builder.chains.set(chain, [rule]);
  for (const address of balancerIPs) builder.element("firewall-ips", key(address), `goto ${chain}`);
}

function addFlow(
  builder: Builder,
  ip: string | undefined,
  port: number,
  targets: readonly Target[],
): void {
  builder.flows.push({ ip, port, endpoints: [...new Set(targets.map((one) => one.ip))] });
}

/** Names of the API can be long and nearly alike; what a person reads comes after it. */
function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8).toUpperCase();
}
