/**
 * Restrictions as a table of nftables: pure. A packet of a new connection goes through the chain of
 * its source's egress, then through that of its target's ingress; each returns what it lets through
 * and drops the rest. Addresses are those behind services: the chains come after translation.
 *
 * Connections from the node's own programs are not restricted (the kubelet probes pods), those of
 * pods to the node are.
 */
import { type Dialect, dialects, type Family } from "../family.ts";
import type { Allowance, Direction, Peers, PortRange, Restriction } from "./plan.ts";

const tableName = "kube-network-policy";

/** One transaction: the old table goes and the new one is there. */
export function policyTable(restrictions: readonly Restriction[], family: Family): string {
  const { ip, type } = dialects[family];
  const at = `${ip} ${tableName}`;
  const lines = [`add table ${at}`, `delete table ${at}`];
  if (restrictions.length === 0) return `${lines.join("\n")}\n`;
  lines.push(`add table ${at}`);
  for (const direction of ["ingress", "egress"] as const) {
    lines.push(`add map ${at} ${direction}-pods { type ${type} : verdict ; }`);
  }
  const hook = (name: string) => `{ type filter hook ${name} priority filter ; }`;
  lines.push(
    `add chain ${at} forward ${hook("forward")}`,
    `add chain ${at} input ${hook("input")}`,
    `add rule ${at} forward ct state established,related accept`,
    `add rule ${at} forward ${ip} saddr vmap @egress-pods`,
    `add rule ${at} forward ${ip} daddr vmap @ingress-pods`,
    `add rule ${at} input ct state established,related accept`,
    // Without these a pod cannot find the address of its gateway.
    ...(family === "IPv6" ? [`add rule ${at} input icmpv6 type { ${neighbourTypes} } accept`] : []),
    `add rule ${at} input ${ip} saddr vmap @egress-pods`,
  );
  for (const { address, direction, allowances } of restrictions) {
    const chain = `${direction}-${address.replaceAll(":", ".")}`;
    lines.push(`add chain ${at} ${chain}`);
    // A pod reaches itself whatever policies say.
    lines.push(`add rule ${at} ${chain} ${ip} ${peerField[direction]} ${address} return`);
    const rules = new Set(allowances.flatMap((one) => matches(one, direction, dialects[family])));
    for (const match of rules)
      lines.push(`add rule ${at} ${chain} ${match} return`.replace("  ", " "));
    lines.push(`add rule ${at} ${chain} drop`);
    lines.push(`add element ${at} ${direction}-pods { ${address} : jump ${chain} }`);
  }
  return `${lines.join("\n")}\n`;
}

/** Where the other side's address stands. */
const peerField: Readonly<Record<Direction, string>> = { ingress: "saddr", egress: "daddr" };

const neighbourTypes =
  "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert";

/** What the rules match; an empty text matches everything. */
function matches(
  { peers, ports, endpoints }: Allowance,
  direction: Direction,
  { ip }: Dialect,
): string[] {
  const whom = peers === undefined ? [""] : peerMatches(peers, `${ip} ${peerField[direction]}`);
  const where = ports === undefined ? [""] : portMatches(ports);
  const found = whom.flatMap((peer) => where.map((port) => [peer, port].filter(Boolean).join(" ")));
  for (const [protocol, list] of endpoints) {
    if (list.length === 0) continue;
    found.push(`${ip} daddr . ${protocol.toLowerCase()} dport { ${list.join(", ")} }`);
  }
  return found;
}

function peerMatches({ addresses, blocks }: Peers, field: string): string[] {
  return [
    ...(addresses.length === 0 ? [] : [`${field} { ${addresses.join(", ")} }`]),
    ...blocks.map(({ cidr, except }) =>
      except.length === 0
        ? `${field} ${cidr}`
        : `${field} ${cidr} ${field} != { ${except.join(", ")} }`,
    ),
  ];
}

function portMatches(ports: readonly PortRange[]): string[] {
  return [...Map.groupBy(ports, ({ protocol }) => protocol.toLowerCase())].map(
    ([protocol, ranges]) => {
      if (ranges.some(({ first }) => first === undefined)) return `meta l4proto ${protocol}`;
      return `${protocol} dport { ${disjoint(ranges).join(", ")} }`;
    },
  );
}

/** nft refuses sets whose ranges overlap. */
function disjoint(ranges: readonly PortRange[]): string[] {
  const merged: { first: number; last: number }[] = [];
  const sorted = ranges
    .map(({ first = 0, last = first }) => ({ first, last }))
    .sort((a, b) => a.first - b.first);
  for (const { first, last } of sorted) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else merged.push({ first, last });
  }
  return merged.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
}
