/** DNS messages as bytes (RFC 1035, RFC 6891): reads queries, and writes what answers consist of. */
import { dnsLimits } from "./limits.ts";

export const RecordType = {
  a: 1,
  ns: 2,
  cname: 5,
  soa: 6,
  ptr: 12,
  hinfo: 13,
  txt: 16,
  aaaa: 28,
  srv: 33,
  opt: 41,
  any: 255,
} as const;

export const ResponseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  /** Its upper eight bits stand in the OPT record. */
  badVersion: 16,
} as const;
export type ResponseCode = (typeof ResponseCode)[keyof typeof ResponseCode];

export const headerBytes = 12;
const classInternet = 1;
const responseBit = 0x8000;
const recursionDesiredBit = 0x0100;

/** What an OPT record of a query says. */
export interface Extension {
  readonly payloadBytes: number;
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly opcode: number;
  /** In small letters, without the root's dot; a dot within a label is a NUL here. */
  readonly name: string;
  readonly type: number;
  /** Where the question ends; it begins after the header. */
  readonly questionEnd: number;
  readonly extension: Extension | undefined;
}

/** A message that cannot be answered from; what is known of it goes into the refusal. */
export interface Refusal {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly opcode: number;
  readonly code: ResponseCode;
  readonly why: string;
  readonly extension: Extension | undefined;
}

/** Undefined: not a query at all; to answer would start a loop between servers. */
export function parseQuery(bytes: Buffer): Query | Refusal | undefined {
  if (bytes.length < headerBytes) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & responseBit) !== 0) return undefined;
  const head = {
    id: bytes.readUInt16BE(0),
    recursionDesired: (flags & recursionDesiredBit) !== 0,
    opcode: (flags >> 11) & 15,
  };
  const refuse = (code: ResponseCode, why: string, extension?: Extension): Refusal => ({
    ...head,
    code,
    why,
    extension,
  });
  const { formatError, notImplemented, refused, badVersion } = ResponseCode;
  if (bytes.length > dnsLimits.queryBytesMax) {
    return refuse(formatError, `${bytes.length} bytes, at most ${dnsLimits.queryBytesMax}`);
  }
  if (head.opcode !== 0) return refuse(notImplemented, `opcode ${head.opcode} is not a query`);
  const questions = bytes.readUInt16BE(4);
  if (questions !== 1) return refuse(formatError, `${questions} questions, exactly one is taken`);
  const question = readQuestion(bytes);
  if (typeof question === "string") return refuse(formatError, question);
  const extension = findExtension(bytes, question.questionEnd);
  if (typeof extension === "string") return refuse(formatError, extension);
  if (extension !== undefined && extension.version !== 0) {
    return refuse(badVersion, `EDNS version ${extension.version}, only 0 is known`, extension);
  }
  const { questionClass, ...rest } = question;
  if (questionClass !== classInternet) {
    return refuse(refused, `class ${questionClass}, only 1 (Internet) is served`, extension);
  }
  return { ...head, ...rest, extension };
}

interface Question {
  readonly name: string;
  readonly type: number;
  readonly questionClass: number;
  readonly questionEnd: number;
}

/** A text: what is wrong with it. Labels alone: a first name has nothing to point to. */
function readQuestion(bytes: Buffer): Question | string {
  let at = headerBytes;
  let name = "";
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return "the name ends with the message";
    at += 1;
    if (length === 0) break;
    if (length > dnsLimits.labelBytesMax) {
      return `a label of the name begins with byte ${length}, at most 63 bytes are allowed`;
    }
    if (at + length - headerBytes >= dnsLimits.nameBytesMax) {
      return `the name is longer than ${dnsLimits.nameBytesMax} bytes`;
    }
    if (at + length > bytes.length) return "a label of the name goes beyond the message";
    name += `${name === "" ? "" : "."}${label(bytes, at, at + length)}`;
    at += length;
  }
  if (at + 4 > bytes.length) return "the question has no type and class";
  return {
    name,
    type: bytes.readUInt16BE(at),
    questionClass: bytes.readUInt16BE(at + 2),
    questionEnd: at + 4,
  };
}

/** Letters of ASCII in small, so that names compare as RFC 4343 says. */
function label(bytes: Buffer, from: number, end: number): string {
  let text = "";
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === dot) text += "\0";
    else text += String.fromCharCode(byte >= 65 && byte <= 90 ? byte + 32 : byte);
  }
  return text;
}

const dot = 46;

/** A text: what is wrong with the records of the query. */
function findExtension(
  bytes: Buffer,
  from: number,
): (Extension & { readonly version: number }) | string | undefined {
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  if (records > dnsLimits.queryRecordsMax) {
    return `${records} records, at most ${dnsLimits.queryRecordsMax} are taken`;
  }
  let at = from;
  let found: (Extension & { readonly version: number }) | undefined;
  for (let i = 0; i < records; i++) {
    const record = readRecord(bytes, at);
    if (record === undefined) return "a record goes beyond the message";
    at = record.end;
    if (record.type !== RecordType.opt) continue;
    if (found !== undefined) return "there is more than one OPT record";
    if (record.nameEnd !== record.start + 1) return "the OPT record has a name";
    found = {
      payloadBytes: record.recordClass,
      version: (record.ttl >> 16) & 0xff,
      dnssecOk: (record.ttl & 0x8000) !== 0,
    };
  }
  return found;
}

export interface RawRecord {
  readonly start: number;
  readonly nameEnd: number;
  readonly type: number;
  readonly recordClass: number;
  readonly ttl: number;
  readonly dataStart: number;
  readonly end: number;
}

/** Undefined: it is not whole. Names are skipped, pointers not followed. */
export function readRecord(bytes: Buffer, start: number): RawRecord | undefined {
  const nameEnd = skipName(bytes, start);
  if (nameEnd === undefined || nameEnd + 10 > bytes.length) return undefined;
  const dataStart = nameEnd + 10;
  const end = dataStart + bytes.readUInt16BE(nameEnd + 8);
  if (end > bytes.length) return undefined;
  return {
    start,
    nameEnd,
    type: bytes.readUInt16BE(nameEnd),
    recordClass: bytes.readUInt16BE(nameEnd + 2),
    ttl: bytes.readUInt32BE(nameEnd + 4),
    dataStart,
    end,
  };
}

export function skipName(bytes: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : undefined;
    if (length > dnsLimits.labelBytesMax) return undefined;
    at += 1 + length;
    if (length === 0) return at;
    if (at - start > dnsLimits.nameBytesMax) return undefined;
  }
}

/**
 * The name with its pointers followed, as bytes of its own. Undefined: it is not whole, is longer
 * than a name may be, or points in circles: every pointer must lead to an earlier place.
 */
export function expandName(bytes: Buffer, start: number): Buffer | undefined {
  const parts: Buffer[] = [];
  let total = 0;
  let at = start;
  let limit = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= limit) return undefined;
      limit = target;
      at = target;
      continue;
    }
    if (length > dnsLimits.labelBytesMax || at + 1 + length > bytes.length) return undefined;
    parts.push(bytes.subarray(at, at + 1 + length));
    total += 1 + length;
    if (total > dnsLimits.nameBytesMax) return undefined;
    if (length === 0) return Buffer.concat(parts);
    at += 1 + length;
  }
}

/** Throws RangeError for a text that is no name; the names of the API have been validated. */
export function encodeName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  const parts = labels.map((text) => {
    const bytes = Buffer.from(text, "latin1");
    if (bytes.length === 0 || bytes.length > dnsLimits.labelBytesMax) {
      throw new RangeError(`"${name}": a label has 1 to ${dnsLimits.labelBytesMax} bytes`);
    }
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  const encoded = Buffer.concat([...parts, Buffer.of(0)]);
  if (encoded.length > dnsLimits.nameBytesMax) {
    throw new RangeError(`"${name}": ${encoded.length} bytes, at most ${dnsLimits.nameBytesMax}`);
  }
  return encoded;
}

/** A pointer to a place in the message. */
export function pointer(offset: number): Buffer {
  return Buffer.of(0xc0 | (offset >> 8), offset & 0xff);
}

/** One record; `owner`: an encoded name or a pointer. */
export function encodeRecord(owner: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(classInternet, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, fixed, data]);
}

/** Four or sixteen bytes. Throws RangeError for a text that is no address. */
export function encodeAddress(address: string): Buffer {
  if (!address.includes(":")) {
    const parts = address.split(".").map(Number);
    if (parts.length === 4 && parts.every((part) => part >= 0 && part <= 255)) {
      return Buffer.from(parts);
    }
    throw new RangeError(`"${address}" is no address`);
  }
  return Buffer.from(groupsOf(address).flatMap((group) => [group >> 8, group & 0xff]));
}

/** The eight groups of an IPv6 address. Throws RangeError for a text that is none. */
function groupsOf(address: string): readonly number[] {
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(Math.max(0, missing)).fill("0"), ...right];
  const numbers = groups.map((text) => (/^[0-9a-f]{1,4}$/i.test(text) ? parseInt(text, 16) : -1));
  if (numbers.length !== 8 || numbers.includes(-1)) {
    throw new RangeError(`"${address}" is no address`);
  }
  return numbers;
}

/** The OPT record of an answer. */
export function encodeExtension(extension: Extension, code: number): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(RecordType.opt, 1);
  record.writeUInt16BE(dnsLimits.datagramBytesMax, 3);
  record.writeUInt8(code >> 4, 5);
  record.writeUInt16BE(extension.dnssecOk ? 0x8000 : 0, 7);
  return record;
}
