/**
 * The store as its users see it: etcd-v3 semantics over ordered keys, in our own types.
 *
 * Sources: the etcd API reference (KV, Watch, Lease) and `shared` guarantees named there: KV is
 * strict-serializable; Watch is ordered, unique, reliable, atomic, resumable, bookmarkable.
 *
 * `Store` has three implementations that pass one contract suite: in-thread, worker, and an
 * external etcd cluster. All failures are `StatusError`s with etcd's texts (`errors.ts`).
 */
import type { Span } from "../runtime/trace.ts";
import type { MemberId } from "../runtime/types.ts";
import type { OpenRangeOptions, RangeRows } from "./range-reads.ts";

/** Counts committed write transactions; the first is 2, as in etcd (an empty store is at 1). */
export type Revision = number & { readonly __brand: "Revision" };
/** An etcd lease id: any int64 but 0, which means "no lease". */
export type LeaseId = bigint;

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 at creation; counts changes since. */
  readonly version: number;
  readonly lease: LeaseId;
}

/** One key when `rangeEnd` is absent; `rangeEnd = [0]`: every key from `key` on. */
export interface KeyRange {
  readonly key: Uint8Array;
  readonly rangeEnd?: Uint8Array | undefined;
}

export interface RangeRequest extends KeyRange {
  /** Absent: the newest. */
  readonly revision?: Revision | undefined;
  /** Absent or 0: no limit. */
  readonly limit?: number | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  readonly sort?:
    | {
        readonly by: "key" | "version" | "create" | "mod" | "value";
        readonly order: "ascending" | "descending";
      }
    | undefined;
  readonly minModRevision?: Revision | undefined;
  readonly maxModRevision?: Revision | undefined;
  readonly minCreateRevision?: Revision | undefined;
  readonly maxCreateRevision?: Revision | undefined;
}

export interface RangeResponse {
  /** The store's revision when it was read. */
  readonly revision: Revision;
  readonly kvs: readonly KeyValue[];
  /** The limit cut the answer. */
  readonly more: boolean;
  /** Keys in the range, whatever the limit. */
  readonly count: number;
}

export type CompareOperator = "=" | "!=" | "<" | ">";
export type Compare = KeyRange & { readonly operator: CompareOperator } & (
    | { readonly target: "version" | "create" | "mod"; readonly operand: number }
    | { readonly target: "lease"; readonly operand: LeaseId }
    | { readonly target: "value"; readonly operand: Uint8Array }
  );

export type Operation =
  | ({ readonly op: "range" } & RangeRequest)
  | {
      readonly op: "put";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly lease?: LeaseId | undefined;
      readonly previous?: boolean | undefined;
      readonly ignoreValue?: boolean | undefined;
      readonly ignoreLease?: boolean | undefined;
    }
  | ({ readonly op: "delete"; readonly previous?: boolean | undefined } & KeyRange)
  | ({ readonly op: "txn" } & TxnRequest);

export interface TxnRequest {
  /** `success` runs if all comparisons hold, or if there are none. */
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type OperationResult =
  | ({ readonly op: "range" } & RangeResponse)
  | { readonly op: "put"; readonly previous: KeyValue | undefined }
  | { readonly op: "delete"; readonly deleted: number; readonly previous: readonly KeyValue[] }
  | ({ readonly op: "txn" } & TxnResponse);

export interface TxnResponse {
  readonly succeeded: boolean;
  /** The store's revision after it; when anything was written, the revision of what it wrote. */
  readonly revision: Revision;
  readonly results: readonly OperationResult[];
  /** True: this is the answer of an earlier write with the same request id. */
  readonly replayed?: boolean | undefined;
}

export interface WriteOptions {
  /**
   * Makes the write exactly-once: repeated under the same id (1..160 bytes of text), on any
   * member, it is answered from memory. Remembered for a bounded count and age. After a space may
   * follow a digest of what is asked: the same id with another digest is refused with
   * failedPrecondition.
   */
  readonly requestId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of a traced request: what the store does for it becomes a span below. */
  readonly span?: Span | undefined;
}

export interface WatchRequest extends KeyRange {
  /** Deliver everything from this revision on. Absent: from now on. */
  readonly startRevision?: Revision | undefined;
  /** Events carry the key-value before the change. */
  readonly previous?: boolean | undefined;
  /** Leave out puts, or deletes. */
  readonly filters?: readonly ("put" | "delete")[] | undefined;
  /**
   * Also deliver event-less batches whose `revision` says how far the store has come, once per
   * applied batch: a cache learns that it is current although nothing of its own changed.
   */
  readonly progress?: boolean | undefined;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** A delete carries the key and, as `modRevision`, the revision of the deletion. */
  readonly kv: KeyValue;
  readonly previous: KeyValue | undefined;
}

/** Consecutive revisions of a watch; all events of one revision are in one batch. */
export interface WatchBatch {
  readonly events: readonly WatchEvent[];
  /** Everything up to and including this revision has now been delivered. */
  readonly revision: Revision;
}

/**
 * A running watch. Iterating ends when `close` is called, and throws a `StatusError`: `outOfRange`
 * when the start has been compacted, `unavailable` when the member goes away. One that is not
 * iterated fast enough is fed from history later; nothing is skipped.
 */
export interface WatchStream extends AsyncIterable<WatchBatch> {
  /** The store's revision when the watch began. */
  readonly created: Promise<Revision>;
  close(): void;
}

/**
 * A watch in the thread of its reader, who may also take batches without a promise for each. One
 * reader at a time, which either iterates or takes.
 */
export interface DirectWatch extends WatchStream {
  /** Called when `take` has something again, after it had nothing. Must not throw. */
  onReady: () => void;
  /** The next batch, or undefined: there is none (yet). Throws, once, what the watch ended with. */
  take(): WatchBatch | undefined;
  /**
   * An event-less batch is to tell how far the store has come, once all before it was delivered.
   */
  requestProgress(): void;
}

export interface LeaseStatus {
  readonly id: LeaseId;
  readonly grantedSeconds: number;
  /** Seconds left; -1 when the lease does not exist (any more). */
  readonly remainingSeconds: number;
  readonly keys: readonly Uint8Array[];
}

export interface MemberStatus {
  readonly id: MemberId;
  readonly name: string;
  readonly clusterId: bigint;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly leader: MemberId | undefined;
  readonly term: number;
  readonly revision: Revision;
  readonly compactRevision: Revision;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly diskBytes: number;
  readonly keys: number;
  /** Why this member serves no callers, e.g. that its disk failed; absent: it does. */
  readonly failure?: string | undefined;
  readonly members: readonly {
    readonly id: MemberId;
    readonly name: string;
    readonly connected: boolean;
    readonly learner: boolean;
    /** Where it serves an API on top of the store; empty: it has not told. */
    readonly apiAddresses: readonly string[];
    /** Known to the leader only. */
    readonly matchIndex: number | undefined;
  }[];
}

export interface Store {
  /** Linearizable unless `serializable`: then whatever this member has. */
  range(
    request: RangeRequest,
    options?: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<RangeResponse>;
  txn(request: TxnRequest, options?: WriteOptions): Promise<TxnResponse>;
  /** The answer of the write with this id, if it was done; linearizable. Digests as in `txn`. */
  recall(requestId: string): Promise<TxnResponse | undefined>;
  /**
   * A revision R such that every write acknowledged before the call is at or below R, and this
   * member has applied R. Calls of the same turn share one round.
   */
  readRevision(): Promise<Revision>;
  watch(request: WatchRequest): WatchStream;
  /** Forgets history below `revision`; reads and watches there fail from now on. */
  compact(revision: Revision): Promise<Revision>;
  /** `id` 0n: the store chooses one. */
  leaseGrant(id: LeaseId, seconds: number): Promise<{ id: LeaseId; seconds: number }>;
  leaseRevoke(id: LeaseId): Promise<Revision>;
  /** Seconds now left; throws notFound. */
  leaseKeepAlive(id: LeaseId): Promise<number>;
  leaseTimeToLive(id: LeaseId): Promise<LeaseStatus>;
  leases(): Promise<readonly LeaseId[]>;
  status(): Promise<MemberStatus>;
  /** Called with the present status, and again whenever leader, role, term or a link changes. */
  onStatus(listener: (status: MemberStatus) => void): () => void;
  close(): Promise<void>;
}

/** A store whose watches are served in the thread of its user. */
export interface DirectStore extends Store {
  watch(request: WatchRequest): DirectWatch;
  /** A range as {@link Store.range} answers it; where that would be large, its rows. */
  openRange(request: RangeRequest, options?: OpenRangeOptions): Promise<RangeResponse | RangeRows>;
}
