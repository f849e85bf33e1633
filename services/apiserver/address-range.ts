import { Code, StatusError } from "../../ha/runtime/status-error.ts";

/** A range of IPv4 addresses, e.g. that of the services' cluster IPs. */
export interface AddressRange {
  readonly text: string;
  /** That of the service `kubernetes`; never picked for another. */
  readonly first: string;
  contains(address: string): boolean;
  /** A uniformly chosen address that services may have. */
  pick(random: (limit: number) => number): string;
}

/** `127.32.0.0/12`; /8 to /28. Throws a StatusError that says what is wrong. */
export function parseAddressRange(text: string): AddressRange {
  const [base, bitsText, ...rest] = text.split("/");
  const address = ipv4Number(base ?? "");
  const bits = Number(bitsText);
  if (address === undefined || !/^\d{1,2}$/.test(bitsText ?? "") || rest.length > 0) {
    throw refused(text, "an IPv4 range such as 127.32.0.0/12 is wanted");
  }
  if (bits < 8 || bits > 28) throw refused(text, `its prefix has ${bits} bits, must have 8 to 28`);
  const size = 2 ** (32 - bits);
  if (address % size !== 0) throw refused(text, "the address has bits beyond the prefix");
  // The first address names the network, the last is its broadcast.
  const usable = size - 2;
  return {
    text: `${base}/${bits}`,
    first: ipv4Text(address + 1),
    contains(candidate) {
      const number = ipv4Number(candidate);
      return number !== undefined && number > address && number <= address + usable;
    },
    pick: (random) => ipv4Text(address + 2 + random(usable - 1)),
  };
}

function refused(text: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `service cluster IP range "${text}": ${why}`);
}

function ipv4Number(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let number = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    number = number * 256 + Number(part);
  }
  return number;
}

function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
