/**
 * The whole table as a program of `nft`, and the difference between two states of it: pure. Each
 * text is one transaction, which the kernel takes whole or not at all.
 */
import { type Dialect, dialects, type Family } from "../family.ts";
import { chainNames, type Element, type SharedSet } from "./chains.ts";

const tableName = "kube-proxy";
/** The bit that upstream uses to mark packets whose source is to be masked. */
const mark = "0x4000";
const unmark = "0xffffbfff";

const nodePortKey = "inet_proto . inet_service";

type SetDefinition = readonly [kind: "set" | "map", type: string, comment: string];

function sharedSets({ type }: Dialect): Readonly<Record<SharedSet, SetDefinition>> {
  const ipKey = `${type} . ${nodePortKey}`;
  return {
    "cluster-ips": ["set", type, "addresses of services"],
    "service-ips": ["map", `${ipKey} : verdict`, "where connections to services go"],
    "service-nodeports": ["map", `${nodePortKey} : verdict`, "and those to node ports"],
    "no-endpoint-services": ["map", `${ipKey} : verdict`, "services without an endpoint"],
    "no-endpoint-nodeports": ["map", `${nodePortKey} : verdict`, "such node ports"],
    "firewall-ips": ["map", `${ipKey} : verdict`, "balancers' addresses for some clients only"],
    "hairpin-connections": ["set", `${type} . ${type}`, "endpoints that reach themselves"],
  };
}

/** Of the family's table. */
function placeOf(family: Family): string {
  return `${dialects[family].ip} ${tableName}`;
}

type Chain = readonly [name: string, hook: string, rules: readonly string[]];

/** Chains that are the same whatever services there are. Order matters: jumps go to earlier ones. */
function baseChains({ ip }: Dialect): readonly Chain[] {
  const toService = `${ip} daddr . meta l4proto . th dport vmap`;
  const toNode = `${ip} daddr @nodeport-ips meta l4proto . th dport vmap`;
  const refuseStrange = `ct state new ${ip} daddr @cluster-ips goto ${chainNames.reject}`;
  const firewall = `ct state new ${toService} @firewall-ips`;
  return [
    [chainNames.masquerade, "", [`meta mark set meta mark or ${mark}`]],
    // ICMP is limited in rate; a reset always gets through.
    [chainNames.reject, "", ["meta l4proto tcp reject with tcp reset", "reject"]],
    [chainNames.firewallDrop, "", ["drop"]],
    ["services", "", [`${toService} @service-ips`, `${toNode} @service-nodeports`]],
    [
      "no-endpoints",
      "",
      [`${toService} @no-endpoint-services`, `${toNode} @no-endpoint-nodeports`],
    ],
    ["nat-prerouting", "type nat hook prerouting priority dstnat ;", ["jump services"]],
    ["nat-output", "type nat hook output priority -100 ;", ["jump services"]],
    [
      "nat-postrouting",
      "type nat hook postrouting priority srcnat ;",
      [
        `ct status dnat ${ip} saddr . ${ip} daddr @hairpin-connections masquerade fully-random`,
        `meta mark and ${mark} == 0 return`,
        `meta mark set meta mark and ${unmark}`,
        "masquerade fully-random",
      ],
    ],
    ["filter-prerouting", "type filter hook prerouting priority -110 ;", [firewall]],
    ["filter-input", "type filter hook input priority -110 ;", ["ct state new jump no-endpoints"]],
    [
      "filter-forward",
      "type filter hook forward priority -110 ;",
      // The second is for a port that the service does not have.
      ["ct state new jump no-endpoints", refuseStrange],
    ],
    [
      "filter-output",
      "type filter hook output priority -110 ;",
      ["ct state new jump no-endpoints", firewall],
    ],
    ["filter-output-post-dnat", "type filter hook output priority -90 ;", [refuseStrange]],
  ];
}

/** Everything that the routes need, put together. */
export interface TableState {
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: ReadonlyMap<string, string>;
  /** By set and key. */
  readonly elements: ReadonlyMap<string, Element>;
}

const emptyState: TableState = { chains: new Map(), sets: new Map(), elements: new Map() };

/** Replaces whatever table of this name there is. */
export function wholeTable(
  state: TableState,
  nodePortAddresses: readonly string[],
  family: Family,
): string {
  const at = placeOf(family);
  const chains = baseChains(dialects[family]);
  const lines = [`add table ${at}`, `delete table ${at}`, `add table ${at}`];
  for (const [name, [kind, type, comment]] of Object.entries(sharedSets(dialects[family]))) {
    lines.push(`add ${kind} ${at} ${name} { type ${type} ; comment "${comment}" ; }`);
  }
  lines.push(`add set ${at} nodeport-ips { type ${dialects[family].type} ; }`);
  if (nodePortAddresses.length > 0) {
    lines.push(`add element ${at} nodeport-ips { ${nodePortAddresses.join(", ")} }`);
  }
  for (const [name, hook] of chains) {
    lines.push(`add chain ${at} ${name}${hook === "" ? "" : ` { ${hook} }`}`);
  }
  for (const [name, , rules] of chains) {
    for (const rule of rules) lines.push(`add rule ${at} ${name} ${rule}`);
  }
  return `${lines.join("\n")}\n${difference(emptyState, state, family).text}`;
}

export interface Difference {
  /** Empty: there is none. */
  readonly text: string;
  /**
   * Chains and sets that nothing leads to any more, emptied. They are deleted by a later
   * transaction: packets may still be on their way through them.
   */
  readonly left: { readonly chains: readonly string[]; readonly sets: readonly string[] };
}

/** What makes `desired` of `current`; objects that are left over are passed to `removal` later. */
export function difference(current: TableState, desired: TableState, family: Family): Difference {
  const at = placeOf(family);
  const lines: string[] = [];
  const changed = [...desired.chains].filter(([name, rules]) => {
    const before = current.chains.get(name);
    return before !== rules && before?.join("\n") !== rules.join("\n");
  });
  const goneSets = [...current.sets.keys()].filter((name) => !desired.sets.has(name));
  for (const [name, definition] of desired.sets) {
    const before = current.sets.get(name);
    if (before === definition) continue;
    // A set with another timeout is another set.
    if (before !== undefined) lines.push(...replaced(at, name, current, changed));
    lines.push(`add set ${at} ${name} ${definition}`);
  }
  for (const [name] of changed) {
    if (!current.chains.has(name)) lines.push(`add chain ${at} ${name}`);
  }
  for (const [name, rules] of changed) {
    if (current.chains.has(name)) lines.push(`flush chain ${at} ${name}`);
    for (const rule of rules) lines.push(`add rule ${at} ${name} ${rule}`);
  }
  lines.push(...elementLines(at, current, desired));
  const goneChains = [...current.chains.keys()].filter((name) => !desired.chains.has(name));
  for (const name of goneChains) lines.push(`flush chain ${at} ${name}`);
  const text = lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  return { text, left: { chains: goneChains, sets: goneSets } };
}

/** Takes away the rules that name the set, so that it can be deleted. */
function replaced(
  at: string,
  name: string,
  current: TableState,
  changed: (readonly [string, readonly string[]])[],
): string[] {
  const users = [...current.chains].filter(([, rules]) =>
    rules.some((rule) => rule.includes(`@${name} `)),
  );
  for (const [chain, rules] of users) {
    if (!changed.some(([one]) => one === chain)) changed.push([chain, rules]);
  }
  return [...users.map(([chain]) => `flush chain ${at} ${chain}`), `delete set ${at} ${name}`];
}

function elementLines(at: string, current: TableState, desired: TableState): string[] {
  const lines: string[] = [];
  const added = new Map<SharedSet, string[]>();
  const removed = new Map<SharedSet, string[]>();
  const note = (lists: Map<SharedSet, string[]>, set: SharedSet, text: string) => {
    const list = lists.get(set);
    if (list === undefined) lists.set(set, [text]);
    else list.push(text);
  };
  for (const [key, { set, key: own, value }] of current.elements) {
    const next = desired.elements.get(key);
    if (next === undefined || next.value !== value) note(removed, set, own);
  }
  for (const [key, { set, key: own, value }] of desired.elements) {
    const before = current.elements.get(key);
    if (before !== undefined && before.value === value) continue;
    note(added, set, value === undefined ? own : `${own} : ${value}`);
  }
  for (const [set, keys] of removed)
    lines.push(`delete element ${at} ${set} { ${keys.join(", ")} }`);
  for (const [set, items] of added) lines.push(`add element ${at} ${set} { ${items.join(", ")} }`);
  return lines;
}

/** Deletes what earlier differences left over. */
export function removal(left: Difference["left"], family: Family): string {
  const at = placeOf(family);
  const lines = [
    ...left.chains.map((name) => `delete chain ${at} ${name}`),
    ...left.sets.map((name) => `delete set ${at} ${name}`),
  ];
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
