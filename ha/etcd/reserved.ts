/**
 * The keys that clients never see: everything below `\0trireme/`, where the face keeps users, roles
 * and the key that signs tokens, as ordinary keys of the store, so that they are replicated, backed
 * up and restored with everything else.
 *
 * A client's range that reaches over them is carried out as the two ranges beside them; one that
 * lies inside them is refused. Their changes count revisions like all others.
 */
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  WatchEvent,
} from "../store/mod.ts";
import { bytesOf, textOf } from "./bytes.ts";
import * as errors from "./errors.ts";

const first = "\0trireme/";
const after = "\0trireme0";

export const reserved = {
  auth: "\0trireme/auth/",
  /** Any key in here; for reads that are after the revision only. */
  nothing: bytesOf("\0trireme/nothing"),
} as const;

/** All reserved keys. */
export const reservedRange: KeyRange = { key: bytesOf(first), rangeEnd: bytesOf(after) };

/** What is left of a range: the part before the reserved keys, the part after, or both. */
interface Beside {
  readonly low: KeyRange | undefined;
  readonly high: KeyRange | undefined;
}

/** Undefined: the range has nothing to do with reserved keys. Throws when it lies within them. */
function beside(range: KeyRange): Beside | undefined {
  if (!reachesReserved(range)) return undefined;
  const key = textOf(range.key);
  if (range.rangeEnd === undefined || range.rangeEnd.length === 0) {
    if (isReserved(key)) throw errors.permissionDenied();
    return undefined;
  }
  const end = textOf(range.rangeEnd);
  const open = end === "\0";
  if (key >= after || (!open && end <= first)) return undefined;
  const low = key < first ? { key: range.key, rangeEnd: bytesOf(first) } : undefined;
  const high = open || end > after ? { key: bytesOf(after), rangeEnd: range.rangeEnd } : undefined;
  if (low === undefined && high === undefined) throw errors.permissionDenied();
  return { low, high };
}

/** Whether a range can have to do with reserved keys: no others begin with a zero byte. */
export function reachesReserved(range: KeyRange): boolean {
  return range.key[0] === 0;
}

/** The same of all that a txn compares and does. */
export function touchesReserved({ compares, success, failure }: TxnRequest): boolean {
  const touches = (operation: Operation) =>
    operation.op === "txn" ? touchesReserved(operation) : reachesReserved(operation);
  return compares.some(reachesReserved) || success.some(touches) || failure.some(touches);
}

function isReserved(key: string): boolean {
  return key >= first && key < after;
}

/** The ranges to read in place of this one: itself, or the parts beside what is hidden. */
export function visibleRanges(request: RangeRequest): readonly RangeRequest[] {
  const parts = beside(request);
  if (parts === undefined) return [request];
  const ranges: RangeRequest[] = [];
  // The upper part first: it is where the keys are, and the revision is taken from it.
  if (parts.high !== undefined) ranges.push({ ...request, ...parts.high });
  if (parts.low !== undefined) ranges.push({ ...request, ...parts.low });
  return ranges;
}

/** One answer of two; each part has been sorted and cut by itself. */
export function mergeRanges(
  request: RangeRequest,
  high: RangeResponse,
  low: RangeResponse,
): RangeResponse {
  if (low.count === 0) return high;
  const kvs = [...low.kvs, ...high.kvs];
  if (request.sort !== undefined) sort(kvs, request.sort);
  const cut = request.limit !== undefined && request.limit > 0 && kvs.length > request.limit;
  if (cut) kvs.length = request.limit ?? 0;
  return {
    revision: high.revision,
    kvs,
    more: cut || low.more || high.more,
    count: low.count + high.count,
  };
}

function sort(kvs: KeyValue[], { by, order }: NonNullable<RangeRequest["sort"]>): void {
  const sign = order === "descending" ? -1 : 1;
  kvs.sort((a, b) => {
    const left = sortKey(a, by);
    const right = sortKey(b, by);
    return left < right ? -sign : left > right ? sign : 0;
  });
}

function sortKey(kv: KeyValue, by: NonNullable<RangeRequest["sort"]>["by"]): string | number {
  switch (by) {
    case "key":
      return textOf(kv.key);
    case "value":
      return textOf(kv.value);
    case "version":
      return kv.version;
    case "create":
      return kv.createRevision;
    case "mod":
      return kv.modRevision;
  }
}

/** How the results of a txn's operations become those that the client asked for. */
type Plan =
  | { readonly kind: "one" }
  | { readonly kind: "two"; readonly operation: Operation }
  | { readonly kind: "txn"; readonly success: readonly Plan[]; readonly failure: readonly Plan[] };

export interface VisibleTxn {
  readonly request: TxnRequest;
  /** Puts the results of `request` into the shape of the original's. */
  results(succeeded: boolean, results: readonly OperationResult[]): readonly OperationResult[];
}

const one: Plan = { kind: "one" };

/**
 * The txn without the reserved keys. A compare over a range that reaches over them looks only at
 * the keys behind them, if there are any in the range: what comes before begins with a zero byte,
 * and no client has keys there.
 */
export function visibleTxn(request: TxnRequest): VisibleTxn {
  const hidden = hide(request);
  if (hidden === undefined) return { request, results: (_, results) => results };
  return {
    request: hidden.request,
    results: (succeeded, results) => restore(succeeded ? hidden.success : hidden.failure, results),
  };
}

interface HiddenTxn {
  readonly request: TxnRequest;
  readonly success: readonly Plan[];
  readonly failure: readonly Plan[];
}

function hide(request: TxnRequest): HiddenTxn | undefined {
  let touched = false;
  const compares = request.compares.map((compare): Compare => {
    const parts = beside(compare);
    if (parts === undefined) return compare;
    touched = true;
    return { ...compare, ...(parts.high ?? parts.low) };
  });
  const branch = (operations: readonly Operation[]) => {
    const plans: Plan[] = [];
    const visible: Operation[] = [];
    for (const operation of operations) {
      const plan = hideOperation(operation, visible);
      if (plan !== one) touched = true;
      plans.push(plan);
    }
    return { plans, visible };
  };
  const success = branch(request.success);
  const failure = branch(request.failure);
  if (!touched) return undefined;
  return {
    request: { compares, success: success.visible, failure: failure.visible },
    success: success.plans,
    failure: failure.plans,
  };
}

function hideOperation(operation: Operation, visible: Operation[]): Plan {
  if (operation.op === "txn") {
    const hidden = hide(operation);
    visible.push(hidden === undefined ? operation : { op: "txn", ...hidden.request });
    return hidden === undefined
      ? one
      : { kind: "txn", success: hidden.success, failure: hidden.failure };
  }
  const range = operation.op === "put" ? { key: operation.key } : operation;
  const parts = beside(range);
  if (parts === undefined) {
    visible.push(operation);
    return one;
  }
  if (parts.high !== undefined) visible.push({ ...operation, ...parts.high });
  if (parts.low !== undefined) visible.push({ ...operation, ...parts.low });
  // With one part left the operation has changed, its result's shape has not.
  return parts.high !== undefined && parts.low !== undefined
    ? { kind: "two", operation }
    : { kind: "one" };
}

function restore(
  plans: readonly Plan[],
  results: readonly OperationResult[],
): readonly OperationResult[] {
  const restored: OperationResult[] = [];
  let next = 0;
  for (const plan of plans) {
    const result = results[next++];
    // A repeated write whose answer is no longer remembered as a whole.
    if (result === undefined) break;
    if (plan.kind === "one") restored.push(result);
    else if (plan.kind === "txn") {
      if (result.op !== "txn") break;
      const inner = restore(result.succeeded ? plan.success : plan.failure, result.results);
      restored.push({ ...result, results: inner });
    } else {
      const second = results[next++];
      if (second === undefined) break;
      restored.push(joined(plan.operation, result, second));
    }
  }
  return restored;
}

function joined(
  operation: Operation,
  high: OperationResult,
  low: OperationResult,
): OperationResult {
  if (operation.op === "range" && high.op === "range" && low.op === "range") {
    return { op: "range", ...mergeRanges(operation, high, low) };
  }
  if (high.op === "delete" && low.op === "delete") {
    return {
      op: "delete",
      deleted: low.deleted + high.deleted,
      previous: [...low.previous, ...high.previous],
    };
  }
  return high;
}

/**
 * Whether a range reaches over reserved keys, which then have to be left out of what the caller is
 * shown. Throws when it lies within them.
 */
export function mayShowReserved(range: KeyRange): boolean {
  return beside(range) !== undefined;
}

export function visibleEvents(events: readonly WatchEvent[]): readonly WatchEvent[] {
  const hidden = ({ kv }: WatchEvent) => kv.key[0] === 0 && isReserved(textOf(kv.key));
  return events.some(hidden) ? events.filter((event) => !hidden(event)) : events;
}
