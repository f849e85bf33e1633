/**
 * Requests of `types.ts` as messages of `proto/store.proto`, and answers both ways. A caller that
 * moves requests between threads encodes a txn once with {@link encodeTxn} and proposes the bytes.
 */
import { unreachable } from "../runtime/assert.ts";
import { operators, sortTargets } from "./commands.ts";
import type {
  Compare,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  Revision,
  TxnRequest,
  TxnResponse,
} from "./types.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** A command to be proposed. */
export type Command =
  | { readonly kind: "txn"; readonly txn: TxnRequest }
  /** A txn that is encoded already ({@link encodeTxn}). */
  | { readonly kind: "encodedTxn"; readonly txn: Uint8Array }
  /** The proposer has drawn `id`: apply may not. */
  | { readonly kind: "leaseGrant"; readonly id: LeaseId; readonly seconds: number }
  | { readonly kind: "leaseRevoke"; readonly id: LeaseId }
  | { readonly kind: "compact"; readonly revision: number }
  /** `alarm`: 1 NOSPACE, 2 CORRUPT. */
  | {
      readonly kind: "alarm";
      readonly member: number;
      readonly alarm: number;
      readonly active: boolean;
    };

export interface ProposedCommand {
  readonly sequence: number;
  readonly requestId?: string | undefined;
  readonly command: Command;
}

export interface ProposalInput {
  readonly proposer: number;
  readonly incarnation: number;
  readonly wallMillis: number;
  readonly commands: readonly ProposedCommand[];
}

const writer = new WireWriter();

/**
 * Bytes of its own: the log keeps proposals for long, and with a view the whole chunk, into which
 * answers and events are written as well.
 */
export function encodeProposal(proposal: ProposalInput): Uint8Array {
  writer.number(1, proposal.proposer);
  writer.number(2, proposal.incarnation);
  writer.fixed64(3, proposal.wallMillis);
  for (const { sequence, requestId, command } of proposal.commands) {
    const mark = writer.begin(4, guessCommand(command));
    writer.number(1, sequence);
    if (requestId !== undefined) writer.string(2, requestId);
    writeCommand(command);
    writer.end(mark);
  }
  return writer.finish().slice();
}

function guessCommand(command: Command): number {
  if (command.kind === "encodedTxn") return command.txn.length + 8;
  return command.kind === "txn" ? guessTxn(command.txn) + 8 : 32;
}

/** About as many bytes as the txn will take; wrong is slower, not harmful. */
function guessTxn(txn: TxnRequest): number {
  let guess = 2;
  for (const compare of txn.compares) guess += compare.key.length + 12;
  for (const operation of txn.success) guess += guessOperation(operation);
  for (const operation of txn.failure) guess += guessOperation(operation);
  return guess;
}

function guessOperation(operation: Operation): number {
  if (operation.op === "put") return operation.key.length + operation.value.length + 10;
  return operation.op === "txn" ? guessTxn(operation) + 4 : operation.key.length + 10;
}

function writeCommand(command: Command): void {
  const mark = (field: number) => writer.begin(field, 24);
  switch (command.kind) {
    case "txn": {
      const txn = writer.begin(3, guessTxn(command.txn));
      writeTxn(command.txn);
      writer.end(txn);
      return;
    }
    case "encodedTxn":
      writer.bytes(3, command.txn);
      return;
    case "leaseGrant": {
      const grant = mark(4);
      writer.text(1, command.id.toString());
      writer.number(2, command.seconds);
      writer.end(grant);
      return;
    }
    case "leaseRevoke": {
      const revoke = mark(5);
      writer.text(1, command.id.toString());
      writer.end(revoke);
      return;
    }
    case "compact": {
      const compact = mark(6);
      writer.number(1, command.revision);
      writer.end(compact);
      return;
    }
    case "alarm": {
      const change = mark(7);
      const alarm = writer.begin(1, 10);
      writer.number(1, command.member);
      writer.number(2, command.alarm);
      writer.end(alarm);
      writer.flag(2, command.active);
      writer.end(change);
      return;
    }
    default:
      unreachable(command);
  }
}

export function encodeTxn(txn: TxnRequest): Uint8Array {
  writeTxn(txn);
  return writer.finish();
}

function writeTxn(txn: TxnRequest): void {
  for (const compare of txn.compares) {
    const mark = writer.begin(1, compare.key.length + 12);
    writeCompare(compare);
    writer.end(mark);
  }
  for (const operation of txn.success) writeOperation(2, operation);
  for (const operation of txn.failure) writeOperation(3, operation);
}

function writeKeyRange(range: KeyRange): void {
  writer.bytes(1, range.key);
  if (range.rangeEnd !== undefined && range.rangeEnd.length > 0) writer.bytes(2, range.rangeEnd);
}

function writeCompare(compare: Compare): void {
  writeKeyRange(compare);
  const operator = operators.indexOf(compare.operator);
  if (operator > 0) writer.number(3, operator);
  switch (compare.target) {
    case "version":
      writer.number(4, compare.operand);
      return;
    case "create":
      writer.number(5, compare.operand);
      return;
    case "mod":
      writer.number(6, compare.operand);
      return;
    case "lease":
      writer.text(7, compare.operand.toString());
      return;
    case "value":
      writer.bytes(8, compare.operand);
      return;
    default:
      unreachable(compare);
  }
}

function writeOperation(field: number, operation: Operation): void {
  const mark = writer.begin(field, guessOperation(operation));
  if (operation.op === "put") {
    const put = writer.begin(2, operation.key.length + operation.value.length + 6);
    writer.bytes(1, operation.key);
    if (operation.value.length > 0) writer.bytes(2, operation.value);
    if (operation.lease) writer.text(3, operation.lease.toString());
    writer.flag(4, operation.previous);
    writer.flag(5, operation.ignoreValue);
    writer.flag(6, operation.ignoreLease);
    writer.end(put);
  } else if (operation.op === "delete") {
    const remove = writer.begin(3, operation.key.length + 6);
    writeKeyRange(operation);
    writer.flag(3, operation.previous);
    writer.end(remove);
  } else if (operation.op === "range") {
    const range = writer.begin(1, operation.key.length + 6);
    writeRange(operation);
    writer.end(range);
  } else {
    const txn = writer.begin(4, guessTxn(operation));
    writeTxn(operation);
    writer.end(txn);
  }
  writer.end(mark);
}

export function encodeRangeRequest(request: RangeRequest): Uint8Array {
  writeRange(request);
  return writer.finish();
}

function writeRange(request: RangeRequest): void {
  writeKeyRange(request);
  if (request.revision) writer.number(3, request.revision);
  if (request.limit) writer.number(4, request.limit);
  writer.flag(5, request.keysOnly);
  writer.flag(6, request.countOnly);
  if (request.sort !== undefined) {
    writer.number(7, sortTargets.indexOf(request.sort.by));
    writer.flag(8, request.sort.order === "descending");
  }
  if (request.minModRevision) writer.number(9, request.minModRevision);
  if (request.maxModRevision) writer.number(10, request.maxModRevision);
  if (request.minCreateRevision) writer.number(11, request.minCreateRevision);
  if (request.maxCreateRevision) writer.number(12, request.maxCreateRevision);
}

export function encodeTxnResponse(response: TxnResponse): Uint8Array {
  writeTxnResponse(response);
  return writer.finish();
}

export function encodeRangeResponse(response: RangeResponse): Uint8Array {
  writeRangeResponse(response);
  return writer.finish();
}

function writeTxnResponse(response: TxnResponse): void {
  writer.flag(1, response.succeeded);
  writer.number(2, response.revision);
  for (const result of response.results) {
    const mark = writer.begin(3, 16);
    writeResult(result);
    writer.end(mark);
  }
}

function writeResult(result: OperationResult): void {
  switch (result.op) {
    case "range": {
      const mark = writer.begin(1, 256);
      writeRangeResponse(result);
      writer.end(mark);
      return;
    }
    case "put": {
      const mark = writer.begin(2, result.previous === undefined ? 0 : 256);
      if (result.previous !== undefined) writeKeyValue(1, result.previous);
      writer.end(mark);
      return;
    }
    case "delete": {
      const mark = writer.begin(3, 4);
      writer.number(1, result.deleted);
      for (const kv of result.previous) writeKeyValue(2, kv);
      writer.end(mark);
      return;
    }
    case "txn": {
      const mark = writer.begin(4, 16);
      writeTxnResponse(result);
      writer.end(mark);
      return;
    }
    default:
      unreachable(result);
  }
}

function writeRangeResponse(response: RangeResponse): void {
  for (const kv of response.kvs) writeKeyValue(1, kv);
  writer.flag(2, response.more);
  writer.number(3, response.count);
  writer.number(4, response.revision);
}

function writeKeyValue(field: number, kv: KeyValue): void {
  const mark = writer.begin(field, kv.key.length + kv.value.length + 16);
  writer.bytes(1, kv.key);
  if (kv.value.length > 0) writer.bytes(2, kv.value);
  writer.number(3, kv.createRevision);
  writer.number(4, kv.modRevision);
  writer.number(5, kv.version);
  if (kv.lease !== 0n) writer.text(6, kv.lease.toString());
  writer.end(mark);
}

/** Keys and values are views of `bytes`. Throws `RangeError` when the bytes are no answer. */
export function decodeTxnResponse(bytes: Uint8Array): TxnResponse {
  const reader = new WireReader(bytes);
  return readTxnResponse(reader, reader.end);
}

export function decodeRangeResponse(bytes: Uint8Array): RangeResponse {
  const reader = new WireReader(bytes);
  return readRangeResponse(reader, reader.end);
}

function readTxnResponse(reader: WireReader, end: number): TxnResponse {
  let succeeded = false;
  let revision = 0;
  const results: OperationResult[] = [];
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 8) succeeded = reader.bool();
    else if (tag === 16) revision = reader.varint();
    else if (tag === 26) results.push(readResult(reader, reader.enter()));
    else reader.skip(tag);
  }
  return { succeeded, revision: revision as Revision, results };
}

function readResult(reader: WireReader, end: number): OperationResult {
  let result: OperationResult | undefined;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) result = { op: "range", ...readRangeResponse(reader, reader.enter()) };
    else if (tag === 18) result = readPutResult(reader, reader.enter());
    else if (tag === 26) result = readDeleteResult(reader, reader.enter());
    else if (tag === 34) result = { op: "txn", ...readTxnResponse(reader, reader.enter()) };
    else reader.skip(tag);
  }
  if (result === undefined) throw new RangeError("result is of no known kind");
  return result;
}

function readRangeResponse(reader: WireReader, end: number): RangeResponse {
  const kvs: KeyValue[] = [];
  let more = false;
  let count = 0;
  let revision = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) kvs.push(readKeyValue(reader, reader.enter()));
    else if (tag === 16) more = reader.bool();
    else if (tag === 24) count = reader.varint();
    else if (tag === 32) revision = reader.varint();
    else reader.skip(tag);
  }
  return { kvs, more, count, revision: revision as Revision };
}

function readPutResult(reader: WireReader, end: number): OperationResult {
  let previous: KeyValue | undefined;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) previous = readKeyValue(reader, reader.enter());
    else reader.skip(tag);
  }
  return { op: "put", previous };
}

function readDeleteResult(reader: WireReader, end: number): OperationResult {
  const previous: KeyValue[] = [];
  let deleted = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 8) deleted = reader.varint();
    else if (tag === 18) previous.push(readKeyValue(reader, reader.enter()));
    else reader.skip(tag);
  }
  return { op: "delete", deleted, previous };
}

const none = new Uint8Array(0);

function readKeyValue(reader: WireReader, end: number): KeyValue {
  let key: Uint8Array = none;
  let value: Uint8Array = none;
  let create = 0;
  let mod = 0;
  let version = 0;
  let lease = 0n;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) key = reader.bytes();
    else if (tag === 18) value = reader.bytes();
    else if (tag === 24) create = reader.varint();
    else if (tag === 32) mod = reader.varint();
    else if (tag === 40) version = reader.varint();
    else if (tag === 50) lease = BigInt(reader.text());
    else reader.skip(tag);
  }
  const createRevision = create as Revision;
  return { key, value, createRevision, modRevision: mod as Revision, version, lease };
}
