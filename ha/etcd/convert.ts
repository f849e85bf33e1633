/** Between the messages of etcd's API and the store's own types: what clients ask. */
import type {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  Compare as WireCompare,
  RangeRequest as WireRange,
  TxnRequest as WireTxn,
} from "../../proto/gen/etcd.ts";
import { Compare_CompareResult, Compare_CompareTarget } from "../../proto/gen/etcd.ts";
import {
  type Compare,
  type CompareOperator,
  type Operation,
  type RangeRequest,
  type Revision,
  storeErrors,
  type TxnRequest,
} from "../store/mod.ts";
import { endOf, orNone } from "./bytes.ts";
import * as errors from "./errors.ts";

/** Nothing in a store counts so far: a bound or operand beyond it means the same as this one. */
const most = BigInt(Number.MAX_SAFE_INTEGER);

/** Undefined for zero and less, which mean "none" or "the newest" wherever the API has a count. */
export function countOf(value: bigint | undefined): number | undefined {
  if (value === undefined || value <= 0n) return undefined;
  return Number(value < most ? value : most);
}

function operandOf(value: bigint): number {
  return Number(value > most ? most : value < -most ? -most : value);
}

export function revisionOf(value: bigint | undefined): Revision | undefined {
  return countOf(value) as Revision | undefined;
}

const sortTargets = ["key", "version", "create", "mod", "value"] as const;

export function rangeOf(wire: WireRange): RangeRequest {
  const request: RangeRequest = {
    key: orNone(wire.key),
    rangeEnd: endOf(wire.rangeEnd),
    revision: revisionOf(wire.revision),
    limit: countOf(wire.limit),
    keysOnly: wire.keysOnly === true,
    countOnly: wire.countOnly === true,
    minModRevision: revisionOf(wire.minModRevision),
    maxModRevision: revisionOf(wire.maxModRevision),
    minCreateRevision: revisionOf(wire.minCreateRevision),
    maxCreateRevision: revisionOf(wire.maxCreateRevision),
  };
  const { sortOrder = 0, sortTarget = 0 } = wire;
  const by = sortTargets[sortTarget];
  if (by === undefined || sortOrder < 0 || sortOrder > 2) throw errors.invalidSort();
  // Keys come in ascending order anyway; any other target is sorted by even when no order is said.
  if (by === "key" && sortOrder !== 2) return request;
  return { ...request, sort: { by, order: sortOrder === 2 ? "descending" : "ascending" } };
}

export function putOf(wire: PutRequest): Operation {
  return {
    op: "put",
    key: orNone(wire.key),
    value: orNone(wire.value),
    lease: wire.lease || undefined,
    previous: wire.prevKv === true,
    ignoreValue: wire.ignoreValue === true,
    ignoreLease: wire.ignoreLease === true,
  };
}

export function deleteOf(wire: DeleteRangeRequest): Operation {
  return {
    op: "delete",
    key: orNone(wire.key),
    rangeEnd: endOf(wire.rangeEnd),
    previous: wire.prevKv === true,
  };
}

export function txnOf(wire: WireTxn): TxnRequest {
  return {
    compares: (wire.compare ?? []).map(compareOf),
    success: (wire.success ?? []).map(operationOf),
    failure: (wire.failure ?? []).map(operationOf),
  };
}

function operationOf({ request }: RequestOp): Operation {
  switch (request?.$case) {
    case "requestRange":
      return { op: "range", ...rangeOf(request.value) };
    case "requestPut":
      return putOf(request.value);
    case "requestDeleteRange":
      return deleteOf(request.value);
    case "requestTxn":
      return { op: "txn", ...txnOf(request.value) };
    default:
      // What etcd says to an operation of no kind.
      throw storeErrors.keyNotFound();
  }
}

const operators: Readonly<Record<number, CompareOperator>> = {
  [Compare_CompareResult.EQUAL]: "=",
  [Compare_CompareResult.GREATER]: ">",
  [Compare_CompareResult.LESS]: "<",
  [Compare_CompareResult.NOT_EQUAL]: "!=",
};

/** An operand of another kind than the target's, or none, counts as zero, as in etcd. */
function compareOf(wire: WireCompare): Compare {
  const operator = operators[wire.result ?? 0];
  if (operator === undefined) {
    throw storeErrors.invalid("compare.result", wire.result, "a CompareResult");
  }
  const range = { key: orNone(wire.key), rangeEnd: endOf(wire.rangeEnd), operator };
  const union = wire.targetUnion;
  switch (wire.target ?? 0) {
    case Compare_CompareTarget.VERSION:
      return { ...range, target: "version", operand: numberIn(union, "version") };
    case Compare_CompareTarget.CREATE:
      return { ...range, target: "create", operand: numberIn(union, "createRevision") };
    case Compare_CompareTarget.MOD:
      return { ...range, target: "mod", operand: numberIn(union, "modRevision") };
    case Compare_CompareTarget.VALUE:
      return {
        ...range,
        target: "value",
        operand: union?.$case === "value" ? union.value : orNone(undefined),
      };
    case Compare_CompareTarget.LEASE:
      return { ...range, target: "lease", operand: union?.$case === "lease" ? union.value : 0n };
    default:
      throw storeErrors.invalid("compare.target", wire.target, "a CompareTarget");
  }
}

function numberIn(
  union: WireCompare["targetUnion"],
  wanted: "version" | "createRevision" | "modRevision",
): number {
  return union?.$case === wanted ? operandOf(union.value) : 0;
}
