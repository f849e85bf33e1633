/**
 * On which addresses a proxy listens, and to which endpoints connections go: pure functions of
 * Services and Endpoints.
 *
 * Several nodes may share a machine, and then their proxies share every address. A connection is
 * treated alike whichever proxy gets it, so a policy `Local` is decided by where it comes from:
 * - internal traffic from a pod (its address, or its process; see `client-process.ts`) or from an
 *   address that one node alone has goes to endpoints of that node, or is reset; any other comes
 *   from the machine, which is all of its nodes at once;
 * - external traffic to a node's address goes to endpoints of the nodes that have this address.
 */
import type { Endpoints, Service, ServicePort } from "../../proto/gen/core.ts";
import { proxyLimits } from "./limits.ts";

export interface Target {
  readonly ip: string;
  readonly port: number;
  /** The node it is on, if that is known. */
  readonly node?: string | undefined;
}

export interface Rule {
  /** `TCP 127.32.0.10:80`: unique, since two services never share an address and port. */
  readonly key: string;
  readonly protocol: "TCP" | "UDP";
  readonly ip: string;
  readonly port: number;
  /** Ready endpoints, in order, without duplicates; never empty: nothing listens without any. */
  readonly targets: readonly Target[];
  /** internalTrafficPolicy Local: a client whose node is known gets endpoints of that node only. */
  readonly perClientNode: boolean;
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
  /** The nodes of this machine: those whose proxies hear each other, this one's included. */
  readonly nodesHere: ReadonlySet<string>;
  /** Those of them that share `nodeIP`. */
  readonly nodesAtAddress: ReadonlySet<string>;
}

/** Every rule by key. Two services that claim the same address and port: the older name wins. */
export function desiredRules(
  services: readonly Service[],
  endpoints: readonly Endpoints[],
  scope: RuleScope,
): ReadonlyMap<string, Rule> {
  const nameOf = (object: Service | Endpoints) =>
    `${object.metadata?.namespace ?? ""}/${object.metadata?.name ?? ""}`;
  const byName = new Map(endpoints.map((one) => [nameOf(one), one]));
  const rules = new Map<string, Rule>();
  for (const service of services.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    for (const rule of rulesOf(service, byName.get(nameOf(service)), scope)) {
      if (rules.size >= proxyLimits.listenersMax) return rules;
      if (!rules.has(rule.key)) rules.set(rule.key, rule);
    }
  }
  return rules;
}

function rulesOf(
  service: Service,
  endpoints: Endpoints | undefined,
  scope: RuleScope,
): readonly Rule[] {
  const { metadata, spec } = service;
  const clusterIP = spec?.clusterIP ?? "";
  if (spec?.type === "ExternalName" || clusterIP === "" || clusterIP === "None") return [];
  const affinitySeconds =
    spec?.sessionAffinity === "ClientIP"
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? proxyLimits.affinitySecondsDefault)
      : undefined;
  const rules: Rule[] = [];
  for (const port of spec?.ports ?? []) {
    const protocol = port.protocol ?? "TCP";
    // SCTP has no userspace proxy.
    if ((protocol !== "TCP" && protocol !== "UDP") || port.port === undefined) continue;
    const portName = port.name ?? "";
    const add = (ip: string, number: number, nodes: Nodes, perClientNode = false) => {
      const targets = targetsOf(endpoints, port, nodes);
      if (targets.length === 0) return;
      rules.push({
        key: `${protocol} ${ip}:${number}`,
        protocol,
        ip,
        port: number,
        targets,
        perClientNode,
        affinitySeconds,
        affinityKey: `${metadata?.namespace}/${metadata?.name}:${portName}`,
        namespace: metadata?.namespace ?? "",
        service: metadata?.name ?? "",
      });
    };
    const isInternalLocal = spec?.internalTrafficPolicy === "Local";
    add(clusterIP, port.port, isInternalLocal ? scope.nodesHere : undefined, isInternalLocal);
    const isExternalLocal = spec?.externalTrafficPolicy === "Local";
    for (const ip of spec?.externalIPs ?? []) {
      add(ip, port.port, isExternalLocal ? scope.nodesHere : undefined);
    }
    if (isExposed(service) && port.nodePort) {
      add(scope.nodeIP, port.nodePort, isExternalLocal ? scope.nodesAtAddress : undefined);
    }
  }
  return rules;
}

/** Undefined: any node. */
type Nodes = ReadonlySet<string> | undefined;

function isExposed({ spec }: Service): boolean {
  return spec?.type === "NodePort" || spec?.type === "LoadBalancer";
}

/** Ready addresses with the port of the same name and protocol. */
function targetsOf(
  endpoints: Endpoints | undefined,
  port: ServicePort,
  nodes: Nodes,
): readonly Target[] {
  const targets = new Map<string, Target>();
  for (const subset of endpoints?.subsets ?? []) {
    const match = subset.ports?.find(
      (one) =>
        (one.name ?? "") === (port.name ?? "") &&
        (one.protocol ?? "TCP") === (port.protocol ?? "TCP"),
    );
    if (match?.port === undefined) continue;
    for (const { ip, nodeName } of subset.addresses ?? []) {
      if (ip === undefined) continue;
      if (nodes !== undefined && (nodeName === undefined || !nodes.has(nodeName))) continue;
      targets.set(`${ip}:${match.port}`, { ip, port: match.port, node: nodeName });
    }
  }
  return [...targets.values()].sort((a, b) => (targetKey(a) < targetKey(b) ? -1 : 1));
}

export function targetKey(target: Target): string {
  return `${target.ip}:${target.port}`;
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
    else if (JSON.stringify(old) !== JSON.stringify(rule)) update.push(rule);
  }
  return { open, update, close: [...current.keys()].filter((key) => !desired.has(key)) };
}
