/** IP addresses and ranges of them. */
import { isIP } from "node:net";
import type { Environment } from "@marcbachmann/cel-js";
import ipaddr from "ipaddr.js";
import { define, defineNamespace } from "./define.ts";

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;

class AddressValue {
  readonly parsed: Parsed;

  constructor(parsed: Parsed) {
    this.parsed = parsed;
  }

  toString(): string {
    return canonical(this.parsed);
  }
}

class RangeValue {
  readonly parsed: Parsed;
  readonly bits: number;

  constructor(parsed: Parsed, bits: number) {
    this.parsed = parsed;
    this.bits = bits;
  }

  toString(): string {
    return `${canonical(this.parsed)}/${this.bits}`;
  }
}

function canonical(parsed: Parsed): string {
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

/** Undefined for what Go's `netip` does not take, zones and mapped addresses included. */
function parseAddress(text: string): Parsed | undefined {
  if (isIP(text) === 0 || text.includes("%")) return undefined;
  const parsed = ipaddr.parse(text);
  return parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() ? undefined : parsed;
}

function parseRange(text: string): RangeValue | undefined {
  const [address = "", bits = "", more] = text.split("/");
  const parsed = parseAddress(address);
  if (parsed === undefined || more !== undefined || !/^(0|[1-9]\d{0,2})$/.test(bits))
    return undefined;
  return Number(bits) <= widthOf(parsed) ? new RangeValue(parsed, Number(bits)) : undefined;
}

function widthOf(parsed: Parsed): number {
  return parsed.kind() === "ipv4" ? 32 : 128;
}

function address(text: string): AddressValue {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return new AddressValue(parsed);
  throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
}

function range(text: string): RangeValue {
  const parsed = parseRange(text);
  if (parsed !== undefined) return parsed;
  throw new Error(`network address parse error during conversion from string: ${text}`);
}

function inRange(within: RangeValue, parsed: Parsed): boolean {
  return parsed.kind() === within.parsed.kind() && sharePrefix(parsed, within.parsed, within.bits);
}

function sharePrefix(one: Parsed, other: Parsed, bits: number): boolean {
  const [left, right] = [one.toByteArray(), other.toByteArray()];
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = bits - bit >= 8 ? 0xff : 0xff << (8 - (bits - bit));
    const index = bit / 8;
    if (((left[index] ?? 0) & mask) !== ((right[index] ?? 0) & mask)) return false;
  }
  return true;
}

function masked({ parsed, bits }: RangeValue): RangeValue {
  const bytes = parsed.toByteArray().map((byte, index) => {
    const kept = Math.min(Math.max(bits - index * 8, 0), 8);
    return byte & (kept === 0 ? 0 : (0xff << (8 - kept)) & 0xff);
  });
  return new RangeValue(ipaddr.fromByteArray(bytes), bits);
}

function contains(outer: RangeValue, inner: RangeValue): boolean {
  return inner.bits >= outer.bits && inRange(outer, inner.parsed);
}

export function registerAddresses(environment: Environment): void {
  const [ip, cidr] = ["net.IP", "net.CIDR"];
  environment.registerType(ip, { ctor: AddressValue, fields: {} });
  environment.registerType(cidr, { ctor: RangeValue, fields: {} });
  type Address = AddressValue | RangeValue;
  const same = (one: Address, other: Address) => one.toString() === other.toString();
  environment.registerOperator(`${ip} == ${ip}`, same);
  environment.registerOperator(`${cidr} == ${cidr}`, same);
  const is =
    (...ranges: readonly string[]) =>
    ({ parsed }: AddressValue) =>
      ranges.includes(parsed.range());
  define(environment, {
    [`ip(string): ${ip}`]: address,
    "isIP(string): bool": (text: string) => parseAddress(text) !== undefined,
    [`string(${ip}): string`]: String,
    [`${ip}.family(): int`]: ({ parsed }: AddressValue) => (parsed.kind() === "ipv4" ? 4n : 6n),
    [`${ip}.isUnspecified(): bool`]: ({ parsed }: AddressValue) =>
      parsed.toByteArray().every((byte) => byte === 0),
    [`${ip}.isLoopback(): bool`]: is("loopback"),
    [`${ip}.isLinkLocalUnicast(): bool`]: is("linkLocal"),
    [`${ip}.isLinkLocalMulticast(): bool`]: ({ parsed }: AddressValue) => {
      const [first, second, third] = parsed.toByteArray();
      if (parsed.kind() === "ipv4") return first === 224 && second === 0 && third === 0;
      return first === 0xff && ((second ?? 0) & 0x0f) === 2;
    },
    [`${ip}.isGlobalUnicast(): bool`]: ({ parsed }: AddressValue) =>
      !["unspecified", "loopback", "linkLocal", "multicast", "broadcast"].includes(parsed.range()),
    [`cidr(string): ${cidr}`]: range,
    "isCIDR(string): bool": (text: string) => parseRange(text) !== undefined,
    [`string(${cidr}): string`]: String,
    [`${cidr}.containsIP(${ip}): bool`]: (within: RangeValue, { parsed }: AddressValue) =>
      inRange(within, parsed),
    [`${cidr}.containsIP(string): bool`]: (within: RangeValue, text: string) =>
      inRange(within, address(text).parsed),
    [`${cidr}.containsCIDR(${cidr}): bool`]: contains,
    [`${cidr}.containsCIDR(string): bool`]: (outer: RangeValue, text: string) =>
      contains(outer, range(text)),
    [`${cidr}.ip(): ${ip}`]: ({ parsed }: RangeValue) => new AddressValue(parsed),
    [`${cidr}.masked(): ${cidr}`]: masked,
    [`${cidr}.prefixLength(): int`]: ({ bits }: RangeValue) => BigInt(bits),
  });
  defineNamespace(environment, "ip", {
    "isCanonical(string): bool": (text: string) => String(address(text)) === text,
  });
}
