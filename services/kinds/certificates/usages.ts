/** What a certificate may be used for, by the names of the API. */
import { encode, encodeObjectId, tags } from "./der.ts";

/** Positions in the extension of key usages (RFC 5280, section 4.2.1.3). */
const keyUsages: Readonly<Record<string, number>> = {
  signing: 0,
  "digital signature": 0,
  "content commitment": 1,
  "key encipherment": 2,
  "data encipherment": 3,
  "key agreement": 4,
  "cert sign": 5,
  "crl sign": 6,
  "encipher only": 7,
  "decipher only": 8,
};

/** In the order in which certificates list them. */
const extendedUsages: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  "ipsec end system": "1.3.6.1.5.5.7.3.5",
  "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
  "ipsec user": "1.3.6.1.5.5.7.3.7",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};

export const usageNames: readonly string[] = [
  ...Object.keys(keyUsages),
  ...Object.keys(extendedUsages),
].sort();

/** The value of the extension of key usages in DER; undefined: none of these is one. */
export function keyUsageBits(usages: readonly string[]): Buffer | undefined {
  const bits = usages.flatMap((usage) => keyUsages[usage] ?? []);
  if (bits.length === 0) return undefined;
  const last = Math.max(...bits);
  const bytes = Buffer.alloc(1 + (last >> 3));
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  // The first byte counts the bits that its last byte leaves over.
  return encode(tags.bitString, Buffer.from([7 - (last & 7)]), bytes);
}

/** The value of the extension of extended key usages; undefined: none of these is one. */
export function extendedUsageList(usages: readonly string[]): Buffer | undefined {
  const wanted = Object.entries(extendedUsages).filter(([name]) => usages.includes(name));
  const ids = [...new Set(wanted.map(([, id]) => id))];
  return ids.length === 0 ? undefined : encode(tags.sequence, ...ids.map(encodeObjectId));
}
