/** From the store's own types to the messages of etcd's API: what an etcd cluster is asked. */
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type RangeRequest_SortTarget,
  type RequestOp,
  WatchCreateRequest_FilterType,
  type Compare as WireCompare,
  type RangeRequest as WireRange,
  type TxnRequest as WireTxn,
  type WatchRequest as WireWatch,
} from "../../../proto/gen/etcd.ts";
import type {
  Compare,
  CompareOperator,
  Operation,
  RangeRequest,
  TxnRequest,
  WatchRequest,
} from "../../store/mod.ts";
import { bufferOf } from "../bytes.ts";

const sortTargets: Readonly<
  Record<NonNullable<RangeRequest["sort"]>["by"], RangeRequest_SortTarget>
> = { key: 0, version: 1, create: 2, mod: 3, value: 4 };

function wireCount(count: number | undefined): bigint | undefined {
  return count === undefined ? undefined : BigInt(count);
}

function wireBytes(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : bufferOf(bytes);
}

export function wireRangeRequest(request: RangeRequest, serializable = false): WireRange {
  const { sort } = request;
  return {
    key: bufferOf(request.key),
    rangeEnd: wireBytes(request.rangeEnd),
    revision: wireCount(request.revision),
    limit: wireCount(request.limit),
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    minModRevision: wireCount(request.minModRevision),
    maxModRevision: wireCount(request.maxModRevision),
    minCreateRevision: wireCount(request.minCreateRevision),
    maxCreateRevision: wireCount(request.maxCreateRevision),
    serializable,
    ...(sort && {
      sortTarget: sortTargets[sort.by],
      sortOrder: sort.order === "ascending" ? 1 : 2,
    }),
  };
}

export function wireTxnRequest(request: TxnRequest): WireTxn {
  return {
    compare: request.compares.map(wireCompare),
    success: request.success.map(wireOperation),
    failure: request.failure.map(wireOperation),
  };
}

function wireOperation(operation: Operation): RequestOp {
  switch (operation.op) {
    case "range":
      return { request: { $case: "requestRange", value: wireRangeRequest(operation) } };
    case "put": {
      const value = {
        key: bufferOf(operation.key),
        value: bufferOf(operation.value),
        lease: operation.lease,
        prevKv: operation.previous,
        ignoreValue: operation.ignoreValue,
        ignoreLease: operation.ignoreLease,
      };
      return { request: { $case: "requestPut", value } };
    }
    case "delete": {
      const value = {
        key: bufferOf(operation.key),
        rangeEnd: wireBytes(operation.rangeEnd),
        prevKv: operation.previous,
      };
      return { request: { $case: "requestDeleteRange", value } };
    }
    case "txn":
      return { request: { $case: "requestTxn", value: wireTxnRequest(operation) } };
  }
}

const operators: Readonly<Record<CompareOperator, Compare_CompareResult>> = {
  "=": Compare_CompareResult.EQUAL,
  "!=": Compare_CompareResult.NOT_EQUAL,
  "<": Compare_CompareResult.LESS,
  ">": Compare_CompareResult.GREATER,
};

function wireCompare(compare: Compare): WireCompare {
  const range = {
    key: bufferOf(compare.key),
    rangeEnd: wireBytes(compare.rangeEnd),
    result: operators[compare.operator],
  };
  switch (compare.target) {
    case "version":
      return {
        ...range,
        target: Compare_CompareTarget.VERSION,
        targetUnion: { $case: "version", value: BigInt(compare.operand) },
      };
    case "create":
      return {
        ...range,
        target: Compare_CompareTarget.CREATE,
        targetUnion: { $case: "createRevision", value: BigInt(compare.operand) },
      };
    case "mod":
      return {
        ...range,
        target: Compare_CompareTarget.MOD,
        targetUnion: { $case: "modRevision", value: BigInt(compare.operand) },
      };
    case "value":
      return {
        ...range,
        target: Compare_CompareTarget.VALUE,
        targetUnion: { $case: "value", value: bufferOf(compare.operand) },
      };
    case "lease":
      return {
        ...range,
        target: Compare_CompareTarget.LEASE,
        targetUnion: { $case: "lease", value: compare.operand },
      };
  }
}

const filterTypes = {
  put: WatchCreateRequest_FilterType.NOPUT,
  delete: WatchCreateRequest_FilterType.NODELETE,
} as const;

/** `startRevision` undefined: from now on. */
export function wireWatchRequest(
  request: WatchRequest,
  startRevision: number | undefined,
): WireWatch {
  const value = {
    key: bufferOf(request.key),
    rangeEnd: wireBytes(request.rangeEnd),
    startRevision: wireCount(startRevision),
    prevKv: request.previous === true,
    progressNotify: request.progress === true,
    filters: (request.filters ?? []).map((filter) => filterTypes[filter]),
    fragment: true,
  };
  return { requestUnion: { $case: "createRequest", value } };
}
