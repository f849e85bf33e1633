/** Between the messages of etcd's API and the store's own types: what clients are told. */
import type {
  DeleteRangeResponse,
  PutResponse,
  ResponseHeader,
  ResponseOp,
  RangeResponse as WireRange,
  TxnResponse as WireTxn,
} from "../../proto/gen/etcd.ts";
import {
  type Event,
  Event_EventType,
  type KeyValue as WireKeyValue,
} from "../../proto/gen/etcd_kv.ts";
import type {
  KeyValue,
  OperationResult,
  RangeResponse,
  TxnResponse,
  WatchEvent,
} from "../store/mod.ts";
import { bufferOf } from "./bytes.ts";

export function wireKeyValue(kv: KeyValue): WireKeyValue {
  return {
    key: bufferOf(kv.key),
    createRevision: BigInt(kv.createRevision),
    modRevision: BigInt(kv.modRevision),
    version: BigInt(kv.version),
    value: bufferOf(kv.value),
    lease: kv.lease,
  };
}

export function wireRange(header: ResponseHeader, response: RangeResponse): WireRange {
  return {
    header,
    kvs: response.kvs.map(wireKeyValue),
    more: response.more,
    count: BigInt(response.count),
  };
}

export function wirePut(header: ResponseHeader, result: OperationResult | undefined): PutResponse {
  if (result?.op !== "put" || result.previous === undefined) return { header };
  return { header, prevKv: wireKeyValue(result.previous) };
}

export function wireDelete(
  header: ResponseHeader,
  result: OperationResult | undefined,
): DeleteRangeResponse {
  if (result?.op !== "delete") return { header };
  return {
    header,
    deleted: BigInt(result.deleted),
    prevKvs: result.previous.map(wireKeyValue),
  };
}

export function wireTxn(header: ResponseHeader, response: TxnResponse): WireTxn {
  // As in etcd, answers within a txn say the revision only.
  const inner = { revision: header.revision };
  return {
    header,
    succeeded: response.succeeded,
    responses: response.results.map((result) => wireResult(inner, result)),
  };
}

export function wireResult(header: ResponseHeader, result: OperationResult): ResponseOp {
  switch (result.op) {
    case "range":
      return { response: { $case: "responseRange", value: wireRange(header, result) } };
    case "put":
      return { response: { $case: "responsePut", value: wirePut(header, result) } };
    case "delete":
      return { response: { $case: "responseDeleteRange", value: wireDelete(header, result) } };
    case "txn":
      return { response: { $case: "responseTxn", value: wireTxn(header, result) } };
  }
}

/** A deletion says the key and its revision only. */
export function wireEvent({ type, kv, previous }: WatchEvent): Event {
  const prevKv = previous && { prevKv: wireKeyValue(previous) };
  if (type === "put") {
    return { type: Event_EventType.PUT, kv: wireKeyValue(kv), ...prevKv };
  }
  const deleted = { key: bufferOf(kv.key), modRevision: BigInt(kv.modRevision) };
  return { type: Event_EventType.DELETE, kv: deleted, ...prevKv };
}
