/**
 * Transactions. As in etcd every compare, of nested txns too, is decided on the state before the
 * txn, and everything that can fail is checked before anything is written. Source: etcd
 * `server/etcdserver/txn`.
 */
import { unreachable } from "../runtime/assert.ts";
import type {
  CompareCommand,
  DeleteCommand,
  OperationCommand,
  PutCommand,
  TxnCommand,
} from "./commands.ts";
import { type Entry, Version } from "./entries.ts";
import * as errors from "./errors.ts";
import type { AppliedChange, History } from "./history.ts";
import type { Leases } from "./leases.ts";
import { checkRevision, keyValue, runRange } from "./range.ts";
import { bytesOf } from "./text.ts";
import type { KeyValue, OperationResult, Revision, TxnResponse } from "./types.ts";

const absent = new Version("", 0, 0, 0, 0n);
const noResults: readonly OperationResult[] = [];
const putResult: OperationResult = { op: "put", previous: undefined };

/** One transaction being carried out; writes go to the revision after the present one. */
export class TxnRun {
  private readonly history: History;
  private readonly leases: Leases;
  /** Whether a caller will see the results. */
  private readonly answered: boolean;
  readonly changes: AppliedChange[] = [];
  /** Outcomes of the nested txns on the way, in order. */
  private path: boolean[] | undefined;
  private step = 0;

  constructor(history: History, leases: Leases, answered: boolean) {
    this.history = history;
    this.leases = leases;
    this.answered = answered;
  }

  /** Throws a StatusError, having changed nothing. */
  run(txn: TxnCommand): TxnResponse {
    const succeeded = this.holds(txn);
    const operations = succeeded ? txn.success : txn.failure;
    this.check(operations);
    const results = this.execute(operations);
    return { succeeded, revision: this.newest as Revision, results };
  }

  private get newest(): number {
    return this.changes.length > 0 ? this.history.revision + 1 : this.history.revision;
  }

  private holds(txn: TxnCommand): boolean {
    for (const compare of txn.compares) if (!this.compare(compare)) return false;
    return true;
  }

  private compare(compare: CompareCommand): boolean {
    if (compare.end === undefined) {
      const current = this.history.entries.get(compare.key)?.current;
      return compareOne(compare, current);
    }
    let holds = true;
    let found = false;
    this.history.entries.visit(compare.key, compare.end, (entry) => {
      if (entry.current === undefined) return true;
      found = true;
      holds = compareOne(compare, entry.current);
      return holds;
    });
    return found ? holds : compareOne(compare, undefined);
  }

  private check(operations: readonly OperationCommand[]): void {
    for (const operation of operations) {
      if (operation.op === "put") this.checkPut(operation);
      else if (operation.op === "range") {
        checkRevision(this.history, operation.revision, this.history.revision);
      } else if (operation.op === "txn") {
        const succeeded = this.holds(operation);
        this.path ??= [];
        this.path.push(succeeded);
        this.check(succeeded ? operation.success : operation.failure);
      }
    }
  }

  private checkPut(put: PutCommand): void {
    if (put.ignoreValue || put.ignoreLease) {
      const current = this.history.entries.get(put.key)?.current;
      if (current === undefined) throw errors.keyNotFound();
    }
    if (put.lease !== 0n && this.leases.get(put.lease) === undefined) throw errors.leaseNotFound();
  }

  private execute(operations: readonly OperationCommand[]): readonly OperationResult[] {
    const results: OperationResult[] = [];
    for (const operation of operations) {
      const result = this.operation(operation);
      if (this.answered) results.push(result);
    }
    return this.answered ? results : noResults;
  }

  private operation(operation: OperationCommand): OperationResult {
    switch (operation.op) {
      case "put":
        return this.put(operation);
      case "delete":
        return this.delete(operation);
      case "range":
        if (!this.answered) return putResult;
        return { op: "range", ...runRange(this.history, operation, this.newest) };
      case "txn": {
        const succeeded = this.path?.[this.step++] === true;
        const results = this.execute(succeeded ? operation.success : operation.failure);
        return { op: "txn", succeeded, revision: this.newest as Revision, results };
      }
      default:
        return unreachable(operation);
    }
  }

  private put(put: PutCommand): OperationResult {
    const { history } = this;
    const entry = history.entries.obtain(put.key);
    const before = entry.current;
    const value = put.ignoreValue && before !== undefined ? before.value : put.value;
    const lease = put.ignoreLease && before !== undefined ? before.lease : put.lease;
    this.changes.push(history.put(entry, value, lease, history.revision + 1));
    this.leases.move(entry.key, before?.lease ?? 0n, lease);
    if (!put.previous || before === undefined) return putResult;
    return { op: "put", previous: keyValue(bytesOf(put.key), before) };
  }

  private delete(command: DeleteCommand): OperationResult {
    const entries: Entry[] = [];
    this.history.entries.visit(command.key, command.end, (entry) => {
      if (entry.current !== undefined) entries.push(entry);
      return true;
    });
    const previous: KeyValue[] = [];
    for (const entry of entries) {
      if (command.previous && this.answered && entry.current !== undefined) {
        previous.push(keyValue(bytesOf(entry.key), entry.current));
      }
      this.deleteEntry(entry);
    }
    return { op: "delete", deleted: entries.length, previous };
  }

  deleteEntry(entry: Entry): void {
    this.leases.move(entry.key, entry.current?.lease ?? 0n, 0n);
    this.changes.push(this.history.delete(entry, this.history.revision + 1));
  }
}

/** A key that does not exist compares as all zeros, except that no value compares with anything. */
function compareOne(compare: CompareCommand, current: Version | undefined): boolean {
  const { target, operator, operand } = compare;
  if (current === undefined && target === "value") return false;
  const actual = (current ?? absent)[target];
  switch (operator) {
    case "=":
      return actual === operand;
    case "!=":
      return actual !== operand;
    case "<":
      return actual < operand;
    case ">":
      return actual > operand;
    default:
      return unreachable(operator);
  }
}
