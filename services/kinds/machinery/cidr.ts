/** Address ranges in CIDR notation, in upstream's words (apimachinery `util/validation/ip.go`). */
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

export interface Cidr {
  readonly address: Address;
  readonly bits: number;
}

const cidrMessage = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** Undefined when the text is none; the address need not be the first of the range. */
export function parseCidr(text: string): Cidr | undefined {
  if (!/^[0-9A-Fa-f:.]+\/\d{1,3}$/.test(text)) return undefined;
  const address = text.slice(0, text.indexOf("/"));
  // Four parts in decimal: the library also reads other forms.
  if (!address.includes(":") && !ipaddr.IPv4.isValidFourPartDecimal(address)) return undefined;
  if (!ipaddr.isValidCIDR(text)) return undefined;
  const [parsed, bits] = ipaddr.parseCIDR(text);
  return { address: parsed, bits };
}

/** The one way to write an address of IPv6, so that two ways to write it are not two addresses. */
export function canonicalAddress(text: string): string {
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text).toString() : text;
}

/** For fields that have always taken any address of the range. */
export function checkCidr(text: string): string[] {
  return parseCidr(text) === undefined ? [cidrMessage] : [];
}

/** An address of an interface, with the length of its network's prefix. */
export function checkInterfaceAddress(text: string): string[] {
  const cidr = parseCidr(text);
  if (cidr === undefined) {
    return ["must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"];
  }
  const canonical = `${cidr.address.toString()}/${cidr.bits}`;
  return text === canonical ? [] : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** For newer fields, which take the first address of the range alone. */
export function checkStrictCidr(text: string): string[] {
  const cidr = parseCidr(text);
  if (cidr === undefined) return [cidrMessage];
  if (firstOf(cidr).toString() !== cidr.address.toString()) {
    return ["must not have bits set beyond the prefix length"];
  }
  const canonical = `${firstOf(cidr).toString()}/${cidr.bits}`;
  return text === canonical ? [] : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

function firstOf({ address, bits }: Cidr): Address {
  const text = `${address.toString()}/${bits}`;
  return address.kind() === "ipv4"
    ? ipaddr.IPv4.networkAddressFromCIDR(text)
    : ipaddr.IPv6.networkAddressFromCIDR(text);
}

export function sameFamily(one: Cidr, other: Cidr): boolean {
  return one.address.kind() === other.address.kind();
}

/** Whether `inner` lies in `outer` and is smaller. */
export function isStrictSubset(inner: Cidr, outer: Cidr): boolean {
  if (!sameFamily(inner, outer) || inner.bits <= outer.bits) return false;
  return inner.address.match(outer.address as never, outer.bits);
}
