/**
 * Commands as `apply` sees them: like the requests of `types.ts`, with texts (`text.ts`) in place
 * of bytes; decoded straight from a `Proposal` of `proto/store.proto`.
 */
import { type AlarmRecord, readAlarm } from "./layout.ts";
import type { RangeEnd } from "./text.ts";
import { endOfText } from "./text.ts";
import type { CompareOperator, LeaseId } from "./types.ts";
import { WireReader } from "./wire.ts";

export type SortBy = "key" | "version" | "create" | "mod" | "value";
/** By number of `Range.sortBy`. */
export const sortTargets: readonly (SortBy | undefined)[] = [
  undefined,
  "key",
  "version",
  "create",
  "mod",
  "value",
];
/** By number of `Compare.operator`. */
export const operators: readonly CompareOperator[] = ["=", "!=", "<", ">"];

/** A range request; 0 and false stand for absent. */
export class RangeQuery {
  readonly op = "range";
  key = "";
  end: RangeEnd = undefined;
  revision = 0;
  limit = 0;
  keysOnly = false;
  countOnly = false;
  sortBy: SortBy | undefined = undefined;
  descending = false;
  minMod = 0;
  maxMod = 0;
  minCreate = 0;
  maxCreate = 0;
}

export class PutCommand {
  readonly op = "put";
  key = "";
  value = "";
  lease: LeaseId = 0n;
  previous = false;
  ignoreValue = false;
  ignoreLease = false;
}

export class DeleteCommand {
  readonly op = "delete";
  key = "";
  end: RangeEnd = undefined;
  previous = false;
}

export class TxnCommand {
  readonly op = "txn";
  compares: CompareCommand[] = [];
  success: OperationCommand[] = [];
  failure: OperationCommand[] = [];
}

export type OperationCommand = RangeQuery | PutCommand | DeleteCommand | TxnCommand;

export class CompareCommand {
  key = "";
  end: RangeEnd = undefined;
  operator: CompareOperator = "=";
  target: "version" | "create" | "mod" | "lease" | "value" = "version";
  operand: number | LeaseId | string = 0;
}

export type StoreCommand =
  | { readonly kind: "txn"; readonly txn: TxnCommand }
  | { readonly kind: "leaseGrant"; readonly id: LeaseId; readonly seconds: number }
  | { readonly kind: "leaseRevoke"; readonly id: LeaseId }
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "alarm"; readonly alarm: AlarmRecord; readonly active: boolean };

export interface SequencedCommand {
  readonly sequence: number;
  readonly requestId: string | undefined;
  readonly command: StoreCommand;
}

export interface DecodedProposal {
  readonly proposer: number;
  readonly incarnation: number;
  readonly wallMillis: number;
  readonly commands: readonly SequencedCommand[];
}

/** Nested txns deeper than this are refused when read; `maxTxnOperations` bounds them before. */
const maxDepth = 100;

/** Throws `RangeError` when the bytes are no proposal. */
export function decodeProposal(bytes: Uint8Array): DecodedProposal {
  const reader = new WireReader(bytes);
  let proposer = 0;
  let incarnation = 0;
  let wallMillis = 0;
  const commands: SequencedCommand[] = [];
  while (reader.position < reader.end) {
    const tag = reader.varint();
    if (tag === 34) commands.push(readCommand(reader, reader.enter()));
    else if (tag === 8) proposer = reader.varint();
    else if (tag === 16) incarnation = reader.varint();
    else if (tag === 25) wallMillis = reader.fixed64();
    else reader.skip(tag);
  }
  return { proposer, incarnation, wallMillis, commands };
}

function readCommand(reader: WireReader, end: number): SequencedCommand {
  let sequence = 0;
  let requestId: string | undefined;
  let command: StoreCommand | undefined;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 8) sequence = reader.varint();
    else if (tag === 18) requestId = reader.string();
    else if (tag === 26) command = { kind: "txn", txn: readTxn(reader, reader.enter(), 0) };
    else if (tag === 34) command = readLeaseGrant(reader, reader.enter());
    else if (tag === 42) command = readLeaseRevoke(reader, reader.enter());
    else if (tag === 50) command = readCompact(reader, reader.enter());
    else if (tag === 58) command = readAlarmChange(reader, reader.enter());
    else reader.skip(tag);
  }
  if (command === undefined) throw new RangeError(`command ${sequence} is of no known kind`);
  return { sequence, requestId, command };
}

export function decodeTxnCommand(bytes: Uint8Array): TxnCommand {
  const reader = new WireReader(bytes);
  return readTxn(reader, reader.end, 0);
}

export function decodeRangeQuery(bytes: Uint8Array): RangeQuery {
  const reader = new WireReader(bytes);
  return readRange(reader, reader.end);
}

function readTxn(reader: WireReader, end: number, depth: number): TxnCommand {
  if (depth > maxDepth) throw new RangeError(`txn nested more than ${maxDepth} deep`);
  const txn = new TxnCommand();
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 18) txn.success.push(readOperation(reader, reader.enter(), depth));
    else if (tag === 10) txn.compares.push(readCompare(reader, reader.enter()));
    else if (tag === 26) txn.failure.push(readOperation(reader, reader.enter(), depth));
    else reader.skip(tag);
  }
  return txn;
}

function readOperation(reader: WireReader, end: number, depth: number): OperationCommand {
  let operation: OperationCommand | undefined;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 18) operation = readPut(reader, reader.enter());
    else if (tag === 10) operation = readRange(reader, reader.enter());
    else if (tag === 26) operation = readDelete(reader, reader.enter());
    else if (tag === 34) operation = readTxn(reader, reader.enter(), depth + 1);
    else reader.skip(tag);
  }
  if (operation === undefined) throw new RangeError("operation is of no known kind");
  return operation;
}

function readPut(reader: WireReader, end: number): PutCommand {
  const put = new PutCommand();
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) put.key = reader.text();
    else if (tag === 18) put.value = reader.text();
    else if (tag === 26) put.lease = BigInt(reader.text());
    else if (tag === 32) put.previous = reader.bool();
    else if (tag === 40) put.ignoreValue = reader.bool();
    else if (tag === 48) put.ignoreLease = reader.bool();
    else reader.skip(tag);
  }
  return put;
}

function readDelete(reader: WireReader, end: number): DeleteCommand {
  const command = new DeleteCommand();
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) command.key = reader.text();
    else if (tag === 18) command.end = endOfText(reader.text());
    else if (tag === 24) command.previous = reader.bool();
    else reader.skip(tag);
  }
  return command;
}

function readRange(reader: WireReader, end: number): RangeQuery {
  const query = new RangeQuery();
  while (reader.position < end) {
    const tag = reader.varint();
    switch (tag) {
      case 10:
        query.key = reader.text();
        break;
      case 18:
        query.end = endOfText(reader.text());
        break;
      case 24:
        query.revision = reader.varint();
        break;
      case 32:
        query.limit = reader.varint();
        break;
      case 40:
        query.keysOnly = reader.bool();
        break;
      case 48:
        query.countOnly = reader.bool();
        break;
      case 56:
        query.sortBy = sortTargets[reader.varint()];
        break;
      case 64:
        query.descending = reader.bool();
        break;
      case 72:
        query.minMod = reader.varint();
        break;
      case 80:
        query.maxMod = reader.varint();
        break;
      case 88:
        query.minCreate = reader.varint();
        break;
      case 96:
        query.maxCreate = reader.varint();
        break;
      default:
        reader.skip(tag);
    }
  }
  return query;
}

function readCompare(reader: WireReader, end: number): CompareCommand {
  const compare = new CompareCommand();
  const numbers = ["version", "create", "mod"] as const;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) compare.key = reader.text();
    else if (tag === 18) compare.end = endOfText(reader.text());
    else if (tag === 24) {
      const operator = operators[reader.varint()];
      if (operator === undefined) throw new RangeError("compare has an unknown operator");
      compare.operator = operator;
    } else if (tag === 32 || tag === 40 || tag === 48) {
      compare.target = numbers[tag / 8 - 4] ?? "version";
      compare.operand = reader.varint();
    } else if (tag === 58) {
      compare.target = "lease";
      compare.operand = BigInt(reader.text());
    } else if (tag === 66) {
      compare.target = "value";
      compare.operand = reader.text();
    } else reader.skip(tag);
  }
  return compare;
}

function readLeaseGrant(reader: WireReader, end: number): StoreCommand {
  let id = 0n;
  let seconds = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) id = BigInt(reader.text());
    else if (tag === 16) seconds = reader.varint();
    else reader.skip(tag);
  }
  return { kind: "leaseGrant", id, seconds };
}

function readLeaseRevoke(reader: WireReader, end: number): StoreCommand {
  let id = 0n;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) id = BigInt(reader.text());
    else reader.skip(tag);
  }
  return { kind: "leaseRevoke", id };
}

function readCompact(reader: WireReader, end: number): StoreCommand {
  let revision = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 8) revision = reader.varint();
    else reader.skip(tag);
  }
  return { kind: "compact", revision };
}

function readAlarmChange(reader: WireReader, end: number): StoreCommand {
  let alarm: AlarmRecord = { member: 0, kind: 0 };
  let active = false;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 10) alarm = readAlarm(reader, reader.enter());
    else if (tag === 16) active = reader.bool();
    else reader.skip(tag);
  }
  return { kind: "alarm", alarm, active };
}
