/**
 * What etcd refuses before it proposes (`v3rpc/key.go`): empty keys, contradictory flags, too many
 * operations, a key written twice. The front of a store calls {@link checkTxn} and
 * {@link checkRange}; `apply` repeats {@link checkCommand}, for its invariants rest on it.
 */

import { encodeTxn } from "./codec.ts";
import type { CompareCommand, OperationCommand, TxnCommand } from "./commands.ts";
import { decodeTxnCommand } from "./commands.ts";
import * as errors from "./errors.ts";
import type { StoreLimits } from "./limits.ts";
import { inRange, type RangeEnd } from "./text.ts";
import type { Compare, Operation, RangeRequest, TxnRequest } from "./types.ts";

const maxLease = 2n ** 63n;

/** Throws a StatusError when the request cannot be carried out whatever the store holds. */
export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw errors.emptyKey();
  checkCount("revision", request.revision);
  checkCount("limit", request.limit);
  checkCount("minModRevision", request.minModRevision);
  checkCount("maxModRevision", request.maxModRevision);
  checkCount("minCreateRevision", request.minCreateRevision);
  checkCount("maxCreateRevision", request.maxCreateRevision);
}

function checkCount(field: string, value: number | undefined): void {
  if (value !== undefined && (!Number.isSafeInteger(value) || value < 0)) {
    throw errors.invalid(field, value, "an integer in 0..2^53-1");
  }
}

export function checkLease(field: string, lease: bigint): void {
  if (lease >= maxLease || lease < -maxLease) throw errors.invalid(field, lease, "an int64");
}

/** As {@link checkRange}; returns the encoded txn, which the caller needs anyway. */
export function checkTxn(txn: TxnRequest, limits: StoreLimits): Uint8Array {
  checkBranches(txn, limits.maxTxnOperations);
  const bytes = encodeTxn(txn);
  if (bytes.length > limits.maxRequestBytes) throw errors.requestTooLarge();
  if (mayClash(txn.success) || mayClash(txn.failure)) checkCommand(decodeTxnCommand(bytes), limits);
  return bytes;
}

export function checkRequestId(requestId: string | undefined, limits: StoreLimits): void {
  if (requestId === undefined) return;
  const bytes = Buffer.byteLength(requestId);
  if (bytes === 0 || bytes > limits.maxRequestIdBytes) {
    throw errors.invalid("requestId", `${bytes} bytes`, `1..${limits.maxRequestIdBytes} bytes`);
  }
}

function checkBranches(txn: TxnRequest, maxOperations: number): void {
  const most = Math.max(txn.compares.length, txn.success.length, txn.failure.length);
  if (most > maxOperations) throw errors.tooManyOperations();
  for (const compare of txn.compares) checkCompare(compare);
  for (const operation of txn.success) checkOperation(operation, maxOperations - most);
  for (const operation of txn.failure) checkOperation(operation, maxOperations - most);
}

function checkCompare(compare: Compare): void {
  if (compare.key.length === 0) throw errors.emptyKey();
  if (compare.target === "lease") checkLease("compare.operand", compare.operand);
  else if (compare.target !== "value" && !Number.isSafeInteger(compare.operand)) {
    throw errors.invalid("compare.operand", compare.operand, "an integer below 2^53");
  }
}

function checkOperation(operation: Operation, maxOperations: number): void {
  switch (operation.op) {
    case "range":
      checkRange(operation);
      return;
    case "txn":
      checkBranches(operation, maxOperations);
      return;
    case "put":
      if (operation.key.length === 0) throw errors.emptyKey();
      if (operation.ignoreValue && operation.value.length > 0) throw errors.valueProvided();
      if (operation.ignoreLease && operation.lease) throw errors.leaseProvided();
      if (operation.lease !== undefined) checkLease("lease", operation.lease);
      return;
    case "delete":
      if (operation.key.length === 0) throw errors.emptyKey();
      return;
    default:
      throw errors.keyNotFound();
  }
}

/**
 * The part of the checks that keeps the store's invariants: at most one change of a key per
 * revision. Stricter than etcd in one corner: there, of two sibling txns the first may put what
 * the second deletes, so that one revision changes a key twice; here that is a duplicate key too.
 */
export function checkCommand(txn: TxnCommand, limits: StoreLimits): void {
  checkSizes(txn, limits.maxTxnOperations);
  if (mayClash(txn.success)) writesOf(txn.success);
  if (mayClash(txn.failure)) writesOf(txn.failure);
}

/** One put or delete cannot; the usual case. */
function mayClash(operations: readonly { readonly op: string }[]): boolean {
  return operations.length > 1 || operations[0]?.op === "txn";
}

function checkSizes(txn: TxnCommand, maxOperations: number): void {
  const most = Math.max(txn.compares.length, txn.success.length, txn.failure.length);
  if (most > maxOperations) throw errors.tooManyOperations();
  for (const item of txn.compares) checkKey(item);
  for (const operation of txn.success) checkNested(operation, maxOperations - most);
  for (const operation of txn.failure) checkNested(operation, maxOperations - most);
}

function checkNested(operation: OperationCommand, maxOperations: number): void {
  if (operation.op === "txn") checkSizes(operation, maxOperations);
  else checkKey(operation);
}

function checkKey(item: CompareCommand | { readonly key: string }): void {
  if (item.key.length === 0) throw errors.emptyKey();
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: { readonly key: string; readonly end: RangeEnd }[];
}

function writesOf(operations: readonly OperationCommand[]): Writes {
  const puts = new Set<string>();
  const deletes: Writes["deletes"] = [];
  for (const operation of operations) {
    if (operation.op === "delete") deletes.push({ key: operation.key, end: operation.end });
  }
  const isDeleted = (key: string) => deletes.some((range) => inRange(key, range.key, range.end));
  for (const operation of operations) {
    if (operation.op !== "txn") continue;
    // Only one branch of a txn runs, so both branches may write the same keys.
    const branches = [writesOf(operation.success), writesOf(operation.failure)];
    for (const branch of branches) {
      for (const key of branch.puts) {
        if (puts.has(key) || isDeleted(key)) throw errors.duplicateKey();
      }
      for (const { key: start, end } of branch.deletes) {
        for (const key of puts) if (inRange(key, start, end)) throw errors.duplicateKey();
      }
    }
    for (const branch of branches) {
      for (const key of branch.puts) puts.add(key);
      for (const range of branch.deletes) deletes.push(range);
    }
  }
  for (const operation of operations) {
    if (operation.op !== "put") continue;
    if (puts.has(operation.key) || isDeleted(operation.key)) throw errors.duplicateKey();
    puts.add(operation.key);
  }
  return { puts, deletes };
}
