/**
 * Access control between the etcd services and the store: it finds out which user makes a call,
 * whether this member may answer, and what the user may read and write. It hides the keys that are
 * reserved for Trireme itself (reserved.ts).
 */
import type { CallContext } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Span, Tracer } from "../runtime/trace.ts";
import type { Cancel, Log } from "../runtime/types.ts";
import {
  type DirectStore,
  type DirectWatch,
  type LeaseId,
  type LeaseStatus,
  type MemberStatus,
  type OpenRangeOptions,
  type RangeRequest,
  type RangeResponse,
  type RangeRows,
  storeErrors,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WriteOptions,
} from "../store/mod.ts";
import { type AuthData, stateKey } from "./auth-records.ts";
import { AuthState } from "./auth-state.ts";
import { type Caller, callerOf, checkAdmin, checkUser, leasesOf, Rights } from "./caller.ts";
import * as errors from "./errors.ts";
import { etcdLimits } from "./limits.ts";
import { MemberHeader } from "./member-header.ts";
import {
  mayShowReserved,
  mergeRanges,
  reachesReserved,
  reservedRange,
  touchesReserved,
  visibleRanges,
  visibleTxn,
} from "./reserved.ts";
import type { TokenProvider } from "./tokens.ts";

export interface StoreAccessOptions {
  readonly log: Log;
  /** A client certificate's common name is a user (etcd's `--client-cert-auth`). */
  readonly certificateUsers: boolean;
  /** A stream that requires a leader ends when there has been none for so long. */
  readonly leaderLossMillis: number;
  readonly wallMillis: () => number;
  readonly tokens: TokenProvider;
  /** Makes spans of the calls for keys; absent: there are none. */
  readonly tracer?: Tracer | undefined;
}

/** A stream of answers, as far as its end is concerned. */
interface EndingStream {
  fail(error: StatusError): void;
  whenClosed(closer: Cancel): void;
}

export class StoreAccess {
  readonly store: DirectStore;
  readonly header: MemberHeader;
  readonly auth: AuthState;
  readonly options: StoreAccessOptions;

  constructor(store: DirectStore, options: StoreAccessOptions) {
    this.store = store;
    this.options = options;
    this.header = new MemberHeader(store);
    this.auth = new AuthState(store, options.log);
  }

  /**
   * Begins a call and answers its user. `learner`: a learner may answer the call too. Throws
   * noLeader when the caller requires a leader and there is none, notForLearner, invalidToken.
   */
  begin(context: CallContext, learner = false): Caller | Promise<Caller> {
    const { current } = this.auth;
    if (this.header.current === undefined || current === undefined || current.enabled) {
      return this.beginSlowly(context, learner);
    }
    this.admitBy(this.header.current, context, learner);
    return undefined;
  }

  private async beginSlowly(context: CallContext, learner: boolean): Promise<Caller> {
    await this.admit(context, learner);
    const data = await this.auth.load();
    return data.enabled ? this.identify(context) : undefined;
  }

  /** Whether this member may answer at all. */
  async admit(context: CallContext, learner = false): Promise<void> {
    this.admitBy(await this.header.load(), context, learner);
  }

  private admitBy({ role, leader }: MemberStatus, context: CallContext, learner: boolean): void {
    const refusal =
      role === "learner" && !learner
        ? storeErrors.notForLearner()
        : requiresLeader(context) && leader === undefined
          ? storeErrors.noLeader()
          : undefined;
    if (refusal === undefined) return;
    // Nothing has been done: a balancer may ask another member.
    context.setTrailer("trireme-retry", "safe");
    throw refusal;
  }

  /** The user who makes the call. Rejects with invalidToken. */
  async identify(context: CallContext): Promise<Caller> {
    const data = this.auth.current ?? (await this.auth.load());
    if (!data.enabled) return undefined;
    const { certificateUsers: certificates, tokens, wallMillis } = this.options;
    const options = { tokens, certificates, wallMillis: wallMillis() };
    try {
      return await callerOf(data, context, options);
    } catch {
      // This member may not know yet of the user, or of the password that the token is for.
      return callerOf(await this.auth.newest(), context, options);
    }
  }

  /** Ends the stream when its caller requires a leader and there has been none for too long. */
  endWithoutLeader(context: CallContext, stream: EndingStream): void {
    if (!requiresLeader(context)) return;
    const lost = () => stream.fail(storeErrors.noLeader());
    stream.whenClosed(this.header.whenLeaderLost(this.options.leaderLossMillis, lost));
  }

  /** Throws when authentication is on and the caller does not have the role root. */
  async requireAdmin(caller: Caller): Promise<void> {
    const data = await this.auth.load();
    if (data.enabled) checkAdmin(await this.auth.fresh(), caller);
  }

  /** Throws userEmpty when authentication is on and the call names no user. */
  async requireUser(caller: Caller): Promise<void> {
    const data = await this.auth.load();
    checkUser(data, caller);
  }

  range(
    caller: Caller,
    request: RangeRequest,
    options: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<RangeResponse> {
    if (this.auth.current?.enabled === false && !reachesReserved(request)) {
      return this.store.range(request, options);
    }
    return this.guardedRange(caller, request, options);
  }

  private async guardedRange(
    caller: Caller,
    request: RangeRequest,
    options: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<RangeResponse> {
    const enabled = (await this.auth.load()).enabled;
    const local = options.serializable === true;
    if (enabled) await this.checkRange(caller, request, local);
    const [first = request, second] = visibleRanges(request);
    const response = await this.store.range(first, options);
    if (enabled) await this.checkRange(caller, request, local);
    if (second === undefined) return response;
    const revision = request.revision || response.revision;
    const low = await this.store.range({ ...second, revision }, { serializable: true });
    return mergeRanges(request, response, low);
  }

  /** As {@link range}; where the answer would be large, its rows. */
  openRange(
    caller: Caller,
    request: RangeRequest,
    options: OpenRangeOptions,
  ): Promise<RangeResponse | RangeRows> {
    if (this.auth.current?.enabled === false && !reachesReserved(request)) {
      return this.store.openRange(request, options);
    }
    return this.guardedOpenRange(caller, request, options);
  }

  private async guardedOpenRange(
    caller: Caller,
    request: RangeRequest,
    options: OpenRangeOptions,
  ): Promise<RangeResponse | RangeRows> {
    const enabled = (await this.auth.load()).enabled;
    const local = options.serializable === true;
    if (enabled) await this.checkRange(caller, request, local);
    const hidden = mayShowReserved(request) ? reservedRange : undefined;
    const response = await this.store.openRange(request, { ...options, hidden });
    try {
      if (enabled) await this.checkRange(caller, request, local);
    } catch (thrown) {
      if (!("kvs" in response)) response.close();
      throw thrown;
    }
    return response;
  }

  /** `local`: this member alone decides. */
  private async checkRange(caller: Caller, request: RangeRequest, local = false): Promise<void> {
    const data = await this.auth.fresh();
    const check = (rights: Rights) => rights.checkRead(request.key, request.rangeEnd);
    if (!data.enabled) return;
    if (local) check(new Rights(data, caller));
    else await this.decide(data, caller, check);
  }

  /**
   * Answers the auth data that permits the call. This member's copy may be old: when the copy
   * refuses the call, the newest data decides, for another member may have granted a right or
   * ended the token in the meantime.
   */
  private async decide(
    data: AuthData,
    caller: Caller,
    check: (rights: Rights) => void,
  ): Promise<AuthData> {
    try {
      check(new Rights(data, caller));
      return data;
    } catch {
      const newest = await this.auth.newest();
      if (newest.enabled) check(new Rights(newest, caller));
      return newest;
    }
  }

  txn(caller: Caller, request: TxnRequest, options: WriteOptions): Promise<TxnResponse> {
    if (this.auth.current?.enabled === false && !touchesReserved(request)) {
      return this.store.txn(request, options);
    }
    return this.visibleTxn(caller, request, options);
  }

  private async visibleTxn(
    caller: Caller,
    request: TxnRequest,
    options: WriteOptions,
  ): Promise<TxnResponse> {
    const data = await this.auth.load();
    const visible = visibleTxn(request);
    const answer = data.enabled
      ? await this.guardedTxn(caller, visible.request, request, options)
      : await this.store.txn(visible.request, options);
    return { ...answer, results: visible.results(answer.succeeded, answer.results) };
  }

  /**
   * Wraps the txn in one that is carried out only if the auth data has not changed since the check.
   */
  private async guardedTxn(
    caller: Caller,
    visible: TxnRequest,
    request: TxnRequest,
    options: WriteOptions,
  ): Promise<TxnResponse> {
    for (let attempt = 0; attempt < etcdLimits.guardedAttempts; attempt++) {
      let data = await this.auth.load();
      if (data.enabled) data = await this.decide(data, caller, (each) => each.checkTxn(request));
      if (!data.enabled) return this.store.txn(visible, options);
      const rights = new Rights(data, caller);
      for (const lease of leasesOf(request)) await this.checkLease(rights, lease);
      const answer = await this.store.txn(
        {
          compares: [{ key: stateKey, target: "mod", operator: "=", operand: data.modRevision }],
          success: [{ op: "txn", ...visible }],
          failure: [],
        },
        options,
      );
      const [result] = answer.results;
      if (answer.succeeded && result?.op === "txn") {
        return { ...result, revision: answer.revision, replayed: answer.replayed };
      }
      if (answer.succeeded) throw forgotten();
      await this.auth.newest();
      // The store remembers for this request id that nothing was written, so it cannot be retried.
      if (options.requestId !== undefined) break;
    }
    throw errors.oldAuthRevision();
  }

  /**
   * Starts a watch. The caller's right to the range is checked once, at the start, as etcd does.
   */
  async watch(caller: Caller, request: WatchRequest): Promise<DirectWatch> {
    const data = await this.auth.load();
    if (data.enabled) await this.checkRange(caller, request);
    return this.store.watch(request);
  }

  /** Throws unless the caller may write every key that is attached to the lease. */
  async requireLeaseWrite(caller: Caller, lease: LeaseId): Promise<void> {
    const data = await this.auth.load();
    if (!data.enabled) return;
    await this.checkLease(new Rights(await this.auth.fresh(), caller), lease);
  }

  private async checkLease(rights: Rights, lease: LeaseId): Promise<void> {
    if (rights.isRoot) return;
    const { keys } = await this.store.leaseTimeToLive(lease);
    for (const key of keys) rights.checkWrite(key);
  }

  /** Throws unless the caller may read every key that is attached to the lease. */
  async requireLeaseRead(caller: Caller, lease: LeaseStatus): Promise<void> {
    const data = await this.auth.load();
    if (!data.enabled) return;
    const rights = new Rights(await this.auth.fresh(), caller);
    for (const key of lease.keys) rights.checkRead(key);
  }

  async close(): Promise<void> {
    this.header.close();
    await this.auth.close();
  }
}

function requiresLeader(context: CallContext): boolean {
  return context.header("hasleader") === "true";
}

const noOptions: WriteOptions = {};

/** Options of a write, from the call's metadata. */
export function writeOptions(context: CallContext, span?: Span): WriteOptions {
  const requestId = context.header("trireme-request-id");
  if (span !== undefined) return { requestId, span };
  return requestId === undefined ? noOptions : { requestId };
}

function forgotten(): StatusError {
  return new StatusError(
    Code.aborted,
    "etcdserver: the write of this request id was done; its answer is no longer remembered",
  );
}
