/**
 * The bytes of a journal file.
 *
 *     0       header, slot 0 ┐ the valid one of the higher generation counts: the file is begun
 *     4096    header, slot 1 ┘ anew in the other slot, so a torn header leaves the last one whole
 *     8192    records, each at a multiple of 16 bytes, without gaps
 *
 * A record is one group of writes: magic, CRC-32 of all that follows (4 bytes each), generation of
 * the file, length of the content (4 each), sequence (8), content. The content is operations:
 * length of key, length of value plus one or 0 for a delete (4 each), key, value. Little endian.
 *
 * Records are written one at a time, so a crash tears at most the last one of a generation. What
 * follows the last one is zeros or records of earlier generations. Hence the rule for reading: the
 * first place without a whole record of this generation and of the next sequence is the end, unless
 * a whole record of this generation, or of a later one, follows it: then it is damage.
 */
import { crc32 } from "../crc32.ts";
import type { DiskOperation } from "../types.ts";

/** A LevelDB's newest log file, and its length: what is before must be whole. */
export interface LogPosition {
  readonly log: number;
  readonly logBytes: number;
}

/** The position up to which all writes are durable in LevelDB. */
export interface DurablePosition {
  /** Of the last write. */
  readonly sequence: number;
  /** Of each database, in the order of `level-columns.ts`; at least one. */
  readonly logs: readonly LogPosition[];
}

export interface JournalHeader {
  /** Counts the turns of both files; 0: the file was never begun. */
  readonly generation: number;
  /** Sequence of the first record in this file. */
  readonly first: number;
  /** Replay begins here: `first`, or the first of the other file where that one is needed too. */
  readonly replayFrom: number;
  readonly durable: DurablePosition;
}

export interface JournalRecord {
  readonly sequence: number;
  readonly operations: readonly DiskOperation[];
}

export interface JournalContent {
  readonly records: readonly JournalRecord[];
  /** The offset after the last record. */
  readonly end: number;
  /** The bytes at `end` are damaged in a way that no crash causes. */
  readonly damaged: boolean;
}

export const headerSlotBytes = 4096;
export const recordsStart = 2 * headerSlotBytes;
const headerMagic = 0x4a525430;
/** Magic, checksum, generation, and how many logs there are beside the first (4 bytes each). */
const headerStartBytes = 16;
/** No header names more logs beside the first. */
const moreLogsMax = 16;
const recordMagic = 0x4a525252;
const recordHeaderBytes = 24;
const recordAlignment = 16;
const operationHeaderBytes = 8;

/** Both files have two slots; which file and slot a generation takes follows from its number. */
export const fileOf = (generation: number): 0 | 1 => (generation % 2 === 0 ? 0 : 1);
export const slotOf = (generation: number): number => Math.floor(generation / 2) % 2;

export function encodeHeader(header: JournalHeader): Buffer {
  const { first, replayFrom, durable } = header;
  const moreLogs = durable.logs.length - 1;
  const bytes = Buffer.alloc(headerBytes(moreLogs));
  bytes.writeUInt32LE(headerMagic, 0);
  bytes.writeUInt32LE(header.generation, 8);
  bytes.writeUInt32LE(moreLogs, 12);
  const logs = durable.logs.flatMap(({ log, logBytes }) => [log, logBytes]);
  for (const [index, value] of [first, replayFrom, durable.sequence, ...logs].entries()) {
    writeInteger(bytes, value, headerStartBytes + 8 * index);
  }
  bytes.writeUInt32LE(crc32(bytes, 8), 4);
  return bytes;
}

/** The header that counts, of the first two blocks of a file; undefined: none is whole. */
export function decodeHeader(blocks: Buffer): JournalHeader | undefined {
  let found: JournalHeader | undefined;
  for (const at of [0, headerSlotBytes]) {
    if (blocks.length < at + headerBytes(0)) continue;
    const moreLogs = blocks.readUInt32LE(at + 12);
    if (moreLogs > moreLogsMax || blocks.length < at + headerBytes(moreLogs)) continue;
    const bytes = blocks.subarray(at, at + headerBytes(moreLogs));
    if (bytes.readUInt32LE(0) !== headerMagic || bytes.readUInt32LE(4) !== crc32(bytes, 8))
      continue;
    const generation = bytes.readUInt32LE(8);
    if (found && found.generation > generation) continue;
    const number = (index: number): number => readInteger(bytes, headerStartBytes + 8 * index);
    const logs = Array.from({ length: 1 + moreLogs }, (_, index): LogPosition => {
      return { log: number(3 + 2 * index), logBytes: number(4 + 2 * index) };
    });
    const durable = { sequence: number(2), logs };
    found = { generation, first: number(0), replayFrom: number(1), durable };
  }
  return found;
}

function headerBytes(moreLogs: number): number {
  return headerStartBytes + 8 * (5 + 2 * moreLogs);
}

/** Bytes of the operation in a record. */
export function operationBytes({ key, value }: DiskOperation): number {
  return operationHeaderBytes + key.length + (value?.length ?? 0);
}

/** Bytes of a record whose operations take `contentBytes`. */
export function recordBytes(contentBytes: number): number {
  return aligned(recordHeaderBytes + contentBytes);
}

/** Writes a record at the beginning of `target`, which must be large enough. */
export function encodeRecord(
  target: Buffer,
  generation: number,
  sequence: number,
  writes: readonly (readonly DiskOperation[])[],
): void {
  let at = recordHeaderBytes;
  for (const operations of writes) {
    for (const { key, value } of operations) {
      target.writeUInt32LE(key.length, at);
      target.writeUInt32LE(value ? value.length + 1 : 0, at + 4);
      target.set(key, at + operationHeaderBytes);
      at += operationHeaderBytes + key.length;
      if (!value) continue;
      target.set(value, at);
      at += value.length;
    }
  }
  target.writeUInt32LE(recordMagic, 0);
  target.writeUInt32LE(generation, 8);
  target.writeUInt32LE(at - recordHeaderBytes, 12);
  writeInteger(target, sequence, 16);
  target.writeUInt32LE(crc32(target, 8, at), 4);
  target.fill(0, at, aligned(at));
}

/** All records of a file's present generation. Keys and values are parts of `file`. */
export function readRecords(file: Buffer, header: JournalHeader): JournalContent {
  const records: JournalRecord[] = [];
  let at = recordsStart;
  for (;;) {
    const found = recordAt(file, at);
    const sequence = header.first + records.length;
    if (found?.generation !== header.generation || found.sequence !== sequence) break;
    records.push({ sequence, operations: decodeOperations(file, at, found.end) });
    at = aligned(found.end);
  }
  return { records, end: at, damaged: holdsRecord(file, at, header.generation) };
}

/** The operations of a record that stands alone; undefined: it is not whole. */
export function decodeRecord(bytes: Buffer): readonly DiskOperation[] | undefined {
  const found = recordAt(bytes, 0);
  return found && decodeOperations(bytes, 0, found.end);
}

/** Whether a whole record of this generation or of a later one is at `from` or behind it. */
export function holdsRecord(file: Buffer, from: number, generation: number): boolean {
  for (let at = from; at + recordHeaderBytes <= file.length; at += recordAlignment) {
    if (file.readUInt32LE(at) !== recordMagic) continue;
    if (file.readUInt32LE(at + 8) >= generation && recordAt(file, at)) return true;
  }
  return false;
}

function recordAt(
  file: Buffer,
  at: number,
): { generation: number; sequence: number; end: number } | undefined {
  if (at + recordHeaderBytes > file.length || file.readUInt32LE(at) !== recordMagic) return;
  const end = at + recordHeaderBytes + file.readUInt32LE(at + 12);
  if (end > file.length || file.readUInt32LE(at + 4) !== crc32(file, at + 8, end)) return;
  return { generation: file.readUInt32LE(at + 8), sequence: readInteger(file, at + 16), end };
}

function decodeOperations(file: Buffer, from: number, end: number): DiskOperation[] {
  const operations: DiskOperation[] = [];
  for (let at = from + recordHeaderBytes; at < end; ) {
    const keyEnd = at + operationHeaderBytes + file.readUInt32LE(at);
    const valueLength = file.readUInt32LE(at + 4);
    const key = file.subarray(at + operationHeaderBytes, keyEnd);
    at = keyEnd;
    if (valueLength === 0) {
      operations.push({ key });
      continue;
    }
    at += valueLength - 1;
    operations.push({ key, value: file.subarray(keyEnd, at) });
  }
  return operations;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / recordAlignment) * recordAlignment;
}

function writeInteger(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function readInteger(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
