/**
 * Large answers of the KV service, encoded a piece at a time. The bytes are those that the
 * generated `encode` functions would write; the length of a message is known from a first pass over
 * its rows.
 */
import {
  type ResponseHeader,
  ResponseOp,
  RangeResponse as WireRange,
  type RangeResponse as WireRangeResponse,
  TxnResponse as WireTxn,
  type TxnResponse as WireTxnResponse,
} from "../../proto/gen/etcd.ts";
import { PiecewiseMessage } from "../rpc/mod.ts";
import { cancelledError } from "../rpc/status-details.ts";
import { assert } from "../runtime/assert.ts";
import type {
  OperationResult,
  RangeResponse,
  RangeRow,
  RangeRows,
  TxnResponse,
} from "../store/mod.ts";
import { textOf } from "./bytes.ts";
import { wireResult } from "./convert-answers.ts";
import { etcdLimits } from "./limits.ts";

/** Tag bytes, as protobuf has them: field number and wire type. */
const Tag = {
  response: 0x1a,
  range: 0x0a,
  txn: 0x22,
  rows: 0x12,
  key: 0x0a,
  create: 0x10,
  mod: 0x18,
  version: 0x20,
  value: 0x2a,
  lease: 0x30,
} as const;

/** Part of a message: encoded already, or rows that are encoded on the way. */
type Part = Uint8Array | { readonly rows: RangeRows; readonly bytes: number };

/**
 * The answer to a range. Resolves when its length is known; rejects when the caller has gone, or
 * an older version can no longer be read, and has closed the rows then.
 */
export async function rangeMessage(
  header: ResponseHeader,
  rows: RangeRows,
  signal: AbortSignal,
): Promise<PiecewiseMessage & WireRangeResponse> {
  try {
    const bytes = await bytesOfRows(rows, signal);
    const { more, count } = rows;
    const parts: Part[] = [
      WireRange.encode({ header }).finish(),
      { rows, bytes },
      WireRange.encode({ more, count: BigInt(count) }).finish(),
    ];
    return new PartsMessage(parts) as PiecewiseMessage & WireRangeResponse;
  } catch (thrown) {
    rows.close();
    throw thrown;
  }
}

/** Whether the answer to a txn is to be made a piece at a time. */
export function isLargeTxn({ results }: TxnResponse): boolean {
  let effort = 0;
  const count = (result: OperationResult): void => {
    if (result.op === "txn") for (const inner of result.results) count(inner);
    if (result.op !== "range") return;
    for (const { value } of result.kvs) effort += 1 + value.length / bytesPerEffort;
  };
  for (const result of results) count(result);
  return effort > etcdLimits.rowsPerTurn;
}

/** A row counts one more for so many bytes of its value. */
const bytesPerEffort = 256;

/** The answer to a txn whose ranges have found many rows. Resolves when its length is known. */
export async function txnMessage(
  header: ResponseHeader,
  response: TxnResponse,
  signal: AbortSignal,
): Promise<PiecewiseMessage & WireTxnResponse> {
  const parts = await txnParts(header, response, signal);
  return new PartsMessage(parts) as PiecewiseMessage & WireTxnResponse;
}

async function txnParts(
  header: ResponseHeader,
  { succeeded, results }: TxnResponse,
  signal: AbortSignal,
): Promise<Part[]> {
  const parts: Part[] = [WireTxn.encode({ header, succeeded }).finish()];
  // As in etcd, answers within a txn say the revision only.
  const inner = { revision: header.revision };
  for (const result of results) {
    if (result.op === "range") {
      const rows = rowsOf(result);
      const { more, count } = result;
      const found: Part[] = [
        WireRange.encode({ header: inner }).finish(),
        { rows, bytes: await bytesOfRows(rows, signal) },
        WireRange.encode({ more, count: BigInt(count) }).finish(),
      ];
      parts.push(...delimited(Tag.response, delimited(Tag.range, found)));
    } else if (result.op === "txn") {
      const found = await txnParts(inner, result, signal);
      parts.push(...delimited(Tag.response, delimited(Tag.txn, found)));
    } else {
      const op = ResponseOp.encode(wireResult(inner, result)).finish();
      parts.push(...delimited(Tag.response, [op]));
    }
  }
  return parts;
}

/** The parts as one field. */
function delimited(tag: number, parts: readonly Part[]): Part[] {
  const length = parts.reduce((sum, part) => sum + lengthOf(part), 0);
  const prefix = Buffer.alloc(1 + varintLength(length));
  prefix[0] = tag;
  writeVarint(prefix, 1, length);
  return [prefix, ...parts];
}

function rowsOf({ revision, more, count, kvs }: RangeResponse): RangeRows {
  return {
    ...{ revision, more, count, length: kvs.length },
    at: (row) => {
      const kv = kvs[row];
      assert(kv !== undefined, "a row of the answer is read");
      return {
        key: textOf(kv.key),
        value: textOf(kv.value),
        create: kv.createRevision,
        mod: kv.modRevision,
        version: kv.version,
        lease: kv.lease,
      };
    },
    effort: () => 1,
    close: () => undefined,
  };
}

class PartsMessage extends PiecewiseMessage {
  readonly length: number;
  readonly #parts: readonly Part[];
  #part = 0;
  #row = 0;

  constructor(parts: readonly Part[]) {
    super();
    this.#parts = parts.filter((part) => lengthOf(part) > 0);
    this.length = parts.reduce((sum, part) => sum + lengthOf(part), 0);
    for (const part of parts) if (lengthOf(part) === 0 && "rows" in part) part.rows.close();
  }

  next(): Uint8Array {
    const part = this.#parts[this.#part];
    if (part === undefined) return new Uint8Array(0);
    if (part instanceof Uint8Array) {
      this.#part++;
      return part;
    }
    const { piece, row } = encodeRows(part.rows, this.#row);
    this.#row = row;
    if (row === part.rows.length) {
      this.#part++;
      this.#row = 0;
    }
    return piece;
  }

  close(): void {
    for (const part of this.#parts) if ("rows" in part) part.rows.close();
  }
}

function lengthOf(part: Part): number {
  return part instanceof Uint8Array ? part.length : part.bytes;
}

/** In steps of bounded effort, one a turn. */
async function bytesOfRows(rows: RangeRows, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  let effort = 0;
  for (let row = 0; row < rows.length; row++) {
    const length = rowLength(rows.at(row));
    bytes += 1 + varintLength(length) + length;
    effort += rows.effort(row);
    if (effort < etcdLimits.rowsPerTurn) continue;
    effort = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (signal.aborted) throw cancelledError();
  }
  return bytes;
}

/** A piece of about `etcdLimits.pieceBytes` that begins with `row`; and the row to go on with. */
function encodeRows(rows: RangeRows, from: number): { piece: Uint8Array; row: number } {
  let row = from;
  let effort = 0;
  let at = 0;
  let piece = emptyPiece;
  while (row < rows.length && effort < etcdLimits.rowsPerTurn) {
    const next = rows.at(row);
    const length = rowLength(next);
    const whole = 1 + varintLength(length) + length;
    if (at + whole > piece.length) {
      if (at > 0) break;
      piece = Buffer.allocUnsafeSlow(Math.max(etcdLimits.pieceBytes, whole));
    }
    piece[at] = Tag.rows;
    at = writeVarint(piece, at + 1, length);
    at = writeRow(piece, at, next);
    effort += rows.effort(row);
    row++;
  }
  return { piece: piece.subarray(0, at), row };
}

const emptyPiece = Buffer.alloc(0);

/** Bytes of a row as `mvccpb.KeyValue`. */
function rowLength({ key, value, create, mod, version, lease }: RangeRow): number {
  return (
    bytesLength(key.length) +
    1 +
    varintLength(create) +
    1 +
    varintLength(mod) +
    1 +
    varintLength(version) +
    bytesLength(value.length) +
    (lease === 0n ? 0 : 1 + bigVarintLength(lease))
  );
}

function writeRow(piece: Buffer, start: number, row: RangeRow): number {
  let at = writeText(piece, start, Tag.key, row.key);
  piece[at] = Tag.create;
  at = writeVarint(piece, at + 1, row.create);
  piece[at] = Tag.mod;
  at = writeVarint(piece, at + 1, row.mod);
  piece[at] = Tag.version;
  at = writeVarint(piece, at + 1, row.version);
  at = writeText(piece, at, Tag.value, row.value);
  if (row.lease === 0n) return at;
  piece[at] = Tag.lease;
  return writeBigVarint(piece, at + 1, row.lease);
}

function writeText(piece: Buffer, start: number, tag: number, text: string): number {
  if (text.length === 0) return start;
  piece[start] = tag;
  const at = writeVarint(piece, start + 1, text.length);
  return at + piece.write(text, at, "latin1");
}

function bytesLength(length: number): number {
  return length === 0 ? 0 : 1 + varintLength(length) + length;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest /= 0x80) length++;
  return length;
}

function writeVarint(piece: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    piece[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  piece[at] = rest;
  return at + 1;
}

/** An int64 is written as the unsigned number of the same 64 bits. */
function bigVarintLength(value: bigint): number {
  let length = 1;
  for (let rest = BigInt.asUintN(64, value); rest >= 0x80n; rest >>= 7n) length++;
  return length;
}

function writeBigVarint(piece: Buffer, start: number, value: bigint): number {
  let at = start;
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) piece[at++] = Number(rest & 0x7fn) | 0x80;
  piece[at] = Number(rest);
  return at + 1;
}
