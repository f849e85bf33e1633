/** Which node an address belongs to. */
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import type { Node, NodeSpec } from "../../proto/gen/core.ts";

export type NodeOfAddress = (address: string) => string | undefined;

/**
 * A pod's address lies in one of its node's ranges; a node's own address counts if no other node has
 * it too, as several nodes of one machine do. Any other address belongs to no node.
 */
export function nodeOfAddress(nodes: readonly Node[]): NodeOfAddress {
  /** By the number of bits below the prefix, the nodes by the family and prefix of their range. */
  const ranges = new Map<number, Map<string, string>>();
  const own = new Map<string, Set<string>>();
  for (const { metadata, spec, status } of nodes) {
    const name = metadata?.name ?? "";
    for (const cidr of podRangesOf(spec)) {
      const [base = "", bitsText = ""] = cidr.split("/");
      const parsed = parse(base);
      const bits = Number(bitsText);
      if (parsed === undefined || bitsText === "" || bits < 1 || bits > parsed.length) continue;
      const below = parsed.length - bits;
      const sized = ranges.get(below) ?? new Map<string, string>();
      ranges.set(below, sized.set(prefixOf(parsed, below), name));
    }
    for (const { type, address = "" } of status?.addresses ?? []) {
      if (type !== "InternalIP") continue;
      own.set(address, (own.get(address) ?? new Set()).add(name));
    }
  }
  return (address) => {
    const parsed = parse(address);
    if (parsed !== undefined) {
      for (const [below, sized] of ranges) {
        const name = below < parsed.length ? sized.get(prefixOf(parsed, below)) : undefined;
        if (name !== undefined) return name;
      }
    }
    const names = own.get(address);
    return names?.size === 1 ? [...names][0] : undefined;
  };
}

/** `127.0.0.1` of `::ffff:127.0.0.1`, which is how a listener on a mapped address sees a client. */
export function plainAddress(address: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice("::ffff:".length) : address;
}

/** The node's ranges of pods' addresses; a node of before has one alone. */
export function podRangesOf({ podCIDR = "", podCIDRs = [] }: NodeSpec = {}): readonly string[] {
  return podCIDRs.length > 0 ? podCIDRs : [podCIDR];
}

interface Parsed {
  readonly number: bigint;
  /** Bits of an address: 32 or 128. */
  readonly length: number;
}

function prefixOf({ number, length }: Parsed, below: number): string {
  return `${length} ${number >> BigInt(below)}`;
}

/** Undefined: the text is no address. */
function parse(text: string): Parsed | undefined {
  if (!isIPv4(text) && (!isIPv6(text) || text.includes("%"))) return undefined;
  const bytes = ipaddr.parse(text).toByteArray();
  const number = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return { number, length: 8 * bytes.length };
}
