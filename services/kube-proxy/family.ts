import { isIPv4, isIPv6 } from "node:net";

/** The families of addresses, by the names that Services and EndpointSlices give them. */
export type Family = "IPv4" | "IPv6";

export const families: readonly Family[] = ["IPv4", "IPv6"];

/** Whether the text is an address of the family. */
export function isOf(family: Family, address: string): boolean {
  return family === "IPv6" ? isIPv6(address) : isIPv4(address);
}

/** Whether the text is a range of addresses of the family, such as `10.0.0.0/8`. */
export function isRangeOf(family: Family, text: string): boolean {
  const [base = "", bits = "", ...more] = text.split("/");
  const most = family === "IPv6" ? 128 : 32;
  return more.length === 0 && isOf(family, base) && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
}

/** How nft(8) and conntrack(8) name a family. */
export interface Dialect {
  /** Of a table, and of the fields of a packet's header. */
  readonly ip: "ip" | "ip6";
  /** The type of its addresses. */
  readonly type: "ipv4_addr" | "ipv6_addr";
  readonly conntrack: "ipv4" | "ipv6";
}

export const dialects: Readonly<Record<Family, Dialect>> = {
  IPv4: { ip: "ip", type: "ipv4_addr", conntrack: "ipv4" },
  IPv6: { ip: "ip6", type: "ipv6_addr", conntrack: "ipv6" },
};
