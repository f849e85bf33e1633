/** A member as a {@link Store}: what its users call, in the member's own thread. */
import { Role } from "../raft/mod.ts";
import type { FaultControl } from "../runtime/faults/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { DiskError } from "../runtime/types.ts";
import {
  type Command,
  checkLease,
  checkRange,
  checkRequestId,
  checkTxn,
  type DirectStore,
  type DirectWatch,
  storeErrors as errors,
  type LeaseId,
  type LeaseStatus,
  type MemberStatus,
  type OpenRangeOptions,
  type Outcome,
  RangeReads,
  type RangeRequest,
  type RangeResponse,
  type RangeRows,
  type Revision,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WriteOptions,
} from "../store/mod.ts";
import { handOverMillisMax, MemberAdmin } from "./admin.ts";
import { CallKind, type LeaderAnswer } from "./calls.ts";
import type { Member } from "./member.ts";
import type { ReadDone } from "./reads.ts";
import { memberSpan } from "./remote.ts";

export class MemberStore implements DirectStore {
  readonly #member: Member;
  readonly #reads: RangeReads;
  /** What administrators ask of the member. */
  readonly admin: MemberAdmin;

  /** Absent: the member was not started to take faults. */
  get faults(): FaultControl | undefined {
    return this.#member.runtime.faults;
  }

  constructor(member: Member) {
    this.#member = member;
    this.#reads = new RangeReads({
      clock: member.runtime.clock,
      get machine() {
        return member.machine;
      },
      get installations() {
        return member.installations;
      },
      get failure() {
        return member.failure;
      },
      readFailed: (thrown) => this.#readFailed(thrown),
    });
    this.admin = new MemberAdmin(member, {
      propose: (command) => this.#propose(command, 0, {}),
      barrier: () => this.#barrier(undefined),
    });
  }

  /** Resolves when the member has been removed from the cluster and has left it. */
  get excluded(): Promise<StatusError> {
    return this.#member.excluded;
  }

  range(
    request: RangeRequest,
    options: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<RangeResponse> {
    return new Promise((resolve, reject) => {
      checkRange(request);
      if (options.serializable) {
        resolve(this.#read(request));
        return;
      }
      this.#afterBarrier(options.signal, (error) => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        try {
          resolve(this.#read(request));
        } catch (thrown) {
          reject(thrown as Error);
        }
      });
    });
  }

  #read(request: RangeRequest): RangeResponse {
    if (this.#member.failure) throw StatusError.from(this.#member.failure);
    try {
      return this.#member.machine.range(request);
    } catch (error) {
      throw this.#readFailed(error);
    }
  }

  /** Only the past is read from the disk; but a member that has lost that may have lost its log. */
  #readFailed(error: unknown): unknown {
    if (!(error instanceof DiskError)) return error;
    this.#member.diskFailed(error);
    return errors.diskFailed(error);
  }

  openRange(
    request: RangeRequest,
    options: OpenRangeOptions = {},
  ): Promise<RangeResponse | RangeRows> {
    return new Promise((resolve, reject) => {
      checkRange(request);
      const open = () => {
        if (this.#member.failure) throw StatusError.from(this.#member.failure);
        resolve(this.#reads.open(request, options));
      };
      if (options.serializable) {
        open();
        return;
      }
      this.#afterBarrier(undefined, (error) => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        try {
          open();
        } catch (thrown) {
          reject(thrown as Error);
        }
      });
    });
  }

  txn(request: TxnRequest, options: WriteOptions = {}): Promise<TxnResponse> {
    return this.#txn(() => checkTxn(request, this.#member.machine.limits), options);
  }

  /** A txn that has been checked and encoded (`checkTxn`), on another thread. */
  txnEncoded(txn: Uint8Array, options: WriteOptions = {}): Promise<TxnResponse> {
    return this.#txn(() => txn, options);
  }

  /** One promise, and no more: this is the path of every write. */
  #txn(encode: () => Uint8Array, options: WriteOptions): Promise<TxnResponse> {
    return new Promise((resolve, reject) => {
      const txn = encode();
      checkRequestId(options.requestId, this.#member.machine.limits);
      const span = options.span?.child(memberSpan);
      this.#submit({ kind: "encodedTxn", txn }, txn.length, options, (error, outcome) => {
        span?.set("raft.term", this.#member.raftStatus.term);
        span?.end(error?.message);
        if (outcome?.kind === "txn") resolve(outcome.response);
        else reject(error ?? unexpected(outcome));
      });
    });
  }

  async recall(requestId: string): Promise<TxnResponse | undefined> {
    checkRequestId(requestId, this.#member.machine.limits);
    await this.#barrier(undefined);
    return this.#member.machine.recall(requestId);
  }

  async readRevision(): Promise<Revision> {
    await this.#barrier(undefined);
    return this.#member.machine.revision;
  }

  watch(request: WatchRequest): DirectWatch {
    return this.#member.hub.watch(request);
  }

  async compact(revision: Revision): Promise<Revision> {
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw errors.invalid("revision", revision, "an integer in 0..2^53-1");
    }
    const outcome = await this.#propose({ kind: "compact", revision }, 0, {});
    if (outcome.kind !== "compact") throw unexpected(outcome);
    return outcome.revision;
  }

  async leaseGrant(id: LeaseId, seconds: number): Promise<{ id: LeaseId; seconds: number }> {
    checkLease("id", id);
    if (!Number.isSafeInteger(seconds) || seconds < 0) {
      throw errors.invalid("seconds", seconds, "an integer in 0..2^53-1");
    }
    const chosen = id === 0n ? this.#freeLease() : id;
    const outcome = await this.#propose({ kind: "leaseGrant", id: chosen, seconds }, 0, {});
    if (outcome.kind !== "leaseGrant") throw unexpected(outcome);
    return { id: outcome.id, seconds: outcome.seconds };
  }

  /** 63 random bits; that another member draws the same ones is refused by apply. */
  #freeLease(): LeaseId {
    for (;;) {
      const view = new DataView(Uint8Array.from(this.#member.runtime.random.bytes(8)).buffer);
      const id = BigInt.asUintN(63, view.getBigUint64(0));
      if (id !== 0n && this.#member.machine.leases.get(id) === undefined) return id;
    }
  }

  async leaseRevoke(id: LeaseId): Promise<Revision> {
    checkLease("id", id);
    const outcome = await this.#propose({ kind: "leaseRevoke", id }, 0, {});
    if (outcome.kind !== "leaseRevoke") throw unexpected(outcome);
    return outcome.revision;
  }

  async leaseKeepAlive(id: LeaseId): Promise<number> {
    checkLease("id", id);
    const answer = await this.#call(CallKind.keepAlive, id);
    if (!answer.found) throw errors.leaseNotFound();
    return answer.remainingSeconds;
  }

  async leaseTimeToLive(id: LeaseId): Promise<LeaseStatus> {
    checkLease("id", id);
    const answer = await this.#call(CallKind.timeToLive, id);
    if (!answer.found) return { id, grantedSeconds: 0, remainingSeconds: -1, keys: [] };
    await this.#barrier(undefined);
    return {
      id,
      grantedSeconds: answer.grantedSeconds,
      remainingSeconds: answer.remainingSeconds,
      keys: this.#member.machine.leaseKeys(id),
    };
  }

  async leases(): Promise<readonly LeaseId[]> {
    await this.#barrier(undefined);
    return this.#member.machine.leases.ids();
  }

  async status(): Promise<MemberStatus> {
    await this.#member.quota.measure();
    return this.#status();
  }

  onStatus(listener: (status: MemberStatus) => void): () => void {
    listener(this.#status());
    return this.#member.onChange(() => listener(this.#status()));
  }

  /** A leader hands over first, so that its peers need not wait for an election timeout. */
  async close(): Promise<void> {
    await this.#member.handOver(handOverMillisMax);
    await this.#member.close();
  }

  #status(): MemberStatus {
    const { machine, options, raftStatus: raft, roster, failure } = this.#member;
    const progress = new Map(raft.progress.map((peer) => [peer.id, peer]));
    const learners = new Set(raft.membership.learners);
    return {
      id: options.id,
      name: options.name,
      clusterId: BigInt(this.#member.clusterId),
      role: roleName(raft.role),
      leader: raft.leader,
      term: raft.term,
      revision: machine.revision,
      compactRevision: machine.compactRevision,
      commitIndex: raft.commit,
      appliedIndex: machine.appliedIndex,
      diskBytes: this.#member.quota.diskBytes,
      keys: machine.keys,
      failure: failure?.message,
      members: roster.peers.map(({ id, name, apiAddresses = [] }) => ({
        id,
        name,
        apiAddresses,
        connected: id === options.id || this.#member.isLinked(id),
        learner: learners.has(id),
        matchIndex: id === options.id ? raft.lastIndex : progress.get(id)?.match,
      })),
    };
  }

  #propose(command: Command, bytes: number, options: WriteOptions): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#submit(command, bytes, options, (error, outcome) => {
        if (outcome) resolve(outcome);
        else reject(error ?? errors.stopped());
      });
    });
  }

  #submit(
    command: Command,
    bytes: number,
    { requestId, signal }: WriteOptions,
    done: (error: StatusError | undefined, outcome?: Outcome) => void,
  ): void {
    const submitted = unlessAborted<Outcome>(signal, done);
    if (submitted) this.#member.submit(command, { bytes, requestId }, submitted);
  }

  #barrier(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#afterBarrier(signal, (error) => (error ? reject(error) : resolve()));
    });
  }

  #afterBarrier(signal: AbortSignal | undefined, done: ReadDone): void {
    const read = unlessAborted<void>(signal, done);
    if (read) this.#member.read(read);
  }

  #call(kind: CallKind, id: LeaseId): Promise<LeaderAnswer> {
    return new Promise((resolve, reject) => {
      this.#member.call({ kind, lease: id.toString() }, (error, answer) => {
        if (answer) resolve(answer);
        else reject(error ?? errors.stopped());
      });
    });
  }
}

function roleName(role: Role): MemberStatus["role"] {
  switch (role) {
    case Role.leader:
      return "leader";
    case Role.learner:
      return "learner";
    case Role.candidate:
    case Role.preCandidate:
      return "candidate";
    default:
      return "follower";
  }
}

/**
 * What to call in the place of `done`, which is called once: with the error `cancelled` if the
 * signal comes first. Undefined: it is too late already.
 */
function unlessAborted<T>(
  signal: AbortSignal | undefined,
  done: (error: StatusError | undefined, value?: T) => void,
): ((error: StatusError | undefined, value?: T) => void) | undefined {
  if (signal === undefined) return done;
  let called = false;
  const once = (error: StatusError | undefined, value?: T) => {
    if (called) return;
    called = true;
    signal.removeEventListener("abort", abort);
    done(error, value);
  };
  const abort = () => once(cancelled());
  if (signal.aborted) {
    abort();
    return undefined;
  }
  signal.addEventListener("abort", abort, { once: true });
  return once;
}

/** The write may be done all the same. */
function cancelled(): StatusError {
  return new StatusError(Code.cancelled, "the caller has gone");
}

function unexpected(outcome: Outcome | undefined): StatusError {
  if (outcome === undefined) return errors.stopped();
  return new StatusError(Code.internal, `etcdserver: a command was answered as ${outcome.kind}`);
}
