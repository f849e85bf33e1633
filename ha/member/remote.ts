/**
 * What the two ends of a member thread say to each other: arrays of these, one array a turn.
 */
import { type Code, type StatusDetail, StatusError } from "../runtime/status-error.ts";
import {
  decodeRangeResponse,
  decodeTxnResponse,
  encodeRangeResponse,
  encodeTxnResponse,
  type KeyValue,
  type LeaseId,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  type Revision,
  type TxnResponse,
  type WatchBatch,
  type WatchEvent,
  type WatchRequest,
} from "../store/mod.ts";

export type Call =
  | { readonly method: "range"; readonly request: RangeRequest; readonly serializable: boolean }
  | { readonly method: "txn"; readonly txn: Uint8Array; readonly requestId: string | undefined }
  | { readonly method: "recall"; readonly requestId: string }
  | { readonly method: "compact"; readonly revision: Revision }
  | { readonly method: "leaseGrant"; readonly lease: LeaseId; readonly seconds: number }
  | {
      readonly method: "leaseRevoke" | "leaseKeepAlive" | "leaseTimeToLive";
      readonly lease: LeaseId;
    }
  | { readonly method: "serve"; readonly module: string; readonly options: unknown }
  | { readonly method: "stopServing"; readonly service: number }
  | { readonly method: "readRevision" | "leases" | "status" | "close" }
  | { readonly method: AdminMethod; readonly admin: readonly unknown[] };

/** Methods of `MemberAdmin` that answer once; arguments and answers are plain values. */
export type AdminMethod =
  | "members"
  | "memberAdd"
  | "memberRemove"
  | "memberUpdate"
  | "memberPromote"
  | "moveLeader"
  | "handOver"
  | "defragment"
  | "hashKv"
  | "hash"
  | "alarms"
  | "alarm"
  | "dbSize";

export type ToMember =
  /** `timed`: the caller wants to know when the member was at it. */
  | { readonly kind: "call"; readonly id: number; readonly call: Call; readonly timed?: true }
  | { readonly kind: "watch"; readonly id: number; readonly request: WatchRequest }
  | { readonly kind: "snapshot"; readonly id: number; readonly since: Revision | undefined }
  /** The user has taken so many batches, or pieces: as many more may come. */
  | { readonly kind: "credit"; readonly id: number; readonly batches: number }
  | { readonly kind: "unwatch"; readonly id: number };

export type FromMember =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: RemoteError }
  /** Of a call that is `timed`, before its result or error. */
  | { readonly kind: "timing"; readonly id: number; readonly timing: Timing }
  | { readonly kind: "created"; readonly id: number; readonly revision: Revision }
  | { readonly kind: "batch"; readonly id: number; readonly batch: PackedBatch }
  | { readonly kind: "piece"; readonly id: number; readonly piece: Uint8Array }
  | { readonly kind: "end"; readonly id: number; readonly error: RemoteError | undefined }
  | { readonly kind: "status"; readonly status: MemberStatus }
  /** A fault has set the member's wall time off by so much. */
  | { readonly kind: "clockOffset"; readonly millis: number }
  | { readonly kind: "excluded"; readonly error: RemoteError };

/** When the member began with a call and when it was done, in Unix milliseconds. */
export interface Timing {
  readonly beganAt: number;
  readonly endedAt: number;
}

/** From the proposal of a write until it is applied here. */
export const memberSpan = "store member: proposal to applied";

export interface RemoteError {
  readonly code: Code;
  readonly message: string;
  readonly detail: StatusDetail | undefined;
}

/** Batches of one watch, and pieces of one snapshot, on their way between the threads. */
export const watchCreditBatches = 64;
export const snapshotCreditPieces = 8;

export function toRemote(thrown: unknown): RemoteError {
  const { code, message, detail } = StatusError.from(thrown);
  return { code, message, detail };
}

export function fromRemote({ code, message, detail }: RemoteError): StatusError {
  return new StatusError(code, message, detail);
}

/**
 * Bytes cross between threads with the whole buffer that they are a view of; so whatever holds many
 * keys and values is packed into one buffer of its own first.
 */
export function exact(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength
    ? bytes
    : Uint8Array.prototype.slice.call(bytes);
}

export function exactRange<
  R extends { readonly key: Uint8Array; readonly rangeEnd?: Uint8Array | undefined },
>(request: R): R {
  const { key, rangeEnd } = request;
  return { ...request, key: exact(key), ...(rangeEnd && { rangeEnd: exact(rangeEnd) }) };
}

export function packRange(response: RangeResponse): Uint8Array {
  return exact(encodeRangeResponse(response));
}

export function unpackRange(bytes: Uint8Array): RangeResponse {
  return decodeRangeResponse(bytes);
}

export interface PackedTxn {
  readonly bytes: Uint8Array;
  readonly replayed: boolean;
}

export function packTxn(response: TxnResponse): PackedTxn {
  return { bytes: exact(encodeTxnResponse(response)), replayed: response.replayed ?? false };
}

export function unpackTxn({ bytes, replayed }: PackedTxn): TxnResponse {
  const response = decodeTxnResponse(bytes);
  return replayed ? { ...response, replayed } : response;
}

export interface PackedBatch {
  readonly revision: Revision;
  /** A byte an event: 1 delete, 2 has a previous key-value. */
  readonly flags: Uint8Array | undefined;
  /** The key-values of all events, then the previous ones, as a range response. */
  readonly kvs: Uint8Array | undefined;
}

const isDelete = 1;
const hasPrevious = 2;

export function packBatch({ events, revision }: WatchBatch): PackedBatch {
  if (events.length === 0) return { revision, flags: undefined, kvs: undefined };
  const flags = new Uint8Array(events.length);
  const kvs: KeyValue[] = [];
  const previous: KeyValue[] = [];
  events.forEach((event, i) => {
    flags[i] = (event.type === "delete" ? isDelete : 0) | (event.previous ? hasPrevious : 0);
    kvs.push(event.kv);
    if (event.previous) previous.push(event.previous);
  });
  const all = [...kvs, ...previous];
  return {
    revision,
    flags,
    kvs: packRange({ revision, kvs: all, more: false, count: all.length }),
  };
}

export function unpackBatch({ revision, flags, kvs }: PackedBatch): WatchBatch {
  if (!flags || !kvs) return { events: [], revision };
  const all = unpackRange(kvs).kvs;
  let next = flags.length;
  const events: WatchEvent[] = Array.from(flags, (flag, i) => ({
    type: flag & isDelete ? "delete" : "put",
    kv: all[i] as KeyValue,
    previous: flag & hasPrevious ? all[next++] : undefined,
  }));
  return { events, revision };
}
