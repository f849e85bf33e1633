/** Which node an address belongs to. */
import type { Node } from "../../proto/gen/core.ts";

export type NodeOfAddress = (address: string) => string | undefined;

/**
 * A pod's address lies in its node's podCIDR; a node's own address counts if no other node has it
 * too, as several nodes of one machine do. Any other address belongs to no node.
 */
export function nodeOfAddress(nodes: readonly Node[]): NodeOfAddress {
  /** By the number of leading bits, the nodes by their range's first address. */
  const ranges = new Map<number, Map<number, string>>();
  const own = new Map<string, Set<string>>();
  for (const { metadata, spec, status } of nodes) {
    const name = metadata?.name ?? "";
    const [base = "", bitsText = ""] = (spec?.podCIDR ?? "").split("/");
    const number = ipv4Number(base);
    const bits = Number(bitsText);
    if (number !== undefined && bitsText !== "" && bits >= 1 && bits <= 32) {
      const sized = ranges.get(bits) ?? new Map<number, string>();
      ranges.set(bits, sized.set(prefixOf(number, bits), name));
    }
    for (const { type, address = "" } of status?.addresses ?? []) {
      if (type !== "InternalIP") continue;
      own.set(address, (own.get(address) ?? new Set()).add(name));
    }
  }
  return (address) => {
    const number = ipv4Number(address);
    if (number !== undefined) {
      for (const [bits, sized] of ranges) {
        const name = sized.get(prefixOf(number, bits));
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

function prefixOf(number: number, bits: number): number {
  return Math.floor(number / 2 ** (32 - bits));
}

function ipv4Number(text: string): number | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
