/** What should listen where and lead whither: pure functions of Services and Endpoints. */
import type { Endpoints, Service, ServicePort } from "../../proto/gen/core.ts";
import { proxyLimits } from "./limits.ts";

export interface Target {
  readonly ip: string;
  readonly port: number;
}

export interface Rule {
  /** `TCP 127.32.0.10:80`: unique, since two services never share an address and port. */
  readonly key: string;
  readonly protocol: "TCP" | "UDP";
  readonly ip: string;
  readonly port: number;
  /** Ready endpoints, in order, without duplicates; never empty: nothing listens without any. */
  readonly targets: readonly Target[];
  /** ClientIP affinity; undefined: none. */
  readonly affinitySeconds: number | undefined;
  readonly namespace: string;
  readonly service: string;
}

/** Where the rules apply. */
export interface RuleScope {
  /** Address of NodePorts. */
  readonly nodeIP: string;
  /** For internal/externalTrafficPolicy Local. */
  readonly nodeName: string;
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
    const add = (ip: string, number: number, local: boolean) => {
      const targets = targetsOf(endpoints, port, local ? scope.nodeName : undefined);
      if (targets.length === 0) return;
      rules.push({
        key: `${protocol} ${ip}:${number}`,
        protocol,
        ip,
        port: number,
        targets,
        affinitySeconds,
        namespace: metadata?.namespace ?? "",
        service: metadata?.name ?? "",
      });
    };
    const isExternalLocal = spec?.externalTrafficPolicy === "Local";
    add(clusterIP, port.port, spec?.internalTrafficPolicy === "Local");
    for (const ip of spec?.externalIPs ?? []) add(ip, port.port, isExternalLocal);
    const exposed = spec?.type === "NodePort" || spec?.type === "LoadBalancer";
    if (exposed && port.nodePort) add(scope.nodeIP, port.nodePort, isExternalLocal);
  }
  return rules;
}

/** Ready addresses with the port of the same name and protocol. */
function targetsOf(
  endpoints: Endpoints | undefined,
  port: ServicePort,
  onlyNode: string | undefined,
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
      if (ip === undefined || (onlyNode !== undefined && nodeName !== onlyNode)) continue;
      targets.set(`${ip}:${match.port}`, { ip, port: match.port });
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
