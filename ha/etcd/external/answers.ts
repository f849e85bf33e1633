/** From the messages of etcd's API to the store's own types: what an etcd cluster answers. */
import type {
  DeleteRangeResponse,
  PutResponse,
  ResponseHeader,
  ResponseOp,
  RangeResponse as WireRange,
  TxnResponse as WireTxn,
} from "../../../proto/gen/etcd.ts";
import {
  Event_EventType,
  type Event as WireEvent,
  type KeyValue as WireKeyValue,
} from "../../../proto/gen/etcd_kv.ts";
import type { MemberId } from "../../runtime/types.ts";
import type {
  KeyValue,
  OperationResult,
  RangeResponse,
  Revision,
  TxnResponse,
  WatchEvent,
} from "../../store/mod.ts";
import { orNone } from "../bytes.ts";
import { unexpectedAnswer } from "./failures.ts";

export function revisionIn(header: ResponseHeader | undefined): Revision {
  return Number(header?.revision ?? 0n) as Revision;
}

/**
 * etcd's member ids are 64 bits wide, ours 53: the low 53 are kept. Two members of a cluster have
 * the same ones with a probability of 2^-53.
 */
export function memberIdOf(id: bigint | undefined): MemberId {
  return Number(BigInt.asUintN(53, id ?? 0n)) as MemberId;
}

function keyValueOf(wire: WireKeyValue): KeyValue {
  return {
    key: orNone(wire.key),
    value: orNone(wire.value),
    createRevision: Number(wire.createRevision ?? 0n) as Revision,
    modRevision: Number(wire.modRevision ?? 0n) as Revision,
    version: Number(wire.version ?? 0n),
    lease: wire.lease ?? 0n,
  };
}

export function rangeResponseOf(wire: WireRange): RangeResponse {
  return {
    revision: revisionIn(wire.header),
    kvs: (wire.kvs ?? []).map(keyValueOf),
    more: wire.more === true,
    count: Number(wire.count ?? 0n),
  };
}

function putResultOf({ prevKv }: PutResponse): OperationResult {
  return { op: "put", previous: prevKv && keyValueOf(prevKv) };
}

function deleteResultOf(wire: DeleteRangeResponse): OperationResult {
  return {
    op: "delete",
    deleted: Number(wire.deleted ?? 0n),
    previous: (wire.prevKvs ?? []).map(keyValueOf),
  };
}

export function txnResponseOf(wire: WireTxn): TxnResponse {
  return {
    succeeded: wire.succeeded === true,
    revision: revisionIn(wire.header),
    results: resultsOf(wire.responses, revisionIn(wire.header)),
  };
}

/** Not every etcd repeats the revision in answers within a txn: they have the outermost one's. */
function resultsOf(
  responses: readonly ResponseOp[] | undefined,
  revision: Revision,
): readonly OperationResult[] {
  return (responses ?? []).map(({ response }) => {
    switch (response?.$case) {
      case "responseRange":
        return { op: "range", ...rangeResponseOf(response.value), revision };
      case "responsePut":
        return putResultOf(response.value);
      case "responseDeleteRange":
        return deleteResultOf(response.value);
      case "responseTxn": {
        const { succeeded, responses: inner } = response.value;
        return {
          op: "txn",
          succeeded: succeeded === true,
          revision,
          results: resultsOf(inner, revision),
        };
      }
      default:
        throw unexpectedAnswer("a txn has an answer of no kind");
    }
  });
}

export function eventOf(wire: WireEvent): WatchEvent {
  if (wire.kv === undefined) throw unexpectedAnswer("a watch event has no key");
  return {
    type: wire.type === Event_EventType.DELETE ? "delete" : "put",
    kv: keyValueOf(wire.kv),
    previous: wire.prevKv && keyValueOf(wire.prevKv),
  };
}
