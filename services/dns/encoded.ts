/** Sets of records as the bytes that go into answers. */
import { isIPv4 } from "node:net";
import { dnsLimits } from "./limits.ts";
import type { Records } from "./records.ts";
import {
  encodeAddress,
  encodeName,
  encodeRecord,
  headerBytes,
  pointer,
  RecordType,
} from "./wire.ts";

export interface RecordSet {
  /** One behind the other. */
  readonly bytes: Buffer;
  /** Where each record begins, and where the last one ends. */
  readonly starts: readonly number[];
}

export interface EncodedSet {
  readonly answers: RecordSet;
  /** Addresses of what the answers name; only given along where there is room. */
  readonly additional: RecordSet;
}

export const noRecords: RecordSet = { bytes: Buffer.alloc(0), starts: [0] };
/** The name of the question, which every answer repeats at the same place. */
export const questionName = pointer(headerBytes);

/** `bytesMax`: what does not fit into any message is not made. */
export function recordSet(
  records: Iterable<Buffer>,
  bytesMax = Number.POSITIVE_INFINITY,
): RecordSet {
  const parts: Buffer[] = [];
  const starts = [0];
  let total = 0;
  for (const record of records) {
    if (total + record.length > bytesMax) break;
    parts.push(record);
    total += record.length;
    starts.push(total);
  }
  return { bytes: Buffer.concat(parts, total), starts };
}

/** The records one by one. */
export function partsOf({ bytes, starts }: RecordSet): readonly Buffer[] {
  return starts.slice(1).map((end, i) => bytes.subarray(starts[i], end));
}

const { ttlSeconds } = dnsLimits;

/** Undefined: the name has no records of this type. */
export function encodeRecords(
  type: number,
  { addresses, locations }: Records,
  owner: Buffer,
  fullName: (left: string) => string,
  addressesOf: (left: string) => readonly string[],
): EncodedSet | undefined {
  if (type === RecordType.a || type === RecordType.aaaa) {
    const wanted = addresses.filter((one) => isIPv4(one) === (type === RecordType.a));
    if (wanted.length === 0) return undefined;
    const answers = recordSet(wanted.map((one) => addressRecord(owner, one)));
    return { answers, additional: noRecords };
  }
  if (type !== RecordType.srv || locations.length === 0) return undefined;
  const weight = Math.max(1, Math.floor(100 / locations.length));
  const fixed = Buffer.alloc(6);
  fixed.writeUInt16BE(weight, 2);
  const targets = new Map<string, Buffer>();
  const nameOf = (left: string): Buffer => {
    const known = targets.get(left) ?? encodeName(fullName(left));
    targets.set(left, known);
    return known;
  };
  function* services(): Generator<Buffer> {
    for (const { port, target } of locations) {
      fixed.writeUInt16BE(port, 4);
      yield encodeRecord(owner, type, ttlSeconds, Buffer.concat([fixed, nameOf(target)]));
    }
  }
  const answers = recordSet(services(), dnsLimits.messageBytesMax);
  function* glue(): Generator<Buffer> {
    for (const [left, name] of targets) {
      for (const address of addressesOf(left)) yield addressRecord(name, address);
    }
  }
  return { answers, additional: recordSet(glue(), dnsLimits.messageBytesMax) };
}

export function addressRecord(owner: Buffer, address: string): Buffer {
  const type = isIPv4(address) ? RecordType.a : RecordType.aaaa;
  return encodeRecord(owner, type, ttlSeconds, encodeAddress(address));
}

export function nameRecord(owner: Buffer, type: number, target: string): Buffer {
  return encodeRecord(owner, type, ttlSeconds, encodeName(target));
}
