/** Puts an answer together: header, the question as it was asked, records, OPT. */
import { noRecords, type RecordSet } from "./encoded.ts";
import { dnsLimits } from "./limits.ts";
import { type Extension, encodeExtension, headerBytes, type ResponseCode } from "./wire.ts";

export interface Answer {
  readonly code: ResponseCode;
  readonly authoritative: boolean;
  readonly answers?: RecordSet | undefined;
  /** With which answer to begin; the others follow round in a circle. */
  readonly first?: number;
  readonly authority?: Buffer | undefined;
  readonly additional?: RecordSet | undefined;
}

/** Where the message goes to. */
export type Transport = "datagram" | "stream";

export interface Asked {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly extension: Extension | undefined;
}

/** How long an answer to this client may be. */
function bytesMax(transport: Transport, extension: Extension | undefined): number {
  if (transport === "stream") return dnsLimits.messageBytesMax;
  const { datagramBytesPlain, datagramBytesMax } = dnsLimits;
  const wanted = extension?.payloadBytes ?? datagramBytesPlain;
  return Math.min(Math.max(wanted, datagramBytesPlain), datagramBytesMax);
}

const responseBit = 0x8000;
const authoritativeBit = 0x0400;
const truncatedBit = 0x0200;
const recursionDesiredBit = 0x0100;
const recursionAvailableBit = 0x0080;

/**
 * `question`: its bytes; empty in a refusal. Answers that do not fit into a datagram are left out
 * and the message says so, upon which the client asks again over TCP; there, as many are given as
 * a message holds, and the next question begins with others.
 */
export function encodeAnswer(
  asked: Asked,
  question: Buffer,
  answer: Answer,
  transport: Transport,
): Buffer {
  const { extension } = asked;
  const { code, answers = noRecords, first = 0, authority, additional = noRecords } = answer;
  const limit = bytesMax(transport, extension);
  const opt = extension && encodeExtension(extension, code);
  const reserved = headerBytes + question.length + (authority?.length ?? 0) + (opt?.length ?? 0);
  const room = limit - reserved;
  const given = chosen(answers, first, room);
  const extra = given.all && additional.bytes.length <= room - given.bytes ? additional : noRecords;
  const message = Buffer.allocUnsafe(reserved + given.bytes + extra.bytes.length);
  const truncated = !given.all && transport === "datagram";
  message.writeUInt16BE(asked.id, 0);
  message.writeUInt16BE(
    responseBit |
      (asked.opcode << 11) |
      (answer.authoritative ? authoritativeBit : 0) |
      (truncated ? truncatedBit : 0) |
      (asked.recursionDesired ? recursionDesiredBit : 0) |
      recursionAvailableBit |
      (code & 15),
    2,
  );
  message.writeUInt16BE(question.length === 0 ? 0 : 1, 4);
  message.writeUInt16BE(given.count, 6);
  message.writeUInt16BE(authority === undefined ? 0 : 1, 8);
  message.writeUInt16BE(extra.starts.length - 1 + (opt === undefined ? 0 : 1), 10);
  let at = headerBytes;
  const append = (bytes: Buffer, from = 0, end = bytes.length) => {
    at += bytes.copy(message, at, from, end);
  };
  append(question);
  for (const { from, end } of given.pieces) append(answers.bytes, from, end);
  if (authority !== undefined) append(authority);
  append(extra.bytes);
  if (opt !== undefined) append(opt);
  return message;
}

interface Chosen {
  readonly pieces: readonly { readonly from: number; readonly end: number }[];
  readonly count: number;
  readonly bytes: number;
  readonly all: boolean;
}

/** At most two pieces of the records: from the first one on, then those before it. */
function chosen({ bytes, starts }: RecordSet, first: number, room: number): Chosen {
  const count = starts.length - 1;
  const start = count === 0 ? 0 : first % count;
  if (bytes.length <= room) {
    const at = starts[start] ?? 0;
    const pieces = [{ from: at, end: bytes.length }, ...(at > 0 ? [{ from: 0, end: at }] : [])];
    return { pieces, count, bytes: bytes.length, all: true };
  }
  const upper = fitting(starts, start, count, room);
  const from = starts[start] ?? 0;
  const end = starts[upper] ?? from;
  if (upper < count) {
    return { pieces: [{ from, end }], count: upper - start, bytes: end - from, all: false };
  }
  const lower = fitting(starts, 0, start, room - (end - from));
  const lowerEnd = starts[lower] ?? 0;
  return {
    pieces: [
      { from, end },
      { from: 0, end: lowerEnd },
    ],
    count: upper - start + lower,
    bytes: end - from + lowerEnd,
    all: false,
  };
}

/** The last place up to which the records from `start` on fit. */
function fitting(starts: readonly number[], start: number, most: number, room: number): number {
  const base = starts[start] ?? 0;
  let low = start;
  let high = most;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) - base <= room) low = middle;
    else high = middle - 1;
  }
  return low;
}
