/**
 * What NetworkPolicies mean for the pods of one node: a pure function of policies, pods and
 * namespaces (networking.k8s.io/v1). A pod that no policy selects may do everything; any other
 * only what one of its policies allows, for each direction by itself.
 */
import type { Namespace, Pod } from "../../../proto/gen/core.ts";
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import type {
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "../../../proto/gen/networking.ts";
import { isFinished, matchesLabels, selectorOf } from "../../kinds/facts.ts";
import { type Family, isOf } from "../family.ts";

export type Direction = "ingress" | "egress";

/** Traffic that is let through: what matches all of what is given. */
export interface Allowance {
  /** Undefined: every address. */
  readonly peers: Peers | undefined;
  /** Undefined: every port of every protocol. */
  readonly ports: readonly PortRange[] | undefined;
  /** Egress to named ports: `address . port` of the pods that have them, by protocol. */
  readonly endpoints: ReadonlyMap<string, readonly string[]>;
}

export interface Peers {
  readonly addresses: readonly string[];
  readonly blocks: readonly { readonly cidr: string; readonly except: readonly string[] }[];
}

export interface PortRange {
  readonly protocol: string;
  /** Undefined: every port. */
  readonly first: number | undefined;
  readonly last: number | undefined;
}

export interface Restriction {
  readonly address: string;
  readonly direction: Direction;
  readonly allowances: readonly Allowance[];
}

export interface PolicyWorld {
  readonly policies: readonly NetworkPolicy[];
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
  readonly nodeName: string;
  /** Whose addresses are looked at. */
  readonly family: Family;
}

interface KnownPod {
  readonly pod: Pod;
  readonly namespace: string;
  readonly addresses: readonly string[];
}

/** In the order of addresses; the pods of the node that are restricted. */
export function restrictionsOf(world: PolicyWorld): readonly Restriction[] {
  const pods = world.pods.flatMap((pod) => knownPod(pod, world.family));
  const byNamespace = Map.groupBy(pods, ({ namespace }) => namespace);
  const labels = new Map(
    world.namespaces.map(({ metadata }) => [metadata?.name ?? "", metadata?.labels]),
  );
  const rulesOf = ruleReader(chooser(byNamespace, labels), world.family);
  const found: Restriction[] = [];
  const local = pods.filter(({ pod }) => pod.spec?.nodeName === world.nodeName);
  const policiesOf = Map.groupBy(world.policies, ({ metadata }) => metadata?.namespace ?? "");
  for (const known of local) {
    const selecting = (policiesOf.get(known.namespace) ?? []).filter(({ spec }) =>
      matchesLabels(selectorOf(spec?.podSelector ?? {}), known.pod.metadata?.labels),
    );
    for (const direction of ["ingress", "egress"] as const) {
      const policies = selecting.filter((policy) => restricts(policy, direction));
      if (policies.length === 0) continue;
      const allowances = policies.flatMap((policy) =>
        rulesOf(policy, direction).map((rule) => allowanceFor(rule, direction, known)),
      );
      for (const address of known.addresses) found.push({ address, direction, allowances });
    }
  }
  return found.sort((a, b) =>
    `${a.address} ${a.direction}` < `${b.address} ${b.direction}` ? -1 : 1,
  );
}

/** A pod of the host's network has the node's address, for which policies are not made. */
function knownPod(pod: Pod, family: Family): readonly KnownPod[] {
  const { metadata, spec, status } = pod;
  if (spec?.hostNetwork || isFinished(pod)) return [];
  const all = [...(status?.podIPs ?? []).map(({ ip }) => ip), status?.podIP];
  const addresses = new Set(all.filter((ip): ip is string => ip !== undefined && isOf(family, ip)));
  if (addresses.size === 0) return [];
  return [{ pod, namespace: metadata?.namespace ?? "", addresses: [...addresses] }];
}

function restricts({ spec }: NetworkPolicy, direction: Direction): boolean {
  const types = spec?.policyTypes ?? [];
  if (types.length > 0) return types.some((type) => type.toLowerCase() === direction);
  return direction === "ingress" || (spec?.egress ?? []).length > 0;
}

type Choose = (own: string, peer: NetworkPolicyPeer) => readonly KnownPod[];

/** The pods of a peer; remembers them, since many rules name the same ones. */
function chooser(
  byNamespace: ReadonlyMap<string, readonly KnownPod[]>,
  labels: ReadonlyMap<string, Readonly<Record<string, string>> | undefined>,
): Choose {
  const known = new Map<string, readonly KnownPod[]>();
  const matching = (selector: LabelSelector | undefined) => {
    const parsed = selectorOf(selector ?? {});
    return (own: Readonly<Record<string, string>> | undefined) => matchesLabels(parsed, own);
  };
  return (own, { podSelector, namespaceSelector }) => {
    const key = JSON.stringify([
      namespaceSelector === undefined ? own : "",
      namespaceSelector ?? "",
      podSelector ?? "",
    ]);
    const before = known.get(key);
    if (before !== undefined) return before;
    const isWanted = matching(namespaceSelector);
    const isChosen = matching(podSelector);
    const names =
      namespaceSelector === undefined
        ? [own]
        : [...byNamespace.keys()].filter((name) => isWanted(labels.get(name)));
    const pods = names
      .flatMap((name) => byNamespace.get(name) ?? [])
      .filter(({ pod }) => isChosen(pod.metadata?.labels));
    known.set(key, pods);
    return pods;
  };
}

/** What a rule of a policy allows, whichever pod it is for. */
interface PolicyRule {
  readonly peers: Peers | undefined;
  readonly ports: readonly NetworkPolicyPort[];
  readonly endpoints: Allowance["endpoints"];
}

type RulesOf = (policy: NetworkPolicy, direction: Direction) => readonly PolicyRule[];

/** Remembers the rules of each policy, which often selects many pods. */
function ruleReader(choose: Choose, family: Family): RulesOf {
  const known = { ingress: new Map<NetworkPolicy, readonly PolicyRule[]>(), egress: new Map() };
  return (policy, direction) => {
    const before = known[direction].get(policy);
    if (before !== undefined) return before;
    const rules = policyRules(policy, direction, choose, family);
    known[direction].set(policy, rules);
    return rules;
  };
}

function policyRules(
  { metadata, spec }: NetworkPolicy,
  direction: Direction,
  choose: Choose,
  family: Family,
): readonly PolicyRule[] {
  const own = metadata?.namespace ?? "";
  const rules =
    direction === "ingress"
      ? (spec?.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
      : (spec?.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
  return rules.map(({ peers, ports }) => {
    const pods = peers.filter((peer) => !peer.ipBlock).flatMap((peer) => choose(own, peer));
    const everyone = peers.length === 0 ? choose(own, { namespaceSelector: {} }) : pods;
    const named = ports.filter(isNamed);
    return {
      peers: peers.length === 0 ? undefined : peersOf(peers, pods, family),
      ports,
      endpoints: direction === "egress" ? endpointsOf(named, everyone) : new Map(),
    };
  });
}

function allowanceFor(
  { peers, ports, endpoints }: PolicyRule,
  direction: Direction,
  target: KnownPod,
): Allowance {
  const ranges = ports.length === 0 ? undefined : rangesOf(ports, direction, target);
  return { peers, ports: ranges, endpoints };
}

function peersOf(
  peers: readonly NetworkPolicyPeer[],
  pods: readonly KnownPod[],
  family: Family,
): Peers {
  const blocks = peers.flatMap(({ ipBlock }) => {
    const { cidr = "", except = [] } = ipBlock ?? {};
    const isHere = (range: string) => isOf(family, range.split("/", 1).join(""));
    return isHere(cidr) ? [{ cidr, except: except.filter(isHere) }] : [];
  });
  return { addresses: [...new Set(pods.flatMap(({ addresses }) => addresses))].sort(), blocks };
}

function isNamed({ port }: NetworkPolicyPort): boolean {
  return typeof port === "string" && !/^\d+$/.test(port);
}

function rangesOf(
  ports: readonly NetworkPolicyPort[],
  direction: Direction,
  target: KnownPod,
): readonly PortRange[] {
  return ports.flatMap((one): PortRange[] => {
    const { protocol = "TCP", port, endPort } = one;
    if (isNamed(one)) {
      if (direction === "egress") return [];
      return portsNamed(target.pod, String(port), protocol).map((first) => ({
        protocol,
        first,
        last: undefined,
      }));
    }
    const first = port === undefined || port === null ? undefined : Number(port);
    return [{ protocol, first, last: first === undefined ? undefined : endPort }];
  });
}

/** Every peer says by itself what number its port of that name has. */
function endpointsOf(
  ports: readonly NetworkPolicyPort[],
  pods: readonly KnownPod[],
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const { protocol = "TCP", port } of ports) {
    const list = found.get(protocol) ?? new Set();
    for (const { pod, addresses } of pods) {
      for (const number of portsNamed(pod, String(port), protocol)) {
        for (const address of addresses) list.add(`${address} . ${number}`);
      }
    }
    found.set(protocol, list);
  }
  return new Map([...found].map(([protocol, list]) => [protocol, [...list].sort()]));
}

function portsNamed({ spec }: Pod, name: string, protocol: string): readonly number[] {
  const { containers = [], initContainers = [] } = spec ?? {};
  return [...containers, ...initContainers]
    .flatMap(({ ports = [] }) => ports)
    .filter((one) => one.name === name && (one.protocol ?? "TCP") === protocol)
    .flatMap(({ containerPort }) => (containerPort === undefined ? [] : [containerPort]));
}
