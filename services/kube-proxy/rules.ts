/**
 * On which addresses a proxy listens, and to which endpoints connections go: pure functions of
 * the services' routes.
 *
 * Several nodes may share a machine, and then their proxies share every address. A connection is
 * treated alike whichever proxy gets it, so a policy `Local` is decided by where it comes from:
 * - internal traffic from a pod (its address, or its process; see `client-process.ts`) or from an
 *   address that one node alone has goes to endpoints of that node, or is reset; any other comes
 *   from the machine, which is all of its nodes at once;
 * - external traffic to a node's address goes to endpoints of the nodes that have this address.
 */
import {
  clusterTargets,
  localTargets,
  localTargetsOfEach,
  type Place,
  type Target,
} from "./endpoints.ts";
import { isOf } from "./family.ts";
import { proxyLimits } from "./limits.ts";
import type { Route } from "./routes.ts";

export interface Rule {
  /** `TCP 127.32.0.10:80`: unique, since two services never share an address and port. */
  readonly key: string;
  readonly protocol: "TCP" | "UDP";
  readonly ip: string;
  readonly port: number;
  /** Endpoints in order, without duplicates; never empty: nothing listens without any. */
  readonly targets: readonly Target[];
  /** internalTrafficPolicy Local: a client whose node is known gets endpoints of that node only. */
  readonly perClientNode: boolean;
  /** Ranges of the clients that may connect; undefined: all may. */
  readonly sourceRanges: readonly string[] | undefined;
  /** ClientIP affinity; undefined: none. */
  readonly affinitySeconds: number | undefined;
  /** Namespace, name and port name: a client's affinity is the same on every address of these. */
  readonly affinityKey: string;
  readonly namespace: string;
  readonly service: string;
}

/** Where the rules apply. */
export interface RuleScope {
  /** Address of NodePorts. */
  readonly nodeIP: string;
  /** Its address of the other family, if it has one. */
  readonly secondNodeIP?: string | undefined;
  /** The nodes of this machine: those whose proxies hear each other, this one's included. */
  readonly nodesHere: ReadonlySet<string>;
  /** Those of them that share `nodeIP`. */
  readonly nodesAtAddress: ReadonlySet<string>;
  readonly place: Place;
  /** Whether the machine has the address, so that it can be listened on. */
  readonly isOwn: (address: string) => boolean;
}

/** Every rule by key. Two services that claim the same address and port: the first name wins. */
export function desiredRules(
  routes: readonly Route[],
  scope: RuleScope,
): ReadonlyMap<string, Rule> {
  const nameOf = ({ namespace, service }: Route) => `${namespace}/${service}`;
  const rules = new Map<string, Rule>();
  for (const route of routes.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    for (const rule of rulesOf(route, scope)) {
      if (rules.size >= proxyLimits.listenersMax) return rules;
      if (!rules.has(rule.key)) rules.set(rule.key, rule);
    }
  }
  return rules;
}

function rulesOf(route: Route, scope: RuleScope): readonly Rule[] {
  const { namespace, service, portName, protocol, endpoints, affinitySeconds } = route;
  // SCTP has no userspace proxy.
  if (protocol === "SCTP") return [];
  const rules: Rule[] = [];
  const add = (
    ip: string,
    port: number,
    targets: readonly Target[],
    more: Partial<Pick<Rule, "perClientNode" | "sourceRanges">> = {},
  ) => {
    if (targets.length === 0) return;
    rules.push({
      key: `${protocol} ${ip}:${port}`,
      protocol,
      ip,
      port,
      targets,
      perClientNode: false,
      sourceRanges: undefined,
      affinitySeconds,
      affinityKey: `${namespace}/${service}:${portName}`,
      namespace,
      service,
      ...more,
    });
  };
  const { nodesHere, nodesAtAddress, nodeIP, secondNodeIP, place, isOwn } = scope;
  const all = clusterTargets(endpoints, place);
  if (route.internalLocal) {
    const own = localTargetsOfEach(endpoints, nodesHere);
    add(route.clusterIP, route.port, own, { perClientNode: true });
  } else add(route.clusterIP, route.port, all);
  const external = route.externalLocal ? localTargets(endpoints, nodesHere) : all;
  for (const ip of route.externalIPs) add(ip, route.port, external);
  const { sourceRanges } = route;
  // An address of a balancer elsewhere is that balancer's.
  for (const ip of route.balancerIPs.filter(isOwn)) add(ip, route.port, external, { sourceRanges });
  if (route.nodePort !== undefined) {
    const targets = route.externalLocal ? localTargets(endpoints, nodesAtAddress) : all;
    for (const ip of [nodeIP, secondNodeIP]) {
      if (ip !== undefined && isOf(route.family, ip)) add(ip, route.nodePort, targets);
    }
  }
  return rules;
}

export interface RuleChanges {
  readonly open: readonly Rule[];
  /** Same listener, other targets or affinity. */
  readonly update: readonly Rule[];
  readonly close: readonly string[];
}

export function diffRules(
  current: ReadonlyMap<string, Rule>,
  desired: ReadonlyMap<string, Rule>,
): RuleChanges {
  const open: Rule[] = [];
  const update: Rule[] = [];
  for (const [key, rule] of desired) {
    const old = current.get(key);
    if (old === undefined) open.push(rule);
    else if (old !== rule && JSON.stringify(old) !== JSON.stringify(rule)) update.push(rule);
  }
  return { open, update, close: [...current.keys()].filter((key) => !desired.has(key)) };
}
