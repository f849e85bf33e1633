import ipaddr from "ipaddr.js";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";

type Family = "IPv4" | "IPv6";

/** A range of addresses, e.g. that of the services' cluster IPs. */
export interface AddressRange {
  readonly family: Family;
  readonly text: string;
  /** That of the service `kubernetes`; never picked for another. */
  readonly first: string;
  contains(address: string): boolean;
  /** A uniformly chosen address that services may have. */
  pick(random: (limit: number) => number): string;
}

interface Bounds {
  readonly family: Family;
  readonly length: number;
  /** Of the prefix's bits. */
  readonly fewest: number;
  readonly most: number;
}

const ipv4Bounds: Bounds = { family: "IPv4", length: 32, fewest: 8, most: 28 };
const ipv6Bounds: Bounds = { family: "IPv6", length: 128, fewest: 64, most: 124 };
/** Of a larger range, this many addresses are given away; random numbers reach so far. */
const sizeMax = 2 ** 47;

/** `127.32.0.0/12`, or with a range of the other family after a comma. Throws a StatusError. */
export function parseAddressRanges(text: string): readonly [AddressRange, ...AddressRange[]] {
  const [first = "", second, ...more] = text.split(",");
  const one = parseAddressRange(first);
  if (second === undefined) return [one];
  const other = parseAddressRange(second);
  if (more.length > 0) throw refused(text, "at most two ranges are taken");
  if (one.family === other.family) throw refused(text, "of two ranges one must be of IPv6");
  return [one, other];
}

/** An IPv4 range of /8 to /28, an IPv6 range of /64 to /124. Throws a StatusError. */
export function parseAddressRange(text: string): AddressRange {
  const [base = "", bitsText = "", ...rest] = text.split("/");
  const address = numberOf(base);
  if (address === undefined || !/^\d{1,3}$/.test(bitsText) || rest.length > 0) {
    throw refused(text, "an IPv4 range such as 127.32.0.0/12 or an IPv6 range is wanted");
  }
  const { family, length, fewest, most } = base.includes(":") ? ipv6Bounds : ipv4Bounds;
  const bits = Number(bitsText);
  if (bits < fewest || bits > most) {
    throw refused(text, `its prefix has ${bits} bits, must have ${fewest} to ${most}`);
  }
  const size = 2n ** BigInt(length - bits);
  if (address % size !== 0n) throw refused(text, "the address has bits beyond the prefix");
  // The first address names the network, the last is its broadcast.
  const usable = size - 2n;
  const textOf = (number: bigint) => addressText(number, length);
  const choices = Math.min(Number(usable) - 1, sizeMax);
  return {
    family,
    text: `${textOf(address)}/${bits}`,
    first: textOf(address + 1n),
    contains(candidate) {
      if (candidate.includes(":") !== (family === "IPv6")) return false;
      const number = numberOf(candidate);
      return number !== undefined && number > address && number <= address + usable;
    },
    pick: (random) => textOf(address + 2n + BigInt(random(choices))),
  };
}

function refused(text: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `service cluster IP range "${text}": ${why}`);
}

/** Undefined: the text is no address. */
function numberOf(text: string): bigint | undefined {
  const isAddress = text.includes(":")
    ? ipaddr.IPv6.isValid(text) && !text.includes("%")
    : ipaddr.IPv4.isValidFourPartDecimal(text);
  if (!isAddress) return undefined;
  return ipaddr
    .parse(text)
    .toByteArray()
    .reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function addressText(number: bigint, length: number): string {
  const bytes = Array.from({ length: length / 8 }, (_, index) =>
    Number((number >> BigInt(length - 8 * (index + 1))) & 255n),
  );
  return ipaddr.fromByteArray(bytes).toString();
}
